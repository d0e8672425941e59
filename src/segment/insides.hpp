// Where people are in the segments that rules ask about, as known at a step: as this evaluation found it,
// else as it is stored.
#pragma once
#include "segment/judge.hpp"
#include "segment/store.hpp"
#include "segment/sweep.hpp"

#include <deque>

namespace cdp::segment {

class Insides {
public:
  // What was found of a segment so far; nullptr: nothing.
  using FindFound = std::function<const Found *(std::int32_t)>;

  Insides(const Stored &stored, FindFound found) : stored_(stored), found_(std::move(found)) {}

  // Lives as long as this does.
  const Inside *of(const Judge &judge, const Step &step);
  std::vector<Range> ranges_of(std::int32_t segment_id, const Step &step) const;

private:
  const Stored &stored_;
  FindFound found_;
  std::deque<Inside> made_;
};

// What is stored of these people in these segments from an instant on.
Stored stored_of(const std::vector<std::int64_t> &people, const std::vector<std::int32_t> &segments,
                 Timestamp from);

// Judges people whose profiles are locked by the rules that ask about these segments, whose memberships are
// stored and may be others now. One that cannot run at all is written down.
void evaluate_dependents(const std::vector<std::int32_t> &segments, const std::vector<std::int64_t> &people,
                         Timestamp at);

} // namespace cdp::segment
