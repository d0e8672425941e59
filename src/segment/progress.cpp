#include "segment/progress.hpp"

#include <algorithm>
#include <map>

namespace cdp::segment {

namespace {

constexpr std::size_t kBatch = 1000;

// Each is somebody else, in order of ids, and for all the future.
bool are_single(const std::vector<Stint> &stints) {
  return std::adjacent_find(stints.begin(), stints.end(), [](const Stint &a, const Stint &b) {
           return a.step->profile_id >= b.step->profile_id;
         }) == stints.end();
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

void Progress::evaluate(std::vector<Progress> &segments, const std::vector<std::vector<Stint>> &stints) {
  std::map<pg::RuleSettings, Places> groups;
  for (std::size_t i = 0; i < segments.size(); ++i) {
    if (stints[i].empty())
      continue;
    if (segments[i].judge_.uses_timelines() && stints[i].size() <= kBatch && are_single(stints[i]))
      groups[segments[i].judge_.settings()].push_back(i);
    else
      segments[i].evaluate(stints[i]);
  }
  for (const auto &[settings, together] : groups) {
    pg::check_for_interrupts();
    if (try_together(segments, together, stints))
      continue;
    for (auto i : together)
      segments[i].evaluate(stints[i]);
  }
}

// People who come once each; nothing is noted when somebody fails.
bool Progress::try_together(std::vector<Progress> &segments, const Places &together,
                            const std::vector<std::vector<Stint>> &stints) {
  struct News {
    std::size_t segment;
    const Stint *stint;
    std::vector<Range> ranges;
    bool beyond;
  };
  std::vector<News> news;
  std::vector<Range> ranges;
  pg::Failure failure;
  const bool succeeded = pg::subtransaction(
      [&] {
        pg::AsOwner owner(segments[together[0]].judge_.settings(), pg::Names::compiled);
        pg::need_unhidden_people();
        for (auto i : together) {
          auto rest = segments[i].stored_;
          for (const auto &stint : stints[i]) {
            ranges.clear();
            const bool beyond = !segments[i].judge_.sweep(stint, ranges);
            if (beyond)
              ranges.clear();
            if (beyond || !rest || !is_stored(*rest, *stint.step, ranges))
              news.push_back({i, &stint, std::move(ranges), beyond});
          }
        }
      },
      failure);
  if (!succeeded)
    return false;
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
bool Progress::is_stored(StoredRows &rows, const Step &step, const std::vector<Range> &ranges) {
  std::size_t first = 0;
  while (first < rows.size() && rows[first]->profile_id < step.profile_id)
    ++first;
  rows = rows.subspan(first);
  std::size_t count = 0;
  while (count < rows.size() && rows[count]->profile_id == step.profile_id)
    ++count;
  return std::equal(rows.begin(), rows.begin() + static_cast<std::ptrdiff_t>(count), ranges.begin(),
                    ranges.end(), [&](const Stored::Row *row, const Range &range) {
                      return row->key() == range.key && row->to == range.to &&
                             std::max(row->from, step.from) == range.from;
                    });
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
  if (pg::subtransaction([&] { ranges = judge_.judge(some); }, failure)) {
    for (std::size_t i = 0; i < some.size(); ++i)
      add(*some[i].step, std::move(ranges[i]));
  } else if (is_general(failure.sqlstate)) {
    found_.broken = std::move(failure);
    found_.failed_at = some.front().step->from;
  } else {
    halve(stints, chosen, failure);
  }
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
    return one_by_one(stints, people.begin()->first, failure);
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

void Progress::one_by_one(const std::vector<Stint> &stints, std::int64_t profile_id, pg::Failure failure) {
  for (auto stint : stints) {
    if (stint.step->profile_id != profile_id)
      continue;
    stint.until = core::kInfinity;
    std::vector<std::vector<Range>> ranges;
    if (pg::subtransaction([&] { ranges = judge_.judge({stint}); }, failure))
      add(*stint.step, std::move(ranges[0]));
    else
      found_.people[profile_id].fail(stint.step->from, failure);
  }
}

} // namespace cdp::segment
