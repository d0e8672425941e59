// Everybody at one instant by plain SQL, in a pass over the events: what a rule means, with nothing stored.
#pragma once
#include "segment/plan.hpp"

#include "pg/rule_run.hpp"
#include "pg/spi.hpp"

namespace cdp::segment {

struct Survey {
  struct Holding {
    std::int64_t people = 0; // for whom the condition holds
    std::int64_t kept = 0;   // memberships for which it holds, and all before it
  };
  std::vector<std::int64_t> members; // one a membership
  std::vector<Holding> conditions;
  std::vector<bool> seen;              // the properties that the rule mentions
  std::int64_t people = 0, events = 0; // that were read
  std::int64_t failed = 0;             // people for whom the rule raised an error,
  std::string failure;                 // such as this
};

// Whether any event has the properties; with the rights in force, in the snapshot of the query that called.
std::vector<bool> seen_properties(const pg::Mentions &mentions);

// With the owner's rights, in the snapshot of the query that called; with `conditions` each of them, else the
// rule as a whole. A rule that cannot run at all is an error.
Survey survey(const Plan &plan, const pg::RuleSettings &settings, pg::Timestamp at, bool conditions);

} // namespace cdp::segment
