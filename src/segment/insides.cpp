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
std::vector<Timestamp> joined(std::vector<std::pair<Timestamp, Timestamp>> ranges) {
  std::sort(ranges.begin(), ranges.end());
  std::vector<Timestamp> turns;
  for (const auto &[from, to] : ranges)
    if (!turns.empty() && from <= turns.back())
      turns.back() = std::max(turns.back(), to);
    else
      turns.insert(turns.end(), {from, to});
  return turns;
}

} // namespace

const Inside *Insides::of(std::span<const std::int32_t> segments, const Step &step) {
  if (segments.empty())
    return nullptr;
  auto &made = made_.emplace_back();
  for (auto id : segments)
    made.push_back(turns_of(id, step));
  return &made;
}

std::vector<Timestamp> Insides::turns_of(std::int32_t segment_id, const Step &step) const {
  std::vector<std::pair<Timestamp, Timestamp>> ranges;
  if (const Found *found = found_(segment_id); found && !found->broken)
    if (const auto person = found->people.find(step.profile_id); person != found->people.end())
      if (const auto *known = person->second.course.known(step.from, step.decision_seq)) {
        for (const auto &range : known->ranges)
          ranges.emplace_back(range.from, range.to);
        return joined(std::move(ranges));
      }
  for (const auto &row : stored_.of(step.profile_id, segment_id))
    ranges.emplace_back(row.from, row.to);
  return joined(std::move(ranges));
}

Stored stored_of(const std::vector<std::int64_t> &people, const std::vector<std::int32_t> &segments,
                 Timestamp from) {
  static pg::Statement read(
      "SELECT m.segment_id, m.profile_id, m.entered_at, m.left_at FROM cdp.memberships "
      "AS m WHERE m.profile_id = ANY ($1) AND m.segment_id = ANY ($2) AND m.left_at > $3",
      pg::few_keys);
  Stored stored;
  if (people.empty() || segments.empty())
    return stored;
  auto rows = read.run(pg::Params().bigints(people).integers(segments).timestamp(from));
  for (std::size_t i = 0; i < rows.size(); ++i)
    stored.add({rows.bigint(i, 2),
                rows.integer(i, 1),
                false,
                false,
                {},
                rows.timestamp(i, 3),
                rows.timestamp(i, 4),
                0});
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
                      insides.of(judge.segments(), step), runs.since(i, judge.since())});
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
