// The rule compiler. A rule is a HAVING clause; PostgreSQL's own parser and analyser read it, and what comes
// out is SQL text: no node tree and no OID is ever kept. Rooms see strings only.
//
// In all texts `e` is an event, `s` the step that is judged: s.profile_id, s.traits and the instant, s.at.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pg/guard.hpp"

namespace cdp::pg {

// What a comparison with the clock looks at besides the clock.
enum class Level { person, event, group };

// One comparison that the passing of time can turn.
struct Comparison {
  Level level = Level::event;
  std::string guard;               // the comparison matters only where this holds
  std::vector<std::string> inputs; // its clock-free parts
  std::vector<std::string> tests;  // the comparison itself: $1 is the instant, $2 and on the inputs
  std::vector<std::string> zones;  // time zones it depends on
  bool wide = false;               // flips around daylight saving time must be looked for on a grid
  std::vector<std::int64_t>
      offsets; // closed form: it turns at inputs[0] plus these microseconds; else search
};

// An aggregate of a condition: for people, as a value, and the events it looks at.
struct Evidence {
  std::string text, value, filter;
};

// A top-level AND condition.
struct Condition {
  std::string text, truth;
  std::vector<Evidence> evidence;
};

struct Rule {
  std::string having; // boolean, over a group of e
  std::string key;    // the per expression; empty: one membership a person
  bool uses_source = false;
  std::vector<Comparison> comparisons;
  std::vector<Condition> conditions;
};

// Compiles under the settings in force (see AsOwner). Errors point at the character of the text.
Rule compile_rule(const std::string &rule, const std::optional<std::string> &per,
                  const std::string &time_zone);

} // namespace cdp::pg
