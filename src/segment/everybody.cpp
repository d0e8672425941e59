#include "segment/everybody.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <memory_resource>
#include <numeric>

#include "segment/insides.hpp"
#include "segment/progress.hpp"
#include "segment/since.hpp"

#include "pg/helper.hpp"
#include "pg/scan.hpp"
#include "pg/time_budget.hpp"

namespace cdp::segment {

namespace {

constexpr std::size_t kAtOnce = 250'000; // people whose timelines are in memory
constexpr std::size_t kMostMade = 2000;  // timelines that are made anew together
constexpr std::size_t kBatch = 250;      // people who are judged and stored together: as the caches hold
constexpr std::size_t kMany = 32;        // rules: with less, a batch is over before a second thread is awake

// What is known of some people, by their place in the order of ids: read from the tables' pages in one go.
class Crowd {
public:
  Crowd(std::span<const std::int64_t> ids, bool with_timelines);

  void read(std::size_t person, History &history) const;
  void *traits(std::size_t person) const { return traits_[person]; }

private:
  struct Piece {
    std::int32_t person;
    std::int64_t identifier_id;
    std::string_view packed;
  };
  static constexpr std::int32_t kNobody = -1;

  std::int32_t person_of(std::int64_t profile_id) const {
    return profile_id < first_ || profile_id - first_ >= std::ssize(people_)
               ? kNobody
               : people_[static_cast<std::size_t>(profile_id - first_)];
  }
  void read_owners(const pg::Moment &moment);
  void read_timelines(const pg::Moment &moment);
  void read_traits(const pg::Moment &moment);
  void make_missing(std::vector<std::int64_t> identifiers);
  std::string_view keep(std::string_view bytes);

  std::pmr::monotonic_buffer_resource memory_;
  std::int64_t first_ = 0;
  std::vector<std::int32_t> people_, owners_; // by profile id from first_ on, by identifier id
  std::vector<Piece> pieces_;                 // by person
  std::vector<std::size_t> starts_;           // a person's pieces, one more at the end
  std::vector<void *> traits_;
};

Crowd::Crowd(std::span<const std::int64_t> ids, bool with_timelines) : first_(ids.front()) {
  people_.assign(static_cast<std::size_t>(ids.back() - first_ + 1), kNobody);
  for (std::size_t i = 0; i < ids.size(); ++i)
    people_[static_cast<std::size_t>(ids[i] - first_)] = static_cast<std::int32_t>(i);
  traits_.resize(ids.size());
  const pg::Moment moment;
  read_traits(moment);
  if (with_timelines) {
    read_owners(moment);
    read_timelines(moment);
  }
  std::stable_sort(pieces_.begin(), pieces_.end(),
                   [](const Piece &a, const Piece &b) { return a.person < b.person; });
  starts_.assign(ids.size() + 1, 0);
  for (const auto &piece : pieces_)
    ++starts_[static_cast<std::size_t>(piece.person) + 1];
  std::partial_sum(starts_.begin(), starts_.end(), starts_.begin());
}

std::string_view Crowd::keep(std::string_view bytes) {
  auto *copy = static_cast<char *>(memory_.allocate(bytes.size(), 1));
  memcpy(copy, bytes.data(), bytes.size());
  return {copy, bytes.size()};
}

void Crowd::read_owners(const pg::Moment &moment) {
  pg::TableScan scan(moment, "cdp", "identifiers", {{"identifier_id", INT8OID}, {"profile_id", INT8OID}});
  scan.each([&](const pg::Cells &row) {
    const auto id = static_cast<std::size_t>(row.bigint(0));
    const auto person = person_of(row.bigint(1));
    if (person == kNobody)
      return;
    if (owners_.size() <= id)
      owners_.resize(std::max(id + 1, owners_.size() * 2), kNobody);
    owners_[id] = person;
  });
}

void Crowd::read_timelines(const pg::Moment &moment) {
  const auto newest = Inputs::current().newest();
  std::vector<std::int64_t> old;
  pg::TableScan scan(moment, "cdp_internal", "timelines",
                     {{"identifier_id", INT8OID}, {"inputs", INT4OID}, {"events", BYTEAOID}});
  scan.each([&](const pg::Cells &row) {
    const auto id = row.bigint(0);
    const auto person = id < std::ssize(owners_) ? owners_[static_cast<std::size_t>(id)] : kNobody;
    if (person == kNobody)
      return;
    if (row.integer(1) < newest)
      old.push_back(id);
    else if (!row.text(2).empty())
      pieces_.push_back({person, id, keep(row.text(2))});
  });
  for (auto id : identifiers_without_timeline())
    if (id < std::ssize(owners_) && owners_[static_cast<std::size_t>(id)] != kNobody)
      old.push_back(id);
  make_missing(std::move(old));
}

void Crowd::make_missing(std::vector<std::int64_t> identifiers) {
  std::sort(identifiers.begin(), identifiers.end());
  identifiers.erase(std::unique(identifiers.begin(), identifiers.end()), identifiers.end());
  std::erase_if(pieces_, [&](const Piece &piece) {
    return std::binary_search(identifiers.begin(), identifiers.end(), piece.identifier_id);
  });
  // A person's timelines lie together.
  std::stable_sort(identifiers.begin(), identifiers.end(), [&](std::int64_t a, std::int64_t b) {
    return owners_[static_cast<std::size_t>(a)] < owners_[static_cast<std::size_t>(b)];
  });
  for (std::size_t start = 0; start < identifiers.size(); start += kMostMade) {
    pg::check_for_interrupts();
    pg::Session session;
    const auto end = std::min(start + kMostMade, identifiers.size());
    for (const auto &[id, packed] : make_timelines({identifiers.begin() + static_cast<std::ptrdiff_t>(start),
                                                    identifiers.begin() + static_cast<std::ptrdiff_t>(end)}))
      pieces_.push_back({owners_[static_cast<std::size_t>(id)], id, keep(packed)});
  }
}

void Crowd::read_traits(const pg::Moment &moment) {
  pg::TableScan scan(moment, "cdp", "profiles", {{"profile_id", INT8OID}, {"traits", JSONBOID}});
  scan.each([&](const pg::Cells &row) {
    const auto person = person_of(row.bigint(0));
    if (person == kNobody)
      return;
    const auto bytes = row.text(1);
    auto *traits = static_cast<char *>(memory_.allocate(VARHDRSZ + bytes.size(), alignof(std::max_align_t)));
    SET_VARSIZE(traits, VARHDRSZ + bytes.size());
    memcpy(traits + VARHDRSZ, bytes.data(), bytes.size());
    traits_[static_cast<std::size_t>(person)] = traits;
  });
}

void Crowd::read(std::size_t person, History &history) const {
  history.clear();
  for (auto i = starts_[person]; i < starts_[person + 1]; ++i)
    history.add(pieces_[i].packed);
  history.finish();
}

std::vector<std::int64_t> all_people() {
  std::vector<std::int64_t> ids;
  const pg::Moment moment;
  pg::TableScan scan(moment, "cdp", "profiles", {{"profile_id", INT8OID}});
  scan.each([&](const pg::Cells &row) { ids.push_back(row.bigint(0)); });
  std::sort(ids.begin(), ids.end());
  return ids;
}

// The judges whom a person may concern, by what the person has done; all that ask what nobody could answer.
class Chosen {
public:
  Chosen(const std::vector<Judge *> &judges, Timestamp at) {
    for (std::size_t i = 0; i < judges.size(); ++i) {
      const auto inputs = judges[i]->needed_inputs();
      if (inputs.empty())
        anybody_.push_back(i);
      else if (const auto need = judges[i]->need(at))
        add(*need, i);
      else
        for (auto input : inputs)
          add({input, 1, core::kMinusInfinity}, i);
      for (auto input : inputs)
        asking_[input].push_back(i);
    }
  }

  template <class Visit> void each(const History &history, Visit &&visit) const {
    for (auto judge : anybody_)
      visit(judge);
    for (const auto &said : history.inputs()) {
      if (static_cast<std::size_t>(said.input) < by_input_.size())
        for (const auto &[need, judge] : by_input_[static_cast<std::size_t>(said.input)])
          if (need.is_met_by(said))
            visit(judge);
      if (said.odd)
        if (const auto asking = asking_.find(said.input); asking != asking_.end())
          for (auto judge : asking->second)
            visit(judge);
    }
  }

private:
  void add(const Sweep::Need &need, std::size_t judge) {
    if (by_input_.size() <= static_cast<std::size_t>(need.input))
      by_input_.resize(static_cast<std::size_t>(need.input) + 1);
    by_input_[static_cast<std::size_t>(need.input)].emplace_back(need, judge);
  }

  std::vector<std::size_t> anybody_;
  std::vector<std::vector<std::pair<Sweep::Need, std::size_t>>> by_input_;
  std::map<std::int32_t, std::vector<std::size_t>> asking_;
};

class Round {
public:
  Round(const std::vector<Judge *> &judges, Timestamp at, Broken broken)
      : judges_(judges), at_(at), broken_(broken), chosen_(judges, at) {
    std::vector<std::int32_t> wanted;
    for (std::size_t i = 0; i < judges.size(); ++i) {
      const Judge &judge = *judges[i];
      segments_.emplace_back(judge.segment_id(), i);
      wanted.push_back(judge.segment_id());
      wanted.insert(wanted.end(), judge.segments().begin(), judge.segments().end());
      levels_ = std::max(levels_, judge.level() + 1);
      traits_.insert(judge.since().begin(), judge.since().end());
      asks_ = asks_ || !judge.segments().empty() || !judge.since().empty();
    }
    std::sort(segments_.begin(), segments_.end());
    stored_ = Stored::of_everybody(std::move(wanted), at);
  }

  // Before anybody is prepared. Plain C++, as is to prepare: it may be done by a helper.
  void order_stored() { stored_.finish(); }

  // Some people, and who judges them.
  struct Batch {
    std::span<const std::int64_t> ids;
    std::vector<Step> steps;
    std::vector<History> histories = std::vector<History>(kBatch);
    std::vector<std::vector<Stint>> stints;
    std::vector<std::vector<const Stored::Row *>> rows;
    std::int64_t events = 0;
  };

  void prepare(const Crowd &crowd, std::span<const std::int64_t> ids, std::size_t first, Batch &batch) const {
    batch.ids = ids;
    batch.steps.clear();
    batch.events = 0;
    for (std::size_t i = 0; i < ids.size(); ++i) {
      batch.steps.push_back({ids[i], kAllEvents, at_, {}, true, true, crowd.traits(first + i)});
      crowd.read(first + i, batch.histories[i]);
      batch.events += static_cast<std::int64_t>(batch.histories[i].size());
    }
    batch.stints.assign(judges_.size(), {});
    batch.rows.assign(judges_.size(), {});
    for (std::size_t i = 0; i < ids.size(); ++i)
      choose({&batch.steps[i], &batch.histories[i], core::kInfinity}, batch.stints, batch.rows);
  }

  void judge(const Batch &batch, Effort &effort, pg::Helper *helper) {
    pg::Session session;
    const auto &[ids, steps, histories, all_stints, rows, events] = batch;
    effort.events += events;
    auto stints = all_stints;
    for (auto i : slow_)
      stints[i].clear();
    std::vector<Progress> segments;
    for (std::size_t i = 0; i < judges_.size(); ++i)
      segments.emplace_back(*judges_[i], rows[i]);
    if (!asks_)
      Progress::evaluate(segments, stints, helper);
    if (asks_) {
      RunsOf runs({ids.begin(), ids.end()}, std::vector(ids.size(), kAllEvents), traits_, core::kInfinity);
      for (int level = 0; level < levels_; ++level)
        judge_level(level, segments, stints, ids, runs);
    }
    std::vector<Found> found;
    for (auto &one : segments) {
      found.push_back(one.take());
      if (const auto &why = found.back().broken;
          why && broken_ == Broken::is_error && &one == &segments.front())
        throw Error(why->sqlstate, why->message, why->detail);
      else if (why && why->sqlstate == pg::out_of_time)
        slow_.insert(static_cast<std::size_t>(&one - segments.data()));
    }
    effort.changed += store_found(found, stored_);
  }

private:
  // For whom the person may be in, and where the person is stored as being in.
  void choose(const Stint &stint, std::vector<std::vector<Stint>> &stints,
              std::vector<std::vector<const Stored::Row *>> &rows) const {
    const auto add_once = [&](std::size_t judge) {
      if (stints[judge].empty() || stints[judge].back().step != stint.step)
        stints[judge].push_back(stint);
    };
    chosen_.each(*stint.history, add_once);
    for (const auto &row : stored_.of(stint.step->profile_id)) {
      const auto found =
          std::lower_bound(segments_.begin(), segments_.end(), std::pair(row.segment_id, std::size_t(0)));
      if (found == segments_.end() || found->first != row.segment_id)
        continue; // one that is only asked about
      rows[found->second].push_back(&row);
      add_once(found->second);
    }
  }

  // Whoever is asked about was judged before.
  void judge_level(int level, std::vector<Progress> &segments, const std::vector<std::vector<Stint>> &stints,
                   std::span<const std::int64_t> ids, RunsOf &runs) const {
    Insides insides(stored_, [&](std::int32_t id) -> const Found * {
      const auto found = std::find_if(segments.begin(), segments.end(),
                                      [&](const Progress &one) { return one.judge().segment_id() == id; });
      return found == segments.end() ? nullptr : &found->found();
    });
    std::vector<std::vector<Stint>> chosen(stints.size());
    for (std::size_t i = 0; i < stints.size(); ++i) {
      if (judges_[i]->level() != level)
        continue;
      chosen[i] = stints[i];
      for (auto &stint : chosen[i])
        stint.inside = insides.of(*judges_[i], *stint.step);
      for (auto &stint : chosen[i])
        stint.since =
            runs.since(static_cast<std::size_t>(
                           std::lower_bound(ids.begin(), ids.end(), stint.step->profile_id) - ids.begin()),
                       judges_[i]->since());
    }
    Progress::evaluate(segments, chosen);
  }

  const std::vector<Judge *> &judges_;
  Timestamp at_;
  Broken broken_;
  Chosen chosen_;
  Stored stored_;
  std::vector<std::pair<std::int32_t, std::size_t>> segments_; // whose judge is where
  std::set<std::size_t> slow_; // judges that ran out of time for several people: nobody else waits for them
  int levels_ = 1;
  bool asks_ = false; // some ask about segments, or since when traits are what they are:
  std::set<std::string> traits_;
};

// Who still fails is noted again.
void forget_failures(const std::vector<Judge *> &judges) {
  static pg::Statement forget(
      "DELETE FROM cdp.segment_errors WHERE segment_id = ANY ($1) AND profile_id IS NOT NULL");
  pg::Session session;
  std::vector<std::int32_t> segments;
  for (const Judge *judge : judges)
    segments.push_back(judge->segment_id());
  forget.run(pg::Params().integers(segments));
}

// A rule that fails for some people at creation is likely a mistake: say so at once.
void warn_of_failures(std::int32_t segment_id) {
  static pg::Statement count("SELECT count(*), min(message) FROM cdp.segment_errors WHERE segment_id = $1");
  auto rows = count.run(pg::Params().integer(segment_id));
  const auto people = rows.bigint(0, 1);
  if (people == 0)
    return;
  const auto message = rows.text(0, 2);
  pg::call([&] {
    ereport(WARNING, (errmsg("the rule failed for %lld %s: %s", static_cast<long long>(people),
                             people == 1 ? "person" : "people", message.c_str()),
                      errhint("See cdp.segment_errors. Until the rule works for them, they are in the "
                              "segment if they were before.")));
  });
}

} // namespace

Effort evaluate_everybody(const std::vector<Judge *> &judges, Timestamp at, Broken broken) {
  const bool with_timelines =
      std::any_of(judges.begin(), judges.end(), [](const Judge *judge) { return judge->uses_timelines(); });
  const auto ids = all_people();
  Round round(judges, at, broken);
  Effort effort{std::ssize(ids), 0, 0};
  forget_failures(judges);
  std::array<Round::Batch, 2> batches;
  std::optional<pg::Helper> helper;
  if (judges.size() >= kMany && ids.size() > kBatch && pg::Helper::is_worthwhile())
    helper.emplace();
  std::optional<pg::Helper::Job> ordering;
  if (helper)
    ordering.emplace(*helper, [&] { round.order_stored(); });
  else
    round.order_stored();
  for (std::size_t start = 0; start < ids.size(); start += kAtOnce) {
    const auto some = std::span(ids).subspan(start, std::min(kAtOnce, ids.size() - start));
    const Crowd crowd(some, with_timelines);
    const auto prepare = [&](std::size_t first, Round::Batch &batch) {
      if (first < some.size())
        round.prepare(crowd, some.subspan(first, std::min(kBatch, some.size() - first)), first, batch);
    };
    if (ordering)
      ordering->wait();
    ordering.reset();
    prepare(0, batches[0]);
    for (std::size_t first = 0, turn = 0; first < some.size(); first += kBatch, turn = 1 - turn) {
      pg::check_for_interrupts();
      std::optional<pg::Helper::Job> next;
      if (helper)
        next.emplace(*helper, [&, first, turn] { prepare(first + kBatch, batches[1 - turn]); });
      round.judge(batches[turn], effort, helper ? &*helper : nullptr);
      if (next)
        next->wait();
      else
        prepare(first + kBatch, batches[1 - turn]);
    }
  }
  if (with_timelines)
    timelines_are_complete();
  for (const Judge *judge : judges)
    warn_of_failures(judge->segment_id());
  return effort;
}

} // namespace cdp::segment
