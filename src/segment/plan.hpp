// What the compiler made of a rule, as cdp.segments.compiled keeps it: written once, read by every backend.
#pragma once
#include "segment/statements.hpp"

#include "pg/rule_run.hpp"

namespace cdp::segment {

// The rule itself, for looking at everybody at once and for people.
struct Outline {
  std::string having, key;
  bool uses_source = false, uses_clock = false, is_value = false;
  std::vector<pg::Condition> conditions; // their texts and truths
  pg::Mentions mentions;
  std::string obstacle; // why there is no decomposition
};

struct Plan {
  Statements statements;
  pg::Relevance relevance;
  std::optional<pg::Decomposition> decomposition;
  Outline outline;
  std::vector<std::int32_t> segments; // that the rule asks about, by place; computed traits come behind:
  std::size_t computed = 0;           // so many
  std::vector<std::string> since;     // traits of which it asks since when they are so, by place

  // The events that can matter; none: any. People without such an event have none, as far as the rule can
  // say.
  std::vector<std::string> events() const;
  bool looks_at_events() const { return relevance.any_event || !relevance.events.empty(); }
};

Plan make_plan(const pg::Rule &rule);
std::string to_json(const Plan &plan);
Plan read_plan(std::string_view json);

// An input's definition: equal ones are one input, whatever rules use it. `settings` matter only where the
// input is not portable.
std::string to_json(const pg::Input &input, bool wants_decimal, const pg::RuleSettings &settings);

} // namespace cdp::segment
