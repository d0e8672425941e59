// Golden traits that fall back on computed traits: what these are is known when a step is judged, and then
// the rules that look at golden traits are judged again by them.
#pragma once
#include <map>

#include "profile/people.hpp"
#include "segment/evaluation.hpp"

namespace cdp::pipeline {

class Computed {
public:
  Computed(segment::Evaluation &evaluation, profile::People &people)
      : evaluation_(evaluation), people_(people) {}

  bool followed() const { return people_.follow_computed(); }

  // As Evaluation::evaluate. `open`: what was folded at each step; empty when nothing is followed.
  void evaluate(std::vector<segment::Step> steps, std::vector<core::OpenTraits> open);
  // Of people as they are now, a step each.
  void evaluate(std::vector<segment::Step> steps);

  // Gives everybody the values that they have in the end. Before people are stored.
  void finish();

private:
  struct Last {
    core::OpenTraits open;
    core::Timestamp until; // when time alone gives another value
    core::ComputedValues values;
  };
  void judge(std::vector<segment::Step> steps, std::vector<core::OpenTraits> open);

  segment::Evaluation &evaluation_;
  profile::People &people_;
  std::map<std::int64_t, Last> last_;
};

} // namespace cdp::pipeline
