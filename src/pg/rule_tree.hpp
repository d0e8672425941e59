// Inside the rule compiler: analysed expressions. Every event column, trait and the clock are Params here, so
// that an expression stands alone; see rule_text.cpp for their names.
#pragma once
#include "pg/rule.hpp"

#include <functional>

extern "C" {
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "utils/fmgroids.h"
}
#undef printf
#undef fprintf
#undef sprintf
#undef snprintf

namespace cdp::pg::rule {

// PostgreSQL 15 declares these callbacks without arguments.
#if PG_VERSION_NUM >= 160000
using Walker = bool (*)(Node *, void *);
using Mutator = Node *(*)(Node *, void *);
#else
using Walker = bool (*)();
using Mutator = Node *(*)();
#endif
inline Walker as_walker(bool (*walker)(Node *, void *)) {
  return reinterpret_cast<Walker>(reinterpret_cast<void (*)()>(walker));
}
inline Mutator as_mutator(Node *(*mutator)(Node *, void *)) {
  return reinterpret_cast<Mutator>(reinterpret_cast<void (*)()>(mutator));
}

// Param numbers: 1..8 are the event columns in their order.
enum ParamNumber {
  kEventColumns = 8,
  kEventId = 1,
  kEvent = 3,
  kSource = 4,
  kOccurredAt = 5,
  kProfileId = 9,
  kTraits = 10,
  kInstant = 11,
  kFirstSegment = 20, // whether the person is in a segment
  kLastSegment = 59,
  kFirstSince = 60, // since when a trait is what it is
  kLastSince = 99,
  kFirstComputed = 100, // a computed trait
  kLastComputed = 139,
  kFirstInput = 140
};

struct Expression {
  Node *having = nullptr;
  Node *per = nullptr;
  Node *value = nullptr;              // of a computed trait; then `having` is that there is one
  std::vector<Asked> segments, since; // computed traits come behind segments
};

// A text with its raw string constants, for errors and for words such as 'today'.
struct Source {
  const std::string *text;
  Node *raw;
  std::string what = "a rule"; // what an error calls it
};

[[noreturn]] void refuse(const Source &source, int location, int sqlstate, std::string message,
                         std::string hint);

Node *parse_expression(const std::string &text, const char *what);
Expression analyse(const std::string &rule, const std::optional<std::string> &per, bool is_value,
                   Source &rule_source, Source &per_source);

std::vector<Node *> children(Node *node);
bool has_clock(Node *node, bool inside_aggregates);
bool has_param(Node *node, int first, int last, bool inside_aggregates);
bool has_aggregate(Node *node);
// Asks about another segment, or for a computed trait: time may turn it, at instants that are known.
bool has_segment(Node *node);
bool has_since(Node *node);  // asks since when a trait is what it is
bool has_person(Node *node); // asks about the person, whatever it is
bool is_constant(Node *node);
bool is_param(Node *node, int number);
std::optional<std::string> text_of(Node *node); // of a text constant
void add_conjuncts(Node *condition, std::vector<Node *> &into);
// The event names that a condition asks for: event = 'X', event IN ('X', 'Y'). Empty: it asks for other
// things.
std::vector<std::string> event_names(Node *condition);
Node *fold(Node *node);
std::string builtin_name(Oid function);               // empty: not one of PostgreSQL's own
bool is_our_function(Oid function, const char *name); // may ereport
inline bool is_instant(Node *node) {
  return IsA(node, Param) && reinterpret_cast<Param *>(node)->paramid == kInstant;
}

// What makes a rule inexact is added to `reasons`; without them it is refused.
void check(Node *node, const Source &source, std::vector<std::string> *reasons = nullptr);
// The rule with the person it is about in each cdp.percentile(), cdp.rank() and cdp.in_segment():
// rule_interval.cpp.
std::string with_person(const Source &source, const Expression &expression);
bool is_literal(const std::string &text, int location); // a string constant begins there
// The oracle of docs/design.md.
std::string meaning(const std::string &having, const std::optional<std::string> &per, bool asks_computed);
std::vector<Node *> raw_children(Node *node);
// Cannot fail on any value: such a condition may be asked before the ones that were written in front of it.
bool is_safe(Node *node);
// Made of PostgreSQL's own immutable functions alone.
bool is_portable(Node *node);

std::string to_sql(Node *node);
std::string to_test(Node *node); // with $1 for the instant and $2… for the inputs
std::string to_display(Node *node);
std::string to_event_text(Node *node);         // with $1 to $8 for the event columns
int segments_of(const Expression &expression); // without computed traits
// See Decomposition.
std::string to_group_text(Node *node, int aggregates, const Expression &expression);

// While this lives, to_display() knows the names of what a rule asks about.
class NamedAsked {
public:
  explicit NamedAsked(const Expression &expression);
  ~NamedAsked();
  NamedAsked(const NamedAsked &) = delete;
  NamedAsked &operator=(const NamedAsked &) = delete;
};

using Spelling = std::function<std::string(Node *)>;
std::vector<Comparison> find_comparisons(Node *having, const Source &source, const std::string &time_zone,
                                         Spelling spelling = to_sql);
// None: `obstacle` says why.
std::optional<Decomposition> decompose(const Expression &expression, const Source &source,
                                       const std::string &time_zone, std::string &obstacle);
Relevance find_relevance(const Expression &expression);
std::vector<Condition> find_conditions(const Expression &expression, const Source &source);
Mentions find_mentions(Node *node);
void add_mentions(Node *node, Mentions &found);

} // namespace cdp::pg::rule
