// Judges all people at one instant, reading everything once whatever the number of segments.
#pragma once
#include "segment/judge.hpp"

namespace cdp::segment {

// For segments that are new or were broken, with all that ask about them. The caller keeps writers away
// (cdp.segments is locked). A rule that cannot run at all is written down, or, the first one, an error.
enum class Broken { is_noted, is_error };
// Says what it took.
struct Effort {
  std::int64_t people = 0, events = 0, changed = 0; // changed: memberships
};
Effort evaluate_everybody(const std::vector<Judge *> &judges, Timestamp at, Broken broken);

} // namespace cdp::segment
