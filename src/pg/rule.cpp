#include <algorithm>

#include "pg/pointing.hpp"
#include "pg/rule_tree.hpp"

extern "C" {
#include "catalog/namespace.h"
#include "catalog/pg_collation.h"
#include "mb/pg_wchar.h"
#include "optimizer/optimizer.h"
#include "parser/analyze.h"
#include "parser/parse_node.h"
#include "parser/parser.h"
}

namespace cdp::pg {

namespace rule {

namespace {

// The oracle's shape, with the columns a rule may use. The real tables come in when the rule is evaluated.
const char kTemplate[] =
    "SELECT FROM (SELECT NULL::pg_catalog.int8 AS profile_id, NULL::pg_catalog.jsonb AS traits, "
    "NULL::pg_catalog.jsonb AS computed) p WHERE "
    "EXISTS "
    "(SELECT FROM (SELECT NULL::pg_catalog.int8 AS event_id, NULL::pg_catalog.text AS type, "
    "NULL::pg_catalog.text AS event, NULL::pg_catalog.text AS source, NULL::pg_catalog.timestamptz AS "
    "occurred_at, "
    "NULL::pg_catalog.timestamptz AS received_at, NULL::pg_catalog.jsonb AS properties, "
    "NULL::pg_catalog.jsonb AS context) e)";

const char kColumnsHint[] =
    "There are the event columns event_id, type, event, source, occurred_at, received_at, "
    "properties and context, and of the person traits, computed and profile_id.";

// What to write instead of what many write first; nullptr: nothing to say.
const char *of_common_mistake(const ErrorData &data) {
  const auto says = [&](const char *part) { return data.message && strstr(data.message, part) != nullptr; };
  const char *text = data.internalquery ? data.internalquery : "";
  switch (data.sqlerrcode) {
  case ERRCODE_UNDEFINED_TABLE:
    for (const char *column : {"\"traits\"", "\"properties\"", "\"context\"", "\"computed\""})
      if (says(column))
        return "traits, computed, properties and context are jsonb: write traits ->> 'country', not "
               "traits.country.";
    return nullptr;
  case ERRCODE_INVALID_TEXT_REPRESENTATION:
    return says("type json") ? "-> and [] give jsonb: write traits ->> 'country' = 'NL'." : nullptr;
  case ERRCODE_INVALID_DATETIME_FORMAT:
    return "A time is written '2026-01-31', and a length of time interval '7 days': now() - interval '7 "
           "days'.";
  case ERRCODE_DATATYPE_MISMATCH:
    return says("argument of HAVING")
               ? "A rule is a condition: compare the value with another, such as count(*) > 0."
               : nullptr;
  case ERRCODE_UNDEFINED_FUNCTION:
    if (says("timestamp with time zone - integer"))
      return "Write a length of time with its unit: now() - interval '7 days'.";
    if (says("jsonb ") && (says(" integer") || says(" numeric")))
      return "-> gives jsonb: write (properties ->> 'total')::numeric > 50.";
    return says(": text ") && (says(" integer") || says(" numeric") || says(" bigint") || says(" boolean"))
               ? "->> gives text: write (traits ->> 'age')::numeric > 30."
               : nullptr;
  case ERRCODE_UNDEFINED_COLUMN: {
    const int before =
        pg_mbcharcliplen(text, static_cast<int>(strlen(text)), std::max(data.internalpos - 1, 0));
    return text[before] == '"'
               ? "What stands in double quotes is a column; write a text in single quotes: 'NL'."
               : nullptr;
  }
  case ERRCODE_SYNTAX_ERROR:
    return pg_strncasecmp(text + strspn(text, " \t\r\n"), "select", 6) == 0
               ? "A rule is a condition, without SELECT. What a whole query finds is a segment, too: "
                 "cdp.create_segment(name, query => 'SELECT profile_id FROM …')."
               : nullptr;
  default:
    return nullptr;
  }
}

// What the parser or analyser found, said of a rule.
void explain(ErrorData *data) {
  if (const char *hint = of_common_mistake(*data))
    data->hint = pstrdup(hint);
  if (data->sqlerrcode == ERRCODE_UNDEFINED_COLUMN && !data->hint)
    data->hint = pstrdup(kColumnsHint);
  if (data->sqlerrcode == ERRCODE_GROUPING_ERROR && !data->hint)
    data->hint =
        pstrdup("Event columns belong into aggregates, such as count(*) FILTER (WHERE event = 'X') > 0; "
                "traits stand outside of them.");
}

template <class F> auto pointing_at(const std::string &text, F &&body) {
  return pg::pointing_at(text, std::forward<F>(body), explain);
}

// The clause, besides one expression, that a text brought with it; nullptr if none.
Node *surplus(SelectStmt *select) {
  for (List *clause : {select->distinctClause, select->fromClause, select->groupClause, select->windowClause,
                       select->valuesLists, select->sortClause, select->lockingClause})
    if (clause != NIL) {
      auto *first = static_cast<Node *>(linitial(clause));
      return first ? first : reinterpret_cast<Node *>(select);
    }
  for (Node *clause : {select->whereClause, select->havingClause, select->limitOffset, select->limitCount})
    if (clause)
      return clause;
  if (select->intoClause || select->withClause || select->op != SETOP_NONE)
    return reinterpret_cast<Node *>(select);
  return nullptr;
}

struct Analysed {
  Node *having, *per;
  int groups;
};

// In the backend's zone: no C++ objects here.
Analysed run_analyser(Node *having, Node *per, const char *text) {
  auto *statement = linitial_node(RawStmt, raw_parser(kTemplate, RAW_PARSE_DEFAULT));
  auto *exists = castNode(SubLink, castNode(SelectStmt, statement->stmt)->whereClause);
  auto *inner = castNode(SelectStmt, exists->subselect);
  inner->havingClause = having;
  inner->groupClause = per ? list_make1(per) : NIL;

  ParseState *state = make_parsestate(nullptr);
  state->p_sourcetext = text;
  Query *outer = transformTopLevelStmt(state, statement);
  auto *query = castNode(Query, castNode(SubLink, outer->jointree->quals)->subselect);
  Analysed result{query->havingQual, nullptr, list_length(query->groupClause)};
  if (result.groups == 1)
    result.per =
        get_sortgroupclause_expr(linitial_node(SortGroupClause, query->groupClause), query->targetList);
#if PG_VERSION_NUM >= 180000
  if (query->hasGroupRTE) {
    result.having = flatten_group_exprs(nullptr, query, result.having);
    if (result.per)
      result.per = flatten_group_exprs(nullptr, query, result.per);
  }
#endif
  free_parsestate(state);
  return result;
}

Node *param(int number, Oid type, Oid collation, int location) {
  auto *made = makeNode(Param);
  made->paramkind = PARAM_EXTERN;
  made->paramid = number;
  made->paramtype = type;
  made->paramtypmod = -1;
  made->paramcollid = collation;
  made->location = location;
  return reinterpret_cast<Node *>(made);
}

Node *cast(Oid function, Oid type, Node *argument, int precision = -1) {
  List *arguments = list_make1(argument);
  if (precision >= 0)
    arguments =
        lappend(arguments, makeConst(INT4OID, -1, InvalidOid, 4, Int32GetDatum(precision), false, true));
  return reinterpret_cast<Node *>(
      makeFuncExpr(function, type, arguments, InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL));
}

Node *clock(const SQLValueFunction *value) {
  Node *instant = param(kInstant, TIMESTAMPTZOID, InvalidOid, value->location);
  switch (value->op) {
  case SVFOP_CURRENT_TIMESTAMP:
    return instant;
  case SVFOP_CURRENT_TIMESTAMP_N:
    return cast(F_TIMESTAMPTZ_TIMESTAMPTZ_INT4, TIMESTAMPTZOID, instant, value->typmod);
  case SVFOP_CURRENT_DATE:
    return cast(F_DATE_TIMESTAMPTZ, DATEOID, instant);
  case SVFOP_LOCALTIMESTAMP:
    return cast(F_TIMESTAMP_TIMESTAMPTZ, TIMESTAMPOID, instant);
  case SVFOP_LOCALTIMESTAMP_N:
    return cast(F_TIMESTAMP_TIMESTAMP_INT4, TIMESTAMPOID,
                cast(F_TIMESTAMP_TIMESTAMPTZ, TIMESTAMPOID, instant), value->typmod);
  default:
    return nullptr;
  }
}

// What a rule asks about by name. In the backend's zone.
struct Names {
  List *places;   // each a Const
  List *literals; // all of them
  int first, last;
};

struct Reading {
  const char *text;
  Names segments, since, computed;
};

int position(const Reading *reading, int location) {
  return errposition(pg_mbstrlen_with_len(reading->text, std::max(location, 0)) + 1);
}

bool same_text(Const *one, Const *other) {
  return DatumGetBool(
      DirectFunctionCall2Coll(texteq, DEFAULT_COLLATION_OID, one->constvalue, other->constvalue));
}

int place_of(Const *name, Reading *reading, Names *names, const char *called) {
  names->literals = lappend(names->literals, name);
  int place = 0;
  for (; place < list_length(names->places); ++place)
    if (same_text(name, reinterpret_cast<Const *>(list_nth(names->places, place))))
      return place;
  names->places = lappend(names->places, name);
  if (place > names->last - names->first)
    ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                    errmsg("a rule cannot ask cdp.%s about more than %d names", called,
                           names->last - names->first + 1),
                    position(reading, name->location)));
  return place;
}

// cdp.in_segment('vip') and cdp.trait_since('plan') become Params, too. In the backend's zone.
Node *asked(FuncExpr *function, Reading *reading, Names *names) {
  auto *name = static_cast<Node *>(linitial(function->args));
  if (IsA(name, NamedArgExpr))
    name = reinterpret_cast<Node *>(reinterpret_cast<NamedArgExpr *>(name)->arg);
  const char *called = get_func_name(function->funcid);
  if (!IsA(name, Const) || reinterpret_cast<Const *>(name)->constisnull ||
      !is_literal(reading->text, reinterpret_cast<Const *>(name)->location))
    ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                    errmsg("the name that cdp.%s is asked about must be a constant", called),
                    errhint("Write it as it is: cdp.%s('name').", called),
                    position(reading, exprLocation(name) < 0 ? function->location : exprLocation(name))));
  const int place = place_of(reinterpret_cast<Const *>(name), reading, names, called);
  return param(names->first + place, function->funcresulttype, InvalidOid, function->location);
}

bool is_computed(Node *node) {
  return IsA(node, Var) && reinterpret_cast<Var *>(node)->varlevelsup == 1 &&
         kProfileId + reinterpret_cast<Var *>(node)->varattno - 1 == kInstant;
}

// computed->>'total_spend' is text, computed->'total_spend' jsonb; nullptr: it is another operator. In the
// backend's zone.
Node *computed(OpExpr *operation, Reading *reading) {
  if (list_length(operation->args) != 2 || !is_computed(static_cast<Node *>(linitial(operation->args))))
    return nullptr;
  auto *name = static_cast<Node *>(lsecond(operation->args));
  const bool is_text = operation->opfuncid == F_JSONB_OBJECT_FIELD_TEXT;
  if ((!is_text && operation->opfuncid != F_JSONB_OBJECT_FIELD) || !IsA(name, Const) ||
      reinterpret_cast<Const *>(name)->constisnull ||
      !is_literal(reading->text, reinterpret_cast<Const *>(name)->location))
    return nullptr;
  const int place = place_of(reinterpret_cast<Const *>(name), reading, &reading->computed, "computed");
  Node *value = param(kFirstComputed + place, JSONBOID, InvalidOid, operation->location);
  if (!is_text)
    return value;
  auto *whole = makeConst(TEXTARRAYOID, -1, DEFAULT_COLLATION_OID, -1,
                          PointerGetDatum(construct_empty_array(TEXTOID)), false, false);
  auto *text = reinterpret_cast<OpExpr *>(make_opclause(
      OpernameGetOprid(list_make2(makeString(pstrdup("pg_catalog")), makeString(pstrdup("#>>"))), JSONBOID,
                       TEXTARRAYOID),
      TEXTOID, false, reinterpret_cast<Expr *>(value), reinterpret_cast<Expr *>(whole), operation->opcollid,
      operation->inputcollid));
  set_opfuncid(text);
  return reinterpret_cast<Node *>(text);
}

// Columns and the clock become Params. In the backend's zone.
Node *to_params(Node *node, void *context) {
  if (!node)
    return nullptr;
  auto *reading = static_cast<Reading *>(context);
  if (IsA(node, Var)) {
    auto *var = reinterpret_cast<Var *>(node);
    if (var->varattno <= 0)
      ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("a rule cannot use a whole row"),
                      errhint("%s", kColumnsHint), position(reading, var->location)));
    if (is_computed(node))
      ereport(ERROR,
              (errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("computed traits are asked for by name"),
               errhint("Write computed->>'name', or computed->'name' for jsonb, with a constant name."),
               position(reading, var->location)));
    const int number = var->varlevelsup == 0 ? var->varattno : kProfileId + var->varattno - 1;
    return param(number, var->vartype, var->varcollid, var->location);
  }
  if (IsA(node, FuncExpr)) {
    auto *function = reinterpret_cast<FuncExpr *>(node);
    if (function->funcid == F_NOW || function->funcid == F_TRANSACTION_TIMESTAMP)
      return param(kInstant, TIMESTAMPTZOID, InvalidOid, function->location);
    if (list_length(function->args) == 1 && is_our_function(function->funcid, "in_segment"))
      return asked(function, reading, &reading->segments);
    if (list_length(function->args) == 1 && is_our_function(function->funcid, "trait_since"))
      return asked(function, reading, &reading->since);
  }
  if (IsA(node, OpExpr))
    if (Node *made = computed(reinterpret_cast<OpExpr *>(node), reading))
      return made;
  if (IsA(node, SQLValueFunction))
    if (Node *made = clock(reinterpret_cast<SQLValueFunction *>(node)))
      return made;
  return expression_tree_mutator(node, as_mutator(to_params), context);
}

// Equal keys must have equal texts, or one person's memberships would change their key at random.
void check_key(Node *key, const Source &source) {
  const Oid type = call([&] { return getBaseType(exprType(key)); });
  switch (type) {
  case TEXTOID:
  case VARCHAROID:
  case BPCHAROID:
  case NAMEOID:
  case INT2OID:
  case INT4OID:
  case INT8OID:
  case UUIDOID:
  case BOOLOID:
  case DATEOID:
  case TIMESTAMPOID:
  case TIMESTAMPTZOID:
    break;
  default:
    // From 18 on a plain column that is grouped by has lost its place: then it is the whole text.
    refuse(source, std::max(0, call([&] { return exprLocation(key); })), ERRCODE_DATATYPE_MISMATCH,
           "a key cannot be of type " + std::string(call([&] { return format_type_be(type); })),
           "Cast it to text: equal keys must read the same.");
  }
  const Oid collation = call([&] { return exprCollation(key); });
  if (OidIsValid(collation) && !call([&] { return get_collation_isdeterministic(collation); }))
    refuse(source, call([&] { return exprLocation(key); }), ERRCODE_INVALID_OBJECT_DEFINITION,
           "a key cannot have a nondeterministic collation", "Add COLLATE \"C\".");
}

// By place.
std::vector<Asked> by_place(const Names &names, bool is_value = false) {
  const auto name_of = [](List *list, int place) {
    return std::string(call(
        [&] { return TextDatumGetCString(reinterpret_cast<Const *>(list_nth(list, place))->constvalue); }));
  };
  std::vector<Asked> found;
  for (int i = 0; i < list_length(names.places); ++i)
    found.push_back({name_of(names.places, i), is_value, {}, 0});
  for (int i = 0; i < list_length(names.literals); ++i)
    for (auto &one : found)
      if (one.name == name_of(names.literals, i))
        one.literals.push_back(reinterpret_cast<Const *>(list_nth(names.literals, i))->location);
  return found;
}

} // namespace

void refuse(const Source &source, int location, int sqlstate, std::string message, std::string hint) {
  throw Error(sqlstate, std::move(message), {}, std::move(hint))
      .at(*source.text, character_at(*source.text, location));
}

Node *parse_expression(const std::string &text, const char *what) {
  List *parsed = pointing_at(text, [&] { return raw_parser(text.c_str(), RAW_PARSE_PLPGSQL_EXPR); });
  auto *select = call([&] { return castNode(SelectStmt, linitial_node(RawStmt, parsed)->stmt); });
  const std::string one = std::string(what) + " is exactly one expression";
  const char *hint =
      std::string_view(what).ends_with("trait")
          ? "Write one value, such as count(*), without SELECT, FROM, WHERE or ORDER BY."
          : "Write conditions joined by AND and OR, without SELECT, FROM, WHERE, HAVING or ORDER BY.";
  const Source source{&text, nullptr};
  if (Node *clause = surplus(select))
    refuse(source, call([&] { return exprLocation(clause); }), ERRCODE_SYNTAX_ERROR, one, hint);
  if (list_length(select->targetList) != 1)
    refuse(source, select->targetList == NIL ? 0 : call([&] {
             return exprLocation(static_cast<Node *>(lsecond(select->targetList)));
           }),
           ERRCODE_SYNTAX_ERROR, one, hint);
  auto *target = reinterpret_cast<ResTarget *>(linitial(select->targetList));
  if (target->name || target->indirection != NIL)
    refuse(source, target->location, ERRCODE_SYNTAX_ERROR,
           one + ", without an alias" + (target->name ? " (" + std::string(target->name) + ")" : ""), hint);
  return target->val;
}

// An expression has a value where it is not null. In the backend's zone.
static Node *not_null(Node *raw) {
  auto *test = makeNode(NullTest);
  test->arg = reinterpret_cast<Expr *>(raw);
  test->nulltesttype = IS_NOT_NULL;
  test->location = -1;
  return reinterpret_cast<Node *>(test);
}

static Reading reading_of(const std::string &text) {
  return {text.c_str(),
          {NIL, NIL, kFirstSegment, kLastSegment},
          {NIL, NIL, kFirstSince, kLastSince},
          {NIL, NIL, kFirstComputed, kLastComputed}};
}

Expression analyse(const std::string &rule, const std::optional<std::string> &per, bool is_value,
                   Source &rule_source, Source &per_source) {
  // Analysis scribbles on raw trees, so each use parses anew.
  const char *what = is_value ? "a computed trait" : "a rule";
  rule_source = {&rule, parse_expression(rule, what), what};
  if (per) {
    per_source = {&*per, parse_expression(*per, "per")};
    Node *raw = parse_expression(*per, "per");
    auto analysed = pointing_at(*per, [&] { return run_analyser(nullptr, raw, per->c_str()); });
    if (analysed.groups != 1)
      refuse(per_source, 0, ERRCODE_SYNTAX_ERROR, "per is exactly one expression",
             "Use concat_ws('|', …) for several.");
  }
  Node *raw_rule = parse_expression(rule, what);
  if (is_value)
    raw_rule = call([&] { return not_null(raw_rule); });
  Node *raw_per = per ? parse_expression(*per, "per") : nullptr;
  auto analysed = pointing_at(rule, [&] { return run_analyser(raw_rule, raw_per, rule.c_str()); });
  Expression result;
  Reading reading = reading_of(rule);
  result.having = pointing_at(rule, [&] { return to_params(analysed.having, &reading); });
  if (is_value)
    result.value = reinterpret_cast<Node *>(castNode(NullTest, result.having)->arg);
  result.segments = by_place(reading.segments);
  for (auto &one : by_place(reading.computed, true))
    result.segments.push_back(std::move(one));
  result.since = by_place(reading.since);
  if (per) {
    Reading of_key = reading_of(*per);
    result.per = pointing_at(*per, [&] { return to_params(analysed.per, &of_key); });
    check_key(result.per, per_source);
  }
  return result;
}

// In the backend's zone.
static bool collect(Node *child, void *context) {
  if (!child)
    return false;
  if (IsA(child, List)) {
    ListCell *cell;
    foreach (cell, reinterpret_cast<List *>(child))
      collect(static_cast<Node *>(lfirst(cell)), context);
    return false;
  }
  auto *into = static_cast<List **>(context);
  *into = lappend(*into, child);
  return false;
}

std::vector<Node *> children(Node *node) {
  List *found = call([&] {
    List *list = NIL;
    expression_tree_walker(node, as_walker(collect), &list);
    return list;
  });
  std::vector<Node *> result;
  for (int i = 0; i < list_length(found); ++i)
    result.push_back(static_cast<Node *>(list_nth(found, i)));
  return result;
}

bool has_param(Node *node, int first, int last, bool inside_aggregates) {
  if (!node || (IsA(node, Aggref) && !inside_aggregates))
    return false;
  if (IsA(node, Param)) {
    const int number = reinterpret_cast<Param *>(node)->paramid;
    return number >= first && number <= last;
  }
  for (Node *child : children(node))
    if (has_param(child, first, last, inside_aggregates))
      return true;
  return false;
}

bool has_clock(Node *node, bool inside_aggregates) {
  return has_param(node, kInstant, kInstant, inside_aggregates);
}

bool has_aggregate(Node *node) {
  if (!node)
    return false;
  if (IsA(node, Aggref))
    return true;
  for (Node *child : children(node))
    if (has_aggregate(child))
      return true;
  return false;
}

bool has_segment(Node *node) {
  return has_param(node, kFirstSegment, kLastSegment, true) ||
         has_param(node, kFirstComputed, kLastComputed, true);
}

bool has_since(Node *node) {
  return has_param(node, kFirstSince, kLastSince, true);
}

bool has_person(Node *node) {
  return has_param(node, kProfileId, kTraits, true) || has_segment(node) || has_since(node);
}

bool is_our_function(Oid function, const char *name) {
  const char *called = get_func_name(function);
  return called && strcmp(called, name) == 0 &&
         get_func_namespace(function) == get_namespace_oid("cdp", true);
}

// An aggregate of nothing else would belong to everybody; and who is in a segment is the same for all events.
static void refuse_in_aggregates(Node *node, const Source &source, bool inside) {
  if (IsA(node, Aggref) && has_since(node) && !has_param(node, 1, kEventColumns, true))
    refuse(source, call([&] { return exprLocation(node); }), ERRCODE_FEATURE_NOT_SUPPORTED,
           "an aggregate must look at events", "Put cdp.trait_since(name) beside it.");
  if (inside && IsA(node, Param) && has_segment(node))
    refuse(source, reinterpret_cast<Param *>(node)->location, ERRCODE_FEATURE_NOT_SUPPORTED,
           has_param(node, kFirstSegment, kLastSegment, true)
               ? "cdp.in_segment(name) cannot stand in an aggregate"
               : "a computed trait cannot stand in an aggregate",
           "Put it beside: cdp.in_segment('vip') AND count(*) > 0.");
  for (Node *child : children(node))
    refuse_in_aggregates(child, source, inside || IsA(node, Aggref));
}

bool is_constant(Node *node) {
  return !has_param(node, 1, INT32_MAX, true) && !has_aggregate(node);
}

Node *fold(Node *node) {
  return call([&] { return eval_const_expressions(nullptr, node); });
}

} // namespace rule

static Mentions mentions_of(const rule::Expression &expression) {
  Mentions found;
  rule::add_mentions(expression.having, found);
  if (expression.per)
    rule::add_mentions(expression.per, found);
  for (const auto &one : expression.segments)
    found.segments.push_back(one.name);
  for (const auto &one : expression.since)
    if (std::find(found.traits.begin(), found.traits.end(), one.name) == found.traits.end())
      found.traits.push_back(one.name);
  return found;
}

static Rule compile(const std::string &text, const std::optional<std::string> &per,
                    const std::string &time_zone, bool is_value) {
  rule::Source source{}, per_source{};
  const auto expression = rule::analyse(text, per, is_value, source, per_source);
  if (is_value && call([&] { return exprType(expression.value); }) == UNKNOWNOID)
    rule::refuse(source, 0, ERRCODE_INDETERMINATE_DATATYPE, "a computed trait needs a type",
                 "Cast the constant, for example 'x'::text.");
  Rule result;
  rule::refuse_in_aggregates(expression.having, source, false);
  rule::check(expression.having, source, &result.reasons);
  if (expression.per) {
    rule::check(expression.per, per_source);
    if (rule::has_clock(expression.per, true))
      rule::refuse(per_source, 0, ERRCODE_FEATURE_NOT_SUPPORTED, "a key cannot depend on now()",
                   "A key names what a membership is for; put times into the rule.");
    if (rule::has_segment(expression.per) || rule::has_since(expression.per))
      rule::refuse(per_source, 0, ERRCODE_FEATURE_NOT_SUPPORTED, "a key cannot depend on the person",
                   "A key is an expression over one event.");
  }
  result.segments = expression.segments;
  result.since = expression.since;
  const rule::NamedAsked names(expression);
  result.in_sql = rule::with_person(source, expression);
  result.mentions = mentions_of(expression);
  if (!result.reasons.empty()) {
    result.query = rule::meaning(result.in_sql, per,
                                 std::any_of(result.segments.begin(), result.segments.end(),
                                             [](const Asked &one) { return one.is_value; }));
    return result;
  }
  result.comparisons = rule::find_comparisons(expression.having, source, time_zone);
  result.conditions = rule::find_conditions(expression, source);
  result.relevance = rule::find_relevance(expression);
  result.decomposition = rule::decompose(expression, source, time_zone, result.obstacle);
  result.is_ordered = !result.decomposition;
  for (const auto &one : result.decomposition ? result.decomposition->aggregates : std::vector<Aggregate>())
    result.is_ordered = result.is_ordered || !one.called.empty();
  result.uses_clock = rule::has_clock(expression.having, true);
  result.having = rule::to_sql(expression.having);
  result.key = expression.per ? rule::to_sql(expression.per) : "";
  if (expression.value)
    result.value = "pg_catalog.to_jsonb(" + rule::to_sql(expression.value) + ")";
  result.uses_source =
      rule::has_param(expression.having, rule::kSource, rule::kSource, true) ||
      (expression.per && rule::has_param(expression.per, rule::kSource, rule::kSource, true));
  return result;
}

Rule compile_rule(const std::string &text, const std::optional<std::string> &per,
                  const std::string &time_zone) {
  return compile(text, per, time_zone, false);
}

Rule compile_computed(const std::string &expression, const std::string &time_zone) {
  return compile(expression, std::nullopt, time_zone, true);
}

} // namespace cdp::pg
