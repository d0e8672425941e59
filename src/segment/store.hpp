// What an evaluation found, written as one difference.
#pragma once
#include "segment/ledger.hpp"

#include <limits>
#include <unordered_map>

#include "pg/guard.hpp"

namespace cdp::segment {

// The decision of a step that knows every event; such a step leaves no decision on a membership.
inline constexpr std::int64_t kAllEvents = std::numeric_limits<std::int64_t>::max();

// One person in one segment, with what went wrong at their last step.
struct Person {
  Course course;
  std::optional<pg::Failure> failure;
  Timestamp failed_at = 0;
  std::optional<Timestamp> ended;

  void add(Timestamp from, std::int64_t decision, std::vector<Range> ranges) {
    failure.reset();
    course.add({from, decision == kAllEvents ? std::nullopt : std::optional(decision), std::move(ranges)});
  }
  void fail(Timestamp at, const pg::Failure &why) {
    failure = why;
    failed_at = at;
  }
  // The steps before may still be on their way.
  void end(Timestamp at) { ended = at; }
};

struct Found {
  std::int32_t segment_id = 0;
  std::unordered_map<std::int64_t, Person> people;
  std::optional<pg::Failure> broken; // the rule cannot run at all
  Timestamp failed_at = 0;
};

// Of these people only, or of a stretch of profile ids, which is read as one.
struct IdRange {
  std::int64_t first, last;
};
void store_found(const std::vector<Found> &found, std::optional<IdRange> everybody = std::nullopt);

} // namespace cdp::segment
