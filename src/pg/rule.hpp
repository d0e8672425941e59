// The rule compiler. A rule is a HAVING clause; PostgreSQL's own parser and analyser read it, and what comes
// out is SQL text: no node tree and no OID is ever kept. Rooms see strings only.
//
// In all texts `e` is an event, `s` the step that is judged: s.profile_id, s.traits and the instant, s.at;
// s.segments, s.computed and s.since are what the rule asks about by name, by place.
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

// What a condition compares: texts of both sides, of which the first is the one that changes.
struct Compared {
  std::string value, op, bound; // < <= = <> >= >, or "in": bound is an array
  bool is_time = false;
};

// What a rule asks about by name: another segment, cdp.in_segment('vip'), a computed trait,
// computed->>'total_spend', or since when a trait is what it is, cdp.trait_since('plan').
struct Asked {
  std::string name;
  bool is_value = false;       // a computed trait
  std::vector<int> literals;   // where in the rule its name is written
  std::int32_t segment_id = 0; // of a segment or computed trait; whoever compiles finds it
};

// A top-level AND condition, or a part of one.
struct Condition {
  std::string text, truth;
  std::vector<Evidence> evidence;
  std::vector<std::string> traits;                // that it asks for by name
  std::vector<std::size_t> segments;              // their places
  std::vector<std::size_t> computed;              // and of computed traits, from the first one on
  std::vector<std::size_t> since;                 // and of traits that it asks since when they are so
  bool is_membership = false, is_negated = false; // it is cdp.in_segment(…) and no more; or NOT that
  std::optional<Compared> compared;
  std::string joined; // OR or AND, when it has parts
  std::vector<Condition> parts;
};

// What a rule names: what is misspelt is never there.
struct Mentions {
  struct Property {
    std::vector<std::string> events; // empty: of any
    std::string name;
    bool operator==(const Property &) const = default;
  };
  std::vector<std::string> events, traits, functions; // functions: other people's, with schema
  std::vector<std::string> segments;
  std::vector<Property> properties;
};

// Events between these bounds only: `occurred_at op bound`, where the bound moves with the clock.
struct Window {
  std::string op;                 // < <= = >= >
  bool fixed = false;             // the bound is always `distance` microseconds from the clock
  std::int64_t distance = 0;      // of a fixed bound
  std::string bound;              // of any other: SQL text, $1 is the instant
  std::vector<std::string> zones; // time zones it depends on
  bool wide = false;              // it may jump far from where these zones do
  bool operator==(const Window &) const = default;
};

// What an aggregate wants to know of an event, whatever the person and the clock. In these texts $1 to $8 are
// the event columns, in their order.
struct Input {
  std::vector<std::string> events; // only events of these names; empty: of any
  std::string condition;           // and only where this holds; empty: everywhere
  std::string value;               // empty: that it happened
  std::string value_type;
  std::string key;       // what the membership is for, as text; empty: no key
  bool portable = false; // the same whoever runs it, under whatever settings
  bool operator==(const Input &) const = default;
};

// count, count_value, count_distinct, sum, average, minimum, maximum, any, all, first_time, last_time, first,
// last; sequence, sequence_count, last_sequence, funnel: an input is a step, its value the binding; other:
// whatever `called` is.
struct Aggregate {
  std::string function;
  std::string type;        // of the result
  std::string called;      // as regprocedure has it, when PostgreSQL itself is to run it:
  bool distinct = false;   // over values in their own order, each once; else in the order of events,
  bool descending = false; // or from the last to the first
  std::string pattern;     // of a sequence; of a funnel its length in microseconds
  std::int64_t steps = 0;  // 0: it is no sequence and has one input
  std::vector<Input> inputs;
  std::vector<Window> windows;
};

// A comparison outside of aggregates that the passing of time can turn.
struct Turn {
  std::vector<std::string> inputs;
  std::vector<std::string> tests, zones;
  bool wide = false;
  std::vector<std::int64_t> offsets;
  bool still = false; // no aggregate in it
};

// A rule whose every aggregate is understood. In its texts $1 is the instant, $2 profile_id, $3 traits, $4
// and on the aggregates, then whether the person is in each of the segments it asks about, then the computed
// traits it asks for, then since when each of the traits it asks that of is what it is.
struct Decomposition {
  // So many events at least, the last of them so many microseconds ago at most, or nobody is in.
  struct Need {
    static constexpr std::int64_t kAnyTime = INT64_MAX;
    std::int64_t aggregate, events, within = kAnyTime;
  };

  std::string having;
  std::string value; // of a computed trait, as text; null where there is none
  std::vector<Need> needs;
  std::vector<std::string> person_conditions; // those of its AND that look at the person alone
  std::vector<std::string> conditions;        // those of its AND that look at aggregates alone
  std::vector<std::string> falling; // of these, those that never come true again while events only go
  bool only_falls = false;          // all of it never comes true again then
  bool uses_person = false, uses_clock = false; // outside of aggregates
  bool is_fixed = false;                        // the same aggregates always mean the same
  std::vector<Aggregate> aggregates;
  std::vector<Turn> turns;
  std::int64_t segments = 0;                 // how many it asks about
  std::int64_t computed = 0;                 // and of computed traits
  std::int64_t since = 0;                    // of how many traits it asks since when
  std::vector<std::int64_t> needed_segments; // of these, by place, those without which nobody is in
};

// What can change the answer, besides time.
struct Relevance {
  bool any_event = true;
  std::vector<std::string> events; // else only these
  bool traits = true;
};

struct Rule {
  std::string having; // boolean, over a group of e
  std::string key;    // the per expression; empty: one membership a person
  std::string value;  // of a computed trait, jsonb
  bool uses_source = false;
  std::vector<Comparison> comparisons;
  std::vector<Condition> conditions;
  Relevance relevance;
  std::optional<Decomposition> decomposition; // none: only PostgreSQL as a whole can judge it
  std::string obstacle;                       // why there is none
  Mentions mentions;
  bool uses_clock = false;
  bool is_ordered = false;     // some aggregate may mean another thing when events come in another order
  std::vector<Asked> segments; // by place; computed traits come behind
  std::vector<Asked> since;    // traits, by place
  std::string in_sql;          // the rule with the person it is about, where plain SQL needs to be told

  // Why the rule cannot be kept exact; then nothing above is there but what it names, and what it means for
  // everybody: a query.
  std::vector<std::string> reasons;
  std::string query;
};

// Compiles under the settings in force (see AsOwner). Errors point at the character of the text.
Rule compile_rule(const std::string &rule, const std::optional<std::string> &per,
                  const std::string &time_zone);

// The same of a computed trait, whose expression has a value of any type. A person has it where that is not
// null.
Rule compile_computed(const std::string &expression, const std::string &time_zone);

// Where the string constant that begins at a byte of a rule ends.
std::size_t end_of_literal(const std::string &text, std::size_t at);

} // namespace cdp::pg
