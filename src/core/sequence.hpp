// Did it happen, in this order? Patterns over one person's events, and the matcher that finds them. Pure
// functions; nothing here throws but std::bad_alloc. docs/sequences.md says what a pattern means.
#pragma once

#include "timestamp.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace cdp::core {

struct SequenceEvent {
  Timestamp at;              // finite
  std::uint64_t steps;       // bit n - 1: it meets step n
  std::uint64_t binding = 0; // a match, and what must be absent from it, is of events with the same one
};

/// The order that the matcher reads events in: by binding, then by time. Equal instants stay unordered.
void sort_events(std::span<SequenceEvent> events);

inline constexpr unsigned kMaxSequenceSteps = 64;

struct PatternError {
  std::string message, hint;
  int position = 0; // in characters of the pattern, from 1
};

struct Sequence {
  struct Step {
    std::uint64_t step = 0;                  // the bit of its number
    Timestamp within = kInfinity, after = 0; // since the step before
    std::uint64_t absent = 0;                // strictly between the step before and this one
  };
  struct Absence {
    std::uint64_t step;
    Timestamp within;
  };

  std::vector<Step> steps;
  std::vector<Absence> before, behind; // the first step, the last step
  Timestamp all_within = kInfinity;    // from the first step to the last

  /// Steps are numbered from 1 to `step_count`, which is at most 64.
  static std::variant<Sequence, PatternError> parse(std::string_view pattern, unsigned step_count);

  /// Events that meet none of these can be left out.
  std::uint64_t steps_used() const;

  // Events as sort_events() puts them; the time grows with the events times the steps of the pattern.
  bool matches(std::span<const SequenceEvent> events) const;
  /// The most matches that lie one after another, each starting later than the one before it ended. With
  /// bindings, of all of them together.
  std::int64_t count(std::span<const SequenceEvent> events) const;
  /// The latest instant at which a match ends.
  std::optional<Timestamp> last(std::span<const SequenceEvent> events) const;
  /// The latest instant at which a match begins: it happened since an instant if this is not before it,
  /// unless the pattern asks what came before it.
  std::optional<Timestamp> latest_start(std::span<const SequenceEvent> events) const;
};

/// The length of a funnel. Days have 24 hours here, as in patterns. The error's position is 0.
std::variant<Timestamp, PatternError> funnel_length(std::int64_t months, std::int64_t days, Timestamp rest);

/// How far a funnel went, and the latest instant at which that began.
struct FunnelReach {
  int depth = 0;
  Timestamp start = kMinusInfinity;
};
FunnelReach funnel_reach(std::span<const SequenceEvent> events, unsigned step_count, Timestamp within);

/// The largest n such that steps 1 to n happened in that order, the last at most `within` after the first.
/// Events as sort_events() puts them.
int funnel_depth(std::span<const SequenceEvent> events, unsigned step_count, Timestamp within);

} // namespace cdp::core
