// A compiled rule in words.
#pragma once
#include "segment/plan.hpp"

#include "pg/rule_run.hpp"

namespace cdp::segment {

struct Line {
  std::string part;
  std::optional<int> number;
  std::string text;
  std::string details = "{}"; // jsonb
  std::optional<std::int64_t> people, kept;
};

// What is asked of events, and what the rule depends on.
std::vector<Line> describe_aggregates(const Plan &plan);
std::vector<Line> describe_dependencies(const Plan &plan);

std::string why_exact(const Plan &plan);
// Who judges messages as they come, and why; `by_timelines` as it is, or would be, decided.
std::string why_judged(const Plan &plan, bool by_timelines);

} // namespace cdp::segment
