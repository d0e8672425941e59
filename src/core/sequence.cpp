#include "sequence.hpp"

#include <algorithm>
#include <tuple>

namespace cdp::core {

namespace {

// All that happened at one instant; nothing tells which came first.
struct Instant {
  Timestamp at;
  std::uint64_t steps;
};

using Instants = std::vector<Instant>;
// For each instant, the latest start of a part of a match that ends there. The latest is enough: what is
// asked later of a start is only that it is not too long ago, or not before some instant.
using Starts = std::vector<Timestamp>;

constexpr Timestamp kNever = kMinusInfinity;

// kInfinity as a span is no limit.
Timestamp later(Timestamp at, Timestamp span) {
  Timestamp sum;
  return span == kInfinity || __builtin_add_overflow(at, span, &sum) ? kInfinity : sum;
}

Timestamp earlier(Timestamp at, Timestamp span) {
  Timestamp difference;
  return span == kInfinity || __builtin_sub_overflow(at, span, &difference) ? kMinusInfinity : difference;
}

void first_starts(const Instants &instants, std::uint64_t step, Starts &starts) {
  starts.assign(instants.size(), kNever);
  for (std::size_t i = 0; i < instants.size(); ++i)
    if (instants[i].steps & step)
      starts[i] = instants[i].at;
}

// Starts never fall from one instant to a later one. So the latest instant at which the step before may have
// been is the best, and if it is too early, so are all others.
void next_starts(const Instants &instants, const Starts &before, const Sequence::Step &step, Starts &starts) {
  starts.assign(instants.size(), kNever);
  std::size_t arrived = 0;
  Timestamp from = kNever, start = kNever, disturbed = kMinusInfinity;
  for (std::size_t i = 0; i < instants.size(); ++i) {
    const auto at = instants[i].at;
    if (i > 0 && instants[i - 1].steps & step.absent)
      disturbed = instants[i - 1].at;
    for (; arrived < i && instants[arrived].at <= earlier(at, step.after); ++arrived)
      if (before[arrived] != kNever) {
        from = instants[arrived].at;
        start = before[arrived];
      }
    if (instants[i].steps & step.step && start != kNever &&
        from >= std::max(disturbed, earlier(at, step.within)))
      starts[i] = start;
  }
}

void drop_preceded(const Instants &instants, const Sequence::Absence &absence, Starts &starts) {
  Timestamp seen = kNever;
  for (std::size_t i = 0; i < instants.size(); ++i) {
    if (seen != kNever && seen >= earlier(instants[i].at, absence.within))
      starts[i] = kNever;
    if (instants[i].steps & absence.step)
      seen = instants[i].at;
  }
}

void drop_followed(const Instants &instants, const Sequence::Absence &absence, Starts &starts) {
  Timestamp seen = kNever;
  for (std::size_t i = instants.size(); i-- > 0;) {
    if (seen != kNever && seen <= later(instants[i].at, absence.within))
      starts[i] = kNever;
    if (instants[i].steps & absence.step)
      seen = instants[i].at;
  }
}

// For each instant, the latest start of a whole match that ends there. The room is the caller's, to be used
// again.
void match_starts(const Sequence &sequence, const Instants &instants, Starts &starts, Starts &before) {
  first_starts(instants, sequence.steps.front().step, starts);
  for (const auto &absence : sequence.before)
    drop_preceded(instants, absence, starts);
  for (std::size_t i = 1; i < sequence.steps.size(); ++i) {
    std::swap(starts, before);
    next_starts(instants, before, sequence.steps[i], starts);
  }
  for (const auto &absence : sequence.behind)
    drop_followed(instants, absence, starts);
  for (std::size_t i = 0; i < instants.size(); ++i)
    if (starts[i] < earlier(instants[i].at, sequence.all_within))
      starts[i] = kNever;
}

std::uint64_t steps_wanted(const Sequence &sequence) {
  std::uint64_t wanted = 0;
  for (const auto &step : sequence.steps)
    wanted |= step.step;
  return wanted;
}

// Calls use(instants) for each binding that has at all what a match is made of: most lack a step.
template <class F>
void each_binding(std::span<const SequenceEvent> events, std::uint64_t wanted, std::size_t length, F &&use) {
  thread_local Instants instants; // kept for its room
  for (std::size_t first = 0, next; first < events.size(); first = next) {
    std::uint64_t met = 0;
    for (next = first; next < events.size() && events[next].binding == events[first].binding; ++next)
      met |= events[next].steps;
    if (next - first < length || (met & wanted) != wanted)
      continue;
    instants.clear();
    for (auto i = first; i < next; ++i)
      if (!instants.empty() && instants.back().at == events[i].at)
        instants.back().steps |= events[i].steps;
      else
        instants.push_back({events[i].at, events[i].steps});
    use(instants);
  }
}

template <class F> void each_match(const Sequence &sequence, std::span<const SequenceEvent> events, F &&use) {
  thread_local Starts starts, before; // kept for their room
  each_binding(events, steps_wanted(sequence), sequence.steps.size(), [&](const Instants &instants) {
    match_starts(sequence, instants, starts, before);
    use(instants, starts);
  });
}

} // namespace

void sort_events(std::span<SequenceEvent> events) {
  std::sort(events.begin(), events.end(), [](const SequenceEvent &a, const SequenceEvent &b) {
    return std::tie(a.binding, a.at) < std::tie(b.binding, b.at);
  });
}

std::uint64_t Sequence::steps_used() const {
  std::uint64_t used = 0;
  for (const auto &step : steps)
    used |= step.step | step.absent;
  for (const auto *absences : {&before, &behind})
    for (const auto &absence : *absences)
      used |= absence.step;
  return used;
}

bool Sequence::matches(std::span<const SequenceEvent> events) const {
  return last(events).has_value();
}

std::int64_t Sequence::count(std::span<const SequenceEvent> events) const {
  std::int64_t found = 0;
  each_match(*this, events, [&](const Instants &instants, const Starts &starts) {
    Timestamp end = kNever;
    for (std::size_t i = 0; i < instants.size(); ++i)
      if (starts[i] > end) { // taking what ends first leaves the most room
        end = instants[i].at;
        ++found;
      }
  });
  return found;
}

std::optional<Timestamp> Sequence::last(std::span<const SequenceEvent> events) const {
  std::optional<Timestamp> latest;
  each_match(*this, events, [&](const Instants &instants, const Starts &starts) {
    for (std::size_t i = instants.size(); i-- > 0;)
      if (starts[i] != kNever) {
        latest = std::max(latest, std::optional(instants[i].at));
        return;
      }
  });
  return latest;
}

std::optional<Timestamp> Sequence::latest_start(std::span<const SequenceEvent> events) const {
  std::optional<Timestamp> latest;
  each_match(*this, events, [&](const Instants &, const Starts &starts) {
    for (auto start : starts)
      if (start != kNever)
        latest = std::max(latest, std::optional(start));
  });
  return latest;
}

int funnel_depth(std::span<const SequenceEvent> events, unsigned step_count, Timestamp within) {
  return funnel_reach(events, step_count, within).depth;
}

FunnelReach funnel_reach(std::span<const SequenceEvent> events, unsigned step_count, Timestamp within) {
  FunnelReach reach;
  thread_local Starts starts, before; // kept for their room
  each_binding(events, 1, 1, [&](const Instants &instants) {
    for (unsigned n = 0; n < step_count; ++n) {
      const Sequence::Step step{std::uint64_t{1} << n, within, 0, 0};
      std::swap(starts, before);
      if (n == 0)
        first_starts(instants, step.step, starts);
      else
        next_starts(instants, before, step, starts);
      Timestamp latest = kNever;
      for (std::size_t i = 0; i < instants.size(); ++i) {
        if (starts[i] < earlier(instants[i].at, within))
          starts[i] = kNever;
        latest = std::max(latest, starts[i]);
      }
      if (latest == kNever)
        return;
      const auto depth = static_cast<int>(n + 1);
      if (depth > reach.depth)
        reach = {depth, latest};
      else if (depth == reach.depth)
        reach.start = std::max(reach.start, latest);
    }
  });
  return reach;
}

} // namespace cdp::core
