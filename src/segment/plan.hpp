// What the compiler made of a rule, as cdp.segments.compiled keeps it: written once, read by every backend.
#pragma once
#include "segment/statements.hpp"

#include "pg/rule_run.hpp"

namespace cdp::segment {

struct Plan {
  Statements statements;
  pg::Relevance relevance;
  std::optional<pg::Decomposition> decomposition;
};

Plan make_plan(const pg::Rule &rule);
std::string to_json(const Plan &plan);
Plan read_plan(std::string_view json);

// An input's definition: equal ones are one input, whatever rules use it. `settings` matter only where the
// input is not portable.
std::string to_json(const pg::Input &input, bool wants_decimal, const pg::RuleSettings &settings);

} // namespace cdp::segment
