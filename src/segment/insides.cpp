#include "segment/insides.hpp"

#include <algorithm>

#include "segment/progress.hpp"
#include "segment/since.hpp"

#include "pg/jsonb.hpp"
#include "pg/spi.hpp"

namespace cdp::segment {

namespace {

constexpr std::size_t kBatch = 1000; // people at once

// Under any key.
std::vector<Timestamp> joined(const std::vector<Range> &ranges) {
  std::vector<Timestamp> turns;
  for (const auto &range : ranges)
    if (!turns.empty() && range.from <= turns.back())
      turns.back() = std::max(turns.back(), range.to);
    else
      turns.insert(turns.end(), {range.from, range.to});
  return turns;
}

// One value at a time.
Presence values_of(std::vector<Range> ranges) {
  Presence made;
  const auto add = [&](Timestamp turn, Key value) {
    if (!made.turns.empty() && made.turns.back() == turn)
      made.values.back() = std::move(value);
    else {
      made.turns.push_back(turn);
      made.values.push_back(std::move(value));
    }
  };
  for (auto &range : ranges) {
    add(range.from, std::move(range.key));
    add(range.to, std::nullopt);
  }
  return made;
}

} // namespace

const Inside *Insides::of(const Judge &judge, const Step &step) {
  const auto asked = judge.segments();
  if (asked.empty())
    return nullptr;
  auto &made = made_.emplace_back();
  for (std::size_t place = 0; place < asked.size(); ++place) {
    auto ranges = ranges_of(asked[place], step);
    std::sort(ranges.begin(), ranges.end(),
              [](const Range &a, const Range &b) { return std::tie(a.from, a.to) < std::tie(b.from, b.to); });
    made.push_back(place + judge.computed() < asked.size() ? Presence{joined(ranges), {}}
                                                           : values_of(std::move(ranges)));
  }
  return &made;
}

std::vector<Range> Insides::ranges_of(std::int32_t segment_id, const Step &step) const {
  if (const Found *found = found_(segment_id); found && !found->broken)
    if (const auto person = found->people.find(step.profile_id); person != found->people.end())
      if (const auto *known = person->second.course.known(step.from, step.decision_seq))
        return known->ranges;
  std::vector<Range> ranges;
  for (const auto &row : stored_.of(step.profile_id, segment_id))
    ranges.push_back(row.range());
  return ranges;
}

Stored stored_of(const std::vector<std::int64_t> &people, const std::vector<std::int32_t> &segments,
                 Timestamp from) {
  static pg::Statement read(
      "SELECT m.segment_id, m.profile_id, m.entered_at, m.left_at, m.key FROM cdp.memberships "
      "AS m WHERE m.profile_id = ANY ($1) AND m.segment_id = ANY ($2) AND m.left_at > $3",
      pg::few_keys);
  Stored stored;
  if (people.empty() || segments.empty())
    return stored;
  auto rows = read.run(pg::Params().bigints(people).integers(segments).timestamp(from));
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto key = rows.optional_text(i, 5);
    stored.add({rows.bigint(i, 2), rows.integer(i, 1), key.has_value(), false,
                key ? std::string_view(*key) : std::string_view(), rows.timestamp(i, 3), rows.timestamp(i, 4),
                0});
  }
  stored.finish();
  return stored;
}

namespace {

Found judge_people(Judge &judge, const std::vector<std::int64_t> &people, Timestamp at) {
  static pg::Statement read("SELECT profile_id, traits::text FROM cdp.profiles WHERE profile_id = ANY ($1)",
                            pg::few_keys);
  pg::Session session;
  auto rows = read.run(pg::Params().bigints(people));
  std::vector<Step> steps;
  for (std::size_t i = 0; i < rows.size(); ++i)
    steps.push_back({rows.bigint(i, 1), kAllEvents, at, rows.text(i, 2)});
  const auto histories = judge.uses_timelines() ? read_histories(people) : Histories();
  const auto stored = stored_of(people, {judge.segments().begin(), judge.segments().end()}, at);
  Insides insides(stored, [](std::int32_t) { return nullptr; });
  std::vector<std::int64_t> ids;
  for (const auto &step : steps)
    ids.push_back(step.profile_id);
  RunsOf runs(ids, std::vector(ids.size(), kAllEvents), {judge.since().begin(), judge.since().end()},
              core::kInfinity);
  std::vector<Stint> stints;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    auto &step = steps[i];
    step.traits_jsonb = pg::parse_jsonb(step.traits);
    const auto history = histories.find(step.profile_id);
    stints.push_back({&step, history == histories.end() ? nullptr : &history->second, core::kInfinity,
                      insides.of(judge, step), runs.since(i, judge.since())});
  }
  Progress progress(judge);
  progress.evaluate(stints);
  return progress.take();
}

} // namespace

void evaluate_dependents(const std::vector<std::int32_t> &segments, const std::vector<std::int64_t> &people,
                         Timestamp at) {
  const auto chosen = dependents(segments);
  for (std::size_t start = 0; start < people.size() && !chosen.empty(); start += kBatch) {
    pg::check_for_interrupts();
    const auto end = std::min(start + kBatch, people.size());
    const std::vector<std::int64_t> some(people.begin() + static_cast<std::ptrdiff_t>(start),
                                         people.begin() + static_cast<std::ptrdiff_t>(end));
    for (Judge *judge : chosen)
      store_found({judge_people(*judge, some, at)});
  }
}

void evaluate_people(std::int32_t segment_id, const std::vector<std::int64_t> &people, Timestamp at) {
  auto found = judge_people(judge_of(segment_id), people, at);
  if (found.broken)
    throw Error(found.broken->sqlstate, found.broken->message, found.broken->detail);
  store_found({std::move(found)});
  evaluate_dependents({segment_id}, people, at);
}

} // namespace cdp::segment
