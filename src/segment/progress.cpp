#include "segment/progress.hpp"

#include <algorithm>
#include <deque>
#include <map>
#include <numeric>

#include "pg/time_budget.hpp"

namespace cdp::segment {

namespace {

constexpr std::size_t kBatch = 1000;
constexpr std::size_t kTogether = 250; // people
constexpr int kMostSlow = 3;           // people who run out of time: then it is the rule

// Each is somebody else, in order of ids, and for all the future.
bool are_single(const std::vector<Stint> &stints) {
  return std::adjacent_find(stints.begin(), stints.end(), [](const Stint &a, const Stint &b) {
           return a.step->profile_id >= b.step->profile_id;
         }) == stints.end();
}

bool are_of_one(const std::vector<Stint> &stints) {
  return std::all_of(stints.begin(), stints.end(), [&](const Stint &stint) {
    return stint.step->profile_id == stints.front().step->profile_id;
  });
}

// Those of people who come once, and those of the others.
std::pair<std::vector<Stint>, std::vector<Stint>> split(const std::vector<Stint> &stints) {
  std::vector<Stint> once, often;
  for (std::size_t first = 0, next; first < stints.size(); first = next) {
    for (next = first + 1;
         next < stints.size() && stints[next].step->profile_id == stints[first].step->profile_id;)
      ++next;
    auto &into = next == first + 1 ? once : often;
    for (auto i = first; i < next; ++i)
      into.push_back(stints[i]);
  }
  return {std::move(once), std::move(often)};
}

// Whether a row that begins at a step or later has the decision that it would be written with.
bool is_of(const Stored::Row &row, const Step &step) {
  if (row.from < step.from)
    return true;
  const bool decided = row.from == step.from && step.decision_seq != kAllEvents;
  return row.has_decision == decided && (!decided || row.decision == step.decision_seq);
}

} // namespace

bool is_general(int sqlstate) {
  switch (sqlstate) { // others of their classes can come from one person's data, such as NaN::int (0A000)
  case ERRCODE_INSUFFICIENT_PRIVILEGE:
  case ERRCODE_UNDEFINED_FUNCTION:
  case ERRCODE_UNDEFINED_TABLE:
  case ERRCODE_UNDEFINED_COLUMN:
  case ERRCODE_UNDEFINED_OBJECT:
  case ERRCODE_UNDEFINED_SCHEMA:
    return true;
  default:
    return false;
  }
}

void Progress::evaluate(const std::vector<Stint> &stints) {
  for (std::size_t start = 0; start < stints.size() && !found_.broken; start += kBatch) {
    pg::check_for_interrupts();
    const auto begin = stints.begin() + static_cast<std::ptrdiff_t>(start);
    const auto count = static_cast<std::ptrdiff_t>(std::min(stints.size() - start, kBatch));
    const auto some = bounded({begin, begin + count});
    Places all;
    for (std::size_t i = 0; i < some.size(); ++i)
      if (some[i].step->from < some[i].until) // the others leave no trace, unless what follows fails
        all.push_back(i);
    try_all(some, all);
  }
}

void Progress::evaluate(std::vector<Progress> &segments, const std::vector<std::vector<Stint>> &stints,
                        pg::Helper *helper) {
  std::map<pg::RuleSettings, Shares> groups, often_groups;
  std::deque<std::vector<Stint>> kept;
  for (std::size_t i = 0; i < segments.size(); ++i) {
    if (!segments[i].judge_.uses_timelines()) {
      segments[i].evaluate(stints[i]);
      continue;
    }
    std::span<const Stint> single = stints[i];
    if (!are_single(stints[i])) {
      auto [once, often] = split(stints[i]);
      if (!often.empty() && !segments[i].found_.broken)
        often_groups[segments[i].judge_.settings()].push_back({i, kept.emplace_back(std::move(often))});
      single = kept.emplace_back(std::move(once));
    }
    if (!single.empty())
      groups[segments[i].judge_.settings()].push_back({i, single});
  }
  for (auto &[settings, often] : often_groups)
    evaluate_often(segments, std::move(often));
  for (auto &[settings, together] : groups)
    evaluate_together(segments, std::move(together), helper);
}

// People who come several times: rules of one owner in one go, unless one of them fails or PostgreSQL has to
// judge.
void Progress::evaluate_often(std::vector<Progress> &segments, Shares often) {
  std::vector<std::pair<std::vector<Stint>, std::vector<std::vector<Range>>>> judged(often.size());
  pg::Failure failure;
  bool succeeded = std::all_of(often.begin(), often.end(),
                               [](const Share &share) { return share.stints.size() <= kBatch; });
  succeeded = succeeded && pg::timed_subtransaction(
                               [&] {
                                 auto &first = segments[often.front().segment].judge_;
                                 pg::AsOwner owner(first.settings(), pg::Names::compiled);
                                 pg::need_unhidden_people();
                                 for (std::size_t i = 0; i < often.size(); ++i) {
                                   auto &[stints, ranges] = judged[i];
                                   stints = bounded({often[i].stints.begin(), often[i].stints.end()});
                                   std::erase_if(stints, [](const Stint &stint) {
                                     return stint.step->from >= stint.until;
                                   });
                                   if (!segments[often[i].segment].judge_.sweep(stints, ranges))
                                     ranges.clear();
                                 }
                               },
                               failure);
  for (std::size_t i = 0; i < often.size(); ++i) {
    auto &segment = segments[often[i].segment];
    auto &[stints, ranges] = judged[i];
    if (!succeeded || ranges.size() < stints.size())
      segment.evaluate({often[i].stints.begin(), often[i].stints.end()});
    else
      for (std::size_t place = 0; place < stints.size(); ++place)
        segment.add(*stints[place].step, std::move(ranges[place]));
  }
}

void Progress::evaluate_together(std::vector<Progress> &segments, Shares rest, pg::Helper *helper) {
  std::vector<std::int64_t> people;
  if (std::all_of(rest.begin(), rest.end(), [](const Share &one) { return one.stints.size() <= kTogether; }))
    return judge_together(segments, rest, helper);
  for (const auto &share : rest)
    for (const auto &stint : share.stints)
      people.push_back(stint.step->profile_id);
  std::sort(people.begin(), people.end());
  people.erase(std::unique(people.begin(), people.end()), people.end());
  for (std::size_t first = 0; first < people.size(); first += kTogether) {
    const auto last = people[std::min(first + kTogether, people.size()) - 1];
    Shares some;
    for (auto &share : rest) {
      const auto end =
          std::partition_point(share.stints.begin(), share.stints.end(),
                               [&](const Stint &stint) { return stint.step->profile_id <= last; });
      const auto count = static_cast<std::size_t>(end - share.stints.begin());
      if (count > 0 && !segments[share.segment].found_.broken)
        some.push_back({share.segment, share.stints.first(count)});
      share.stints = share.stints.subspan(count);
    }
    if (!some.empty())
      judge_together(segments, some, helper);
  }
}

void Progress::judge_together(std::vector<Progress> &segments, const Shares &some, pg::Helper *helper) {
  pg::check_for_interrupts();
  pg::Failure failure;
  if (try_together(segments, some, helper, failure))
    return;
  for (const auto &share : some) {
    auto &segment = segments[share.segment];
    const std::vector<Stint> stints(share.stints.begin(), share.stints.end());
    if (failure.sqlstate != pg::out_of_time) {
      segment.evaluate(stints);
    } else if (some.size() == 1 && stints.size() == 1) {
      segment.give_up(*stints[0].step, failure);
    } else {
      Places all(stints.size());
      std::iota(all.begin(), all.end(), 0);
      segment.one_person_at_a_time(stints, all);
    }
  }
}

void Progress::sweep(std::vector<Progress> &segments, const Share &share, std::vector<News> &news) {
  std::vector<Range> ranges;
  auto &segment = segments[share.segment];
  auto rest = segment.stored_;
  for (const auto &stint : share.stints) {
    ranges.clear();
    const bool beyond = !segment.judge_.sweep(stint, ranges);
    if (beyond)
      ranges.clear();
    if (beyond || !rest || !segment.is_stored(*rest, *stint.step, ranges))
      news.push_back({share.segment, &stint, std::move(ranges), beyond});
  }
}

// In another thread: those that work alone, from the next one on that nobody has begun.
Progress::Alone Progress::sweep_alone(std::vector<Progress> &segments, const Shares &together,
                                      std::atomic<std::size_t> &next) {
  Alone found;
  std::vector<Range> ranges;
  for (std::size_t i; (i = next++) < together.size();) {
    const auto &share = together[i];
    auto &segment = segments[share.segment];
    if (!segment.judge_.works_alone())
      continue;
    auto rest = segment.stored_;
    for (const auto &stint : share.stints) {
      ranges.clear();
      if (!segment.judge_.sweep_alone(stint, ranges))
        found.rest.push_back({share.segment, &stint, {}, false});
      else if (!rest || !segment.is_stored(*rest, *stint.step, ranges))
        found.news.push_back({share.segment, &stint, std::move(ranges), false});
    }
  }
  return found;
}

// People who come once each; nothing is noted when somebody fails.
bool Progress::try_together(std::vector<Progress> &segments, const Shares &together, pg::Helper *helper,
                            pg::Failure &failure) {
  std::vector<News> news;
  Alone alone;
  std::atomic<std::size_t> next = 0; // of those that work alone
  std::optional<pg::Helper::Job> job;
  if (helper)
    job.emplace(*helper, [&] { alone = sweep_alone(segments, together, next); });
  const bool succeeded = pg::timed_subtransaction(
      [&] {
        pg::AsOwner owner(segments[together[0].segment].judge_.settings(), pg::Names::compiled);
        pg::need_unhidden_people();
        for (const auto &share : together)
          if (!helper || !segments[share.segment].judge_.works_alone())
            sweep(segments, share, news);
        for (std::size_t i; helper && (i = next++) < together.size();)
          if (segments[together[i].segment].judge_.works_alone())
            sweep(segments, together[i], news);
        if (job)
          job->wait();
        for (auto &one : alone.rest) {
          one.beyond = !segments[one.segment].judge_.sweep(*one.stint, one.ranges);
          if (one.beyond)
            one.ranges.clear();
        }
      },
      failure);
  next = together.size(); // whoever failed needs no more
  job.reset();
  if (!succeeded)
    return false;
  for (auto *more : {&alone.news, &alone.rest})
    news.insert(news.end(), std::make_move_iterator(more->begin()), std::make_move_iterator(more->end()));
  for (auto &one : news) {
    auto &segment = segments[one.segment];
    if (one.beyond)
      segment.evaluate({*one.stint});
    else
      segment.add(*one.stint->step, std::move(one.ranges));
  }
  return true;
}

// Of somebody who is judged once, for all the future. Takes the rows of people up to them away.
bool Progress::is_stored(StoredRows &rows, const Step &step, const std::vector<Range> &ranges) const {
  std::size_t first = 0;
  while (first < rows.size() && rows[first]->profile_id < step.profile_id)
    ++first;
  rows = rows.subspan(first);
  auto range = ranges.begin();
  for (auto row = rows.begin(); row != rows.end() && (*row)->profile_id == step.profile_id; ++row) {
    if (by_steps_ && (*row)->to < step.from)
      continue;
    if (range == ranges.end() || (*row)->key() != range->key || (*row)->to != range->to ||
        std::max((*row)->from, step.from) != range->from || (by_steps_ && !is_of(**row, step)))
      return false;
    ++range;
  }
  return range == ranges.end() && (!by_steps_ || !found_.people.contains(step.profile_id));
}

// The last of a person for all the future: what comes later may fail for them, and then it stands on.
std::vector<Stint> Progress::bounded(std::vector<Stint> stints) {
  std::unordered_map<std::int64_t, std::size_t> last;
  for (std::size_t i = 0; i < stints.size(); ++i) {
    const auto [before, first] = last.try_emplace(stints[i].step->profile_id, i);
    if (!first)
      stints[std::exchange(before->second, i)].until = stints[i].step->from;
    stints[i].until = core::kInfinity;
  }
  return stints;
}

void Progress::try_all(const std::vector<Stint> &stints, const Places &chosen) {
  std::vector<Stint> some;
  for (auto i : chosen)
    some.push_back(stints[i]);
  std::vector<std::vector<Range>> ranges;
  pg::Failure failure;
  if (pg::timed_subtransaction([&] { ranges = judge_.judge(some); }, failure)) {
    for (std::size_t i = 0; i < some.size(); ++i)
      add(*some[i].step, std::move(ranges[i]));
  } else if (is_general(failure.sqlstate)) {
    found_.broken = std::move(failure);
    found_.failed_at = some.front().step->from;
  } else if (failure.sqlstate != pg::out_of_time) {
    halve(stints, chosen, failure);
  } else if (some.size() == 1) {
    give_up(*some[0].step, failure);
  } else if (are_of_one(some)) {
    one_by_one(stints, chosen, failure);
  } else {
    one_person_at_a_time(stints, chosen);
  }
}

// Who ran out of time together: halves would wait for it again and again.
void Progress::one_person_at_a_time(const std::vector<Stint> &stints, const Places &chosen) {
  std::map<std::int64_t, Places> people;
  for (auto i : chosen)
    people[stints[i].step->profile_id].push_back(i);
  for (const auto &[person, places] : people)
    if (!found_.broken)
      try_all(stints, places);
}

void Progress::give_up(const Step &step, const pg::Failure &failure) {
  found_.people[step.profile_id].fail(step.from, failure);
  if (++slow_ < kMostSlow)
    return;
  found_.broken = {failure.sqlstate, "several people: " + failure.message, failure.detail};
  found_.failed_at = step.from;
}

void Progress::add(const Step &step, std::vector<Range> ranges) {
  found_.people[step.profile_id].add(step.from, step.decision_seq, std::move(ranges));
}

// Down to the people, and with a person down to the step; what is known of them before a failing step
// stands on, so their other steps are judged for all the future.
void Progress::halve(const std::vector<Stint> &stints, const Places &chosen, const pg::Failure &failure) {
  std::map<std::int64_t, Places> people;
  for (auto i : chosen)
    people[stints[i].step->profile_id].push_back(i);
  if (people.size() == 1)
    return one_by_one(stints, chosen, failure);
  Places first, second;
  std::size_t number = 0;
  for (auto &[person, places] : people) {
    auto &half = number++ < people.size() / 2 ? first : second;
    half.insert(half.end(), places.begin(), places.end());
  }
  for (auto *half : {&first, &second}) {
    std::sort(half->begin(), half->end());
    if (!found_.broken)
      try_all(stints, *half);
  }
}

void Progress::one_by_one(const std::vector<Stint> &stints, const Places &chosen, pg::Failure failure) {
  const auto profile_id = stints[chosen.front()].step->profile_id;
  for (auto stint : stints) {
    if (stint.step->profile_id != profile_id)
      continue;
    stint.until = core::kInfinity;
    std::vector<std::vector<Range>> ranges;
    if (pg::timed_subtransaction([&] { ranges = judge_.judge({stint}); }, failure))
      add(*stint.step, std::move(ranges[0]));
    else if (failure.sqlstate == pg::out_of_time)
      return give_up(*stint.step, failure); // each of the others would wait as long
    else
      found_.people[profile_id].fail(stint.step->from, failure);
  }
}

} // namespace cdp::segment
