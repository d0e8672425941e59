// Takes a rule apart: what each aggregate wants to know of an event, whatever the person and the clock, the
// bounds that move with the clock, and what remains when the aggregates are known.
#include <algorithm>

#include "core/sequence.hpp"
#include "core/timestamp.hpp"

#include "pg/rule_clock.hpp"

extern "C" {
#include "catalog/pg_aggregate.h"
#include "catalog/pg_collation.h"
#include "optimizer/optimizer.h"
#include "utils/regproc.h"
}

namespace cdp::pg::rule {

namespace {

using core::Timestamp;

std::string qualified_type(Oid type) {
  return call([&] { return format_type_extended(type, -1, FORMAT_TYPE_FORCE_QUALIFY); });
}

Oid type_of(Node *node) {
  return call([&] { return exprType(node); });
}

// The bound as an instant; nullptr when it is none.
Node *as_instant(Node *bound) {
  const auto cast = [&](Oid function) {
    return call([&] {
      return reinterpret_cast<Node *>(makeFuncExpr(function, TIMESTAMPTZOID, list_make1(bound), InvalidOid,
                                                   InvalidOid, COERCE_EXPLICIT_CALL));
    });
  };
  switch (type_of(bound)) {
  case TIMESTAMPTZOID:
    return bound;
  case DATEOID:
    return cast(F_TIMESTAMPTZ_DATE);
  case TIMESTAMPOID:
    return cast(F_TIMESTAMPTZ_TIMESTAMP);
  default:
    return nullptr;
  }
}

std::optional<Window> window_of(Node *condition, const Source &source, const std::string &time_zone) {
  if (!IsA(condition, OpExpr) || list_length(reinterpret_cast<OpExpr *>(condition)->args) != 2)
    return std::nullopt;
  auto *operation = reinterpret_cast<OpExpr *>(condition);
  if (builtin_name(call([&] { return get_opcode(operation->opno); })).empty())
    return std::nullopt;
  std::string op = call([&] { return get_opname(operation->opno); });
  static const std::vector<std::string> kOrders = {"<", "<=", "=", ">=", ">"};
  if (std::find(kOrders.begin(), kOrders.end(), op) == kOrders.end())
    return std::nullopt;
  auto *left = static_cast<Node *>(linitial(operation->args));
  auto *right = static_cast<Node *>(lsecond(operation->args));
  if (const auto fixed = fix(op, left, right, time_zone)) {
    if (!is_param(fixed->stands, kOccurredAt))
      return std::nullopt;
    return Window{turned(fixed->op), true, -fixed->offset, {}, {}, false};
  }
  if (is_param(right, kOccurredAt)) {
    std::swap(left, right);
    op = turned(op);
  }
  Node *bound = is_param(left, kOccurredAt) ? as_instant(right) : nullptr;
  Motion motion(source);
  if (!bound || has_param(bound, 1, kEventColumns, true) || has_person(bound) || motion.of(right) != 1)
    return std::nullopt;
  Window made{op, false, 0, to_test(bound), {motion.zones.begin(), motion.zones.end()}, false};
  made.zones.push_back(time_zone);
  made.wide = motion.shifts > 1 || (motion.shifts > 0 && motion.truncates);
  return made;
}

class Decomposer {
public:
  Decomposer(const Source &source, const std::string &time_zone, Node *per)
      : source_(source), time_zone_(time_zone), key_(per ? "(" + to_event_text(per) + ")::text" : ""),
        portable_(is_portable(per) && (!per || reads_the_same(type_of(per)))) {}

  Decomposition made;
  std::string obstacle; // why an aggregate was not understood

  // False: this aggregate is not understood.
  bool add(Aggref *aggregate) {
    Aggregate one;
    one.type = qualified_type(aggregate->aggtype);
    one.inputs.push_back({{}, {}, {}, {}, key_, portable_});
    std::vector<Node *> filters;
    add_conjuncts(reinterpret_cast<Node *>(aggregate->aggfilter), filters);
    for (Node *filter : filters)
      if (!add_filter(filter, one))
        return say(filter, has_person(filter) ? "the filter of an aggregate looks at the person"
                                              : "the filter of an aggregate is beyond a moving window");
    if (!set_function(aggregate, one))
      return say(reinterpret_cast<Node *>(aggregate), "an aggregate that timelines cannot keep");
    made.aggregates.push_back(std::move(one));
    return true;
  }

private:
  bool say(Node *node, const char *what) {
    obstacle = what + (": " + to_display(node));
    return false;
  }

  bool add_filter(Node *filter, Aggregate &one) {
    if (has_person(filter))
      return false;
    if (has_clock(filter, true)) {
      auto window = window_of(filter, source_, time_zone_);
      if (window)
        one.windows.push_back(std::move(*window));
      return window.has_value();
    }
    add_condition(filter, one.inputs.front());
    return true;
  }

  static void add_condition(Node *condition, Input &input) {
    auto names = event_names(condition);
    if (!names.empty() && input.events.empty())
      input.events = std::move(names);
    else
      input.condition += (input.condition.empty() ? "(" : " AND (") + to_event_text(condition) + ")";
    input.portable = input.portable && is_portable(condition);
  }

  static void set_value(Node *value, Input &input) {
    input.value = to_event_text(value);
    input.value_type = qualified_type(type_of(value));
    input.portable = input.portable && is_portable(value);
  }

  // As text, under whatever settings.
  static bool reads_the_same(Oid type) {
    return type == TEXTOID || type == VARCHAROID || type == UUIDOID || type == BOOLOID ||
           is_exact_number(type);
  }

  static bool is_exact_number(Oid type) {
    return type == INT2OID || type == INT4OID || type == INT8OID || type == NUMERICOID;
  }

  // Equal values have equal bytes.
  static bool is_plain(Oid type, Oid collation) {
    switch (type) {
    case TEXTOID:
    case VARCHAROID:
      return call([&] { return !OidIsValid(collation) || get_collation_isdeterministic(collation); });
    case INT2OID:
    case INT4OID:
    case INT8OID:
    case BOOLOID:
    case DATEOID:
    case TIMESTAMPOID:
    case TIMESTAMPTZOID:
    case UUIDOID:
      return true;
    default:
      return false;
    }
  }

  static bool set_function(Aggref *aggregate, Aggregate &one) {
    const std::string name = builtin_name(aggregate->aggfnoid);
    if (aggregate->aggdirectargs || aggregate->aggkind != AGGKIND_NORMAL)
      return false;
    if (name == "array_agg" || name == "jsonb_agg")
      return set_array(aggregate, one);
    if (aggregate->aggorder)
      return false;
    if (name.empty())
      return is_ours(aggregate->aggfnoid) && !aggregate->aggdistinct && set_our_function(aggregate, one);
    if (aggregate->aggstar) {
      one.function = "count";
      return name == "count";
    }
    if (list_length(aggregate->args) != 1)
      return false;
    auto *argument = reinterpret_cast<Node *>(linitial_node(TargetEntry, aggregate->args)->expr);
    if (has_person(argument) || has_clock(argument, true))
      return false;
    const Oid type = type_of(argument);
    const Oid collation = call([&] { return exprCollation(argument); });
    set_value(argument, one.inputs.front());
    if (name == "min" || name == "max") {
      if (OidIsValid(collation) && collation != DEFAULT_COLLATION_OID)
        return false;
      if (is_param(argument, kOccurredAt)) {
        one.inputs.front().value = one.inputs.front().value_type = {};
        one.function = name == "min" ? "first_time" : "last_time";
        return true;
      }
      one.function = name == "min" ? "minimum" : "maximum";
      return true;
    }
    if (name == "count") {
      one.function = aggregate->aggdistinct ? "count_distinct" : "count_value";
      return !aggregate->aggdistinct || is_plain(type, collation);
    }
    if (aggregate->aggdistinct)
      return false;
    if ((name == "sum" || name == "avg") && is_exact_number(type)) {
      one.function = name == "sum" ? "sum" : "average";
      return true;
    }
    static const std::vector<std::string> kOthers = {"sum",         "avg",      "stddev",  "stddev_pop",
                                                     "stddev_samp", "variance", "var_pop", "var_samp",
                                                     "bit_and",     "bit_or",   "bit_xor"};
    if (std::find(kOthers.begin(), kOthers.end(), name) != kOthers.end())
      return set_other(aggregate, one);
    one.function = name == "bool_and" || name == "every" ? "all" : "any";
    return name == "bool_or" || name == "bool_and" || name == "every";
  }

  // What order events come in: 1 as they happened, -1 the other way round, 0 neither.
  static int order_of(Aggref *aggregate) {
    if (!aggregate->aggorder)
      return 1;
    if (list_length(aggregate->aggorder) != 2)
      return 0;
    int order = 0;
    for (int i = 0; i < 2; ++i) {
      auto *clause = list_nth_node(SortGroupClause, aggregate->aggorder, i);
      Node *column = call([&] { return get_sortgroupclause_expr(clause, aggregate->args); });
      const bool falls = call([&] {
        Oid family, type;
        int16 strategy;
        return get_ordering_op_properties(clause->sortop, &family, &type, &strategy) &&
               strategy == BTGreaterStrategyNumber;
      });
      if (!is_param(column, i == 0 ? kOccurredAt : kEventId) || (i == 1 && falls != (order < 0)))
        return 0;
      order = falls ? -1 : 1;
    }
    return order;
  }

  static bool set_array(Aggref *aggregate, Aggregate &one) {
    const int order = order_of(aggregate);
    auto *argument = reinterpret_cast<Node *>(linitial_node(TargetEntry, aggregate->args)->expr);
    if (order == 0 || has_person(argument) || has_clock(argument, true))
      return false;
    const Oid type = type_of(argument);
    one.distinct = aggregate->aggdistinct;
    one.descending = order < 0;
    if (one.distinct &&
        (aggregate->aggorder || !is_plain(type, call([&] { return exprCollation(argument); }))))
      return false;
    set_value(argument, one.inputs.front());
    return !OidIsValid(call([&] { return get_element_type(type); })) && set_other(aggregate, one);
  }

  // Run by PostgreSQL over what timelines have of its argument. All of these are null without events.
  static bool set_other(Aggref *aggregate, Aggregate &one) {
    one.function = "other";
    one.called = call([&] { return format_procedure_qualified(aggregate->aggfnoid); });
    const bool plain = !OidIsValid(aggregate->inputcollid) || aggregate->inputcollid == DEFAULT_COLLATION_OID;
    return plain && one.inputs.front().key.empty(); // groups do not keep the order of events
  }

  static bool is_ours(Oid function) {
    const char *schema = call([&] { return get_namespace_name(get_func_namespace(function)); });
    return schema && std::string_view(schema) == "cdp";
  }

  static bool set_our_function(Aggref *aggregate, Aggregate &one) {
    static const std::string_view kBound = "_by";
    std::string name = call([&] { return get_func_name(aggregate->aggfnoid); });
    const auto arguments = arguments_of(aggregate);
    for (Node *argument : arguments)
      if (has_person(argument) || has_clock(argument, true))
        return false;
    if (name == "first" || name == "last") {
      one.function = name;
      set_value(arguments[0], one.inputs.front());
      return is_param(arguments[1], kOccurredAt) && is_param(arguments[2], kEventId);
    }
    if (name == "longest_gap" || name == "most_frequent") {
      set_value(arguments[0], one.inputs.front());
      return set_other(aggregate, one);
    }
    const bool bound = name.ends_with(kBound);
    one.function = bound ? name.substr(0, name.size() - kBound.size()) : name;
    static const std::vector<std::string> kSequences = {"sequence", "sequence_count", "last_sequence",
                                                        "funnel"};
    if (std::find(kSequences.begin(), kSequences.end(), one.function) == kSequences.end() ||
        !is_param(arguments[1], kOccurredAt) || !IsA(arguments.back(), ArrayExpr))
      return false;
    return set_pattern(arguments[0], one) &&
           set_steps(reinterpret_cast<ArrayExpr *>(arguments.back()), bound ? arguments[2] : nullptr, one);
  }

  static std::vector<Node *> arguments_of(Aggref *aggregate) {
    std::vector<Node *> arguments;
    for (int i = 0; i < list_length(aggregate->args); ++i)
      arguments.push_back(reinterpret_cast<Node *>(list_nth_node(TargetEntry, aggregate->args, i)->expr));
    return arguments;
  }

  static bool set_pattern(Node *argument, Aggregate &one) {
    Node *value = fold(argument);
    if (one.function != "funnel") {
      const auto text = text_of(value);
      one.pattern = text.value_or("");
      return text.has_value();
    }
    if (!IsA(value, Const) || reinterpret_cast<Const *>(value)->constisnull)
      return false;
    const Interval *within = DatumGetIntervalP(reinterpret_cast<Const *>(value)->constvalue);
    const auto length = core::funnel_length(within->month, within->day, within->time);
    if (!std::holds_alternative<Timestamp>(length))
      return false;
    one.pattern = std::to_string(std::get<Timestamp>(length));
    return true;
  }

  // A step is what a count of such events would ask, so that they share it.
  static bool set_steps(ArrayExpr *array, Node *binding, Aggregate &one) {
    auto input = std::move(one.inputs.front());
    one.inputs.clear();
    one.steps = list_length(array->elements);
    if (binding) {
      set_value(binding, input);
      input.value = "(" + input.value + ")::text";
      input.value_type = "text";
      input.portable = input.portable && reads_the_same(type_of(binding));
    }
    for (int i = 0; i < one.steps; ++i) {
      auto &step = one.inputs.emplace_back(input);
      std::vector<Node *> conditions;
      add_conjuncts(static_cast<Node *>(list_nth(array->elements, i)), conditions);
      for (Node *condition : conditions)
        add_condition(condition, step);
    }
    return one.steps >= 1 && one.steps <= 64;
  }

  const Source &source_;
  const std::string &time_zone_;
  std::string key_;
  bool portable_;
};

// In the backend's zone.
struct Replaced {
  List *aggregates;
};

Node *replace_aggregates(Node *node, void *context) {
  if (!node || !IsA(node, Aggref))
    return expression_tree_mutator(node, as_mutator(replace_aggregates), context);
  return stand_in(node, &static_cast<Replaced *>(context)->aggregates);
}

void find_aggregates(Node *node, std::vector<Aggref *> &found) {
  if (IsA(node, Aggref))
    return found.push_back(reinterpret_cast<Aggref *>(node));
  for (Node *child : children(node))
    find_aggregates(child, found);
}

bool lets_nobody_in_later(const Aggregate &aggregate) {
  return std::all_of(aggregate.windows.begin(), aggregate.windows.end(),
                     [](const Window &window) { return window.fixed && window.op[0] == '>'; });
}

bool has_absence(const Aggregate &aggregate) {
  const auto parsed = core::Sequence::parse(aggregate.pattern, static_cast<unsigned>(aggregate.steps));
  const auto *sequence = std::get_if<core::Sequence>(&parsed);
  return !sequence || !sequence->before.empty() || !sequence->behind.empty() ||
         std::any_of(sequence->steps.begin(), sequence->steps.end(),
                     [](const auto &step) { return step.absent != 0; });
}

// `count(…) > 1`, `max(…) >= 10`, a sequence without `not`, where no bound lets events in as time goes on.
bool only_falls(Node *condition, const std::vector<Aggregate> &aggregates) {
  static const std::vector<std::string> kFalling = {"count",   "count_value", "count_distinct",
                                                    "maximum", "last_time",   "funnel"};
  const auto place_of = [](Node *node) {
    return IsA(node, Param) ? reinterpret_cast<Param *>(node)->paramid - kFirstInput : -1;
  };
  if (const auto place = place_of(condition); place >= 0) {
    const auto &aggregate = aggregates[static_cast<std::size_t>(place)];
    return aggregate.function == "sequence" && lets_nobody_in_later(aggregate) && !has_absence(aggregate);
  }
  if (!IsA(condition, OpExpr) || list_length(reinterpret_cast<OpExpr *>(condition)->args) != 2)
    return false;
  auto *operation = reinterpret_cast<OpExpr *>(condition);
  const auto place = place_of(static_cast<Node *>(linitial(operation->args)));
  const std::string op = call([&] { return get_opname(operation->opno); });
  if (place < 0 || builtin_name(call([&] { return get_opcode(operation->opno); })).empty() ||
      !is_constant(static_cast<Node *>(lsecond(operation->args))) || (op != ">" && op != ">="))
    return false;
  const auto &aggregate = aggregates[static_cast<std::size_t>(place)];
  return lets_nobody_in_later(aggregate) &&
         (std::find(kFalling.begin(), kFalling.end(), aggregate.function) != kFalling.end() ||
          (aggregate.function == "sequence_count" && !has_absence(aggregate)));
}

std::optional<std::int64_t> number_of(Node *node) {
  node = fold(node);
  if (!IsA(node, Const) || reinterpret_cast<Const *>(node)->constisnull)
    return std::nullopt;
  auto *constant = reinterpret_cast<Const *>(node);
  switch (constant->consttype) {
  case INT4OID:
    return DatumGetInt32(constant->constvalue);
  case INT8OID:
    return DatumGetInt64(constant->constvalue);
  default:
    return std::nullopt;
  }
}

std::optional<std::int64_t> aggregate_of(Node *node) {
  const bool is = IsA(node, Param) && reinterpret_cast<Param *>(node)->paramid >= kFirstInput;
  return is ? std::optional<std::int64_t>(reinterpret_cast<Param *>(node)->paramid - kFirstInput)
            : std::nullopt;
}

// Events that a match is made of; each of another instant than the one before.
std::int64_t length_of(const Aggregate &aggregate) {
  const auto parsed = core::Sequence::parse(aggregate.pattern, static_cast<unsigned>(aggregate.steps));
  const auto *sequence = std::get_if<core::Sequence>(&parsed);
  return sequence ? std::ssize(sequence->steps) : 1;
}

// `max(occurred_at) >= now() - interval '7 days'`: how long ago the last event can be. Not so with `<>`.
std::int64_t within_of(const std::string &op, Node *left, Node *right, const std::string &time_zone) {
  const auto fixed = fix(op, left, right, time_zone);
  return fixed && aggregate_of(fixed->stands) && (fixed->op == "<" || fixed->op == "<=")
             ? fixed->offset
             : Decomposition::Need::kAnyTime;
}

// How many events an aggregate must have seen for the condition to hold: `count(…) >= 3`, `max(…) < now()`,
// since a comparison with null does not hold.
std::optional<Decomposition::Need> need_of(Node *condition, const std::vector<Aggregate> &aggregates,
                                           const std::string &time_zone) {
  static const std::vector<std::string> kCounts = {"count", "count_value", "count_distinct", "funnel"};
  const auto at = [&](std::int64_t place) -> const Aggregate & {
    return aggregates[static_cast<std::size_t>(place)];
  };
  if (const auto place = aggregate_of(condition)) {
    if (at(*place).function == "sequence")
      return Decomposition::Need{*place, length_of(at(*place))};
    return at(*place).function == "any" ? std::optional(Decomposition::Need{*place, 1}) : std::nullopt;
  }
  if (!IsA(condition, OpExpr) || list_length(reinterpret_cast<OpExpr *>(condition)->args) != 2)
    return std::nullopt;
  auto *operation = reinterpret_cast<OpExpr *>(condition);
  const Oid code = call([&] { return get_opcode(operation->opno); });
  if (builtin_name(code).empty() || !call([&] { return func_strict(code); }))
    return std::nullopt;
  auto *left = static_cast<Node *>(linitial(operation->args)),
       *right = static_cast<Node *>(lsecond(operation->args));
  std::string op = call([&] { return get_opname(operation->opno); });
  if (!aggregate_of(left)) {
    std::swap(left, right);
    op = turned(op);
  }
  const auto place = aggregate_of(left);
  if (!place)
    return std::nullopt;
  const auto &function = at(*place).function;
  if (function == "sequence" || function == "sequence_count") // never null
    return std::nullopt;
  if (function == "last_time" || function == "last_sequence")
    return Decomposition::Need{*place, function == "last_time" ? 1 : length_of(at(*place)),
                               within_of(op, left, right, time_zone)};
  if (std::find(kCounts.begin(), kCounts.end(), function) == kCounts.end())
    return Decomposition::Need{*place, 1}; // null without events
  const auto least = number_of(right);
  if (!least || (op != ">" && op != ">=" && op != "="))
    return std::nullopt;
  return Decomposition::Need{*place, *least + (op == ">")};
}

std::string guarded(const Comparison &one, const std::string &input) {
  return one.guard == "true" ? "(" + input + ")" : "(CASE WHEN " + one.guard + " THEN " + input + " END)";
}

Turn turn_of(const Comparison &one) {
  Turn turn{{}, one.tests, one.zones, one.wide, one.offsets, true};
  for (const auto &input : one.inputs) {
    turn.inputs.push_back(guarded(one, input));
    turn.still = turn.still && one.level == Level::person;
  }
  return turn;
}

} // namespace

std::optional<Decomposition> decompose(const Expression &expression, const Source &source,
                                       const std::string &time_zone, std::string &obstacle) {
  if (expression.per && call([&] { return expression_returns_set(expression.per); })) {
    obstacle = "an event can have several keys";
    return std::nullopt;
  }
  Replaced replaced{NIL};
  Node *having = call([&] { return replace_aggregates(expression.having, &replaced); });
  if (has_param(having, 1, kEventColumns, true)) { // such as the key
    obstacle = "a column of events stands outside of aggregates";
    return std::nullopt;
  }
  Decomposer decomposer(source, time_zone, expression.per);
  for (int i = 0; i < list_length(replaced.aggregates); ++i)
    if (!decomposer.add(static_cast<Aggref *>(list_nth(replaced.aggregates, i)))) {
      obstacle = decomposer.obstacle;
      return std::nullopt;
    }
  auto made = std::move(decomposer.made);
  if (expression.per && made.aggregates.empty()) {
    obstacle = "there is a key, but no aggregate";
    return std::nullopt;
  }
  const int aggregates = list_length(replaced.aggregates);
  const auto spelling = [&](Node *node) { return to_group_text(node, aggregates, expression); };
  made.having = spelling(having);
  if (expression.value) // having is that there is one
    made.value = "(pg_catalog.to_jsonb(" + spelling(children(having).front()) + "))::pg_catalog.text";
  made.segments = segments_of(expression);
  made.computed = std::ssize(expression.segments) - made.segments;
  made.since = std::ssize(expression.since);
  made.uses_person = has_person(having);
  made.uses_clock = has_clock(having, true);
  made.is_fixed = !made.uses_person && !made.uses_clock && is_portable(having);
  std::vector<Node *> conditions;
  add_conjuncts(having, conditions);
  made.only_falls = !made.uses_clock && !has_segment(having);
  for (Node *condition : conditions) {
    if (const auto need = need_of(condition, made.aggregates, time_zone))
      made.needs.push_back(*need);
    if (IsA(condition, Param) && has_segment(condition))
      made.needed_segments.push_back(reinterpret_cast<Param *>(condition)->paramid - kFirstSegment);
    if (has_person(condition) && is_safe(condition) && !has_clock(condition, true) &&
        !has_segment(condition) && !has_since(condition) &&
        !has_param(condition, kFirstInput, INT32_MAX, true))
      made.person_conditions.push_back(spelling(condition));
    if (!has_person(condition) && !has_clock(condition, true)) {
      made.conditions.push_back(spelling(condition));
      if (only_falls(condition, made.aggregates))
        made.falling.push_back(made.conditions.back());
    }
    made.only_falls = made.only_falls && (only_falls(condition, made.aggregates) ||
                                          !has_param(condition, kFirstInput, INT32_MAX, true));
  }
  for (const auto &one : find_comparisons(having, source, time_zone, spelling))
    made.turns.push_back(turn_of(one));
  return made;
}

Relevance find_relevance(const Expression &expression) {
  Relevance relevance{false, {}, has_param(expression.having, kTraits, kTraits, true)};
  std::vector<Aggref *> aggregates;
  find_aggregates(expression.having, aggregates);
  for (Aggref *aggregate : aggregates) {
    std::vector<Node *> filters;
    add_conjuncts(reinterpret_cast<Node *>(aggregate->aggfilter), filters);
    std::vector<std::string> names;
    for (Node *filter : filters)
      if (names.empty())
        names = event_names(filter);
    relevance.any_event = relevance.any_event || names.empty();
    relevance.events.insert(relevance.events.end(), names.begin(), names.end());
  }
  relevance.any_event = relevance.any_event || expression.per;
  return relevance;
}

} // namespace cdp::pg::rule
