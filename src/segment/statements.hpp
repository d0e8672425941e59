// The SQL that judges a segment, made of what the compiler found.
#pragma once
#include <string>
#include <vector>

#include "pg/rule.hpp"

namespace cdp::segment {

// A comparison whose turns are searched for (or added up, by offsets) with inputs that a query brings.
struct SearchPlan {
  std::string level;        // person, event or group
  int first = 0, count = 0; // its input columns in that level's query
  std::vector<std::string> tests, zones;
  bool wide = false;
  std::vector<std::int64_t> offsets;
};

struct Statements {
  std::string judge;                                     // the truth at every candidate instant
  std::string person_inputs, event_inputs, group_inputs; // empty: nothing to search there
  std::string explain;                                   // why_member
  std::vector<SearchPlan> searches;
};

Statements make_statements(const pg::Rule &rule);

} // namespace cdp::segment
