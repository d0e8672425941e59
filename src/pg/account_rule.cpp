#include "pg/account_rule.hpp"

#include <algorithm>

#include "pg/pointing.hpp"
#include "pg/rule_tree.hpp"

extern "C" {
#include "parser/analyze.h"
#include "parser/parse_node.h"
#include "parser/parser.h"
}

namespace cdp::pg {

namespace {

using rule::Source;

// The shape of cdp_internal.account_query(), with the columns an expression may use.
const char kTemplate[] =
    "SELECT FROM (SELECT NULL::pg_catalog.text AS group_id, NULL::pg_catalog.jsonb AS account_traits, "
    "NULL::pg_catalog.jsonb AS account_computed) account WHERE EXISTS (SELECT FROM (SELECT "
    "NULL::pg_catalog.int8 AS profile_id, NULL::pg_catalog.jsonb AS traits, NULL::pg_catalog.jsonb AS "
    "computed, NULL::pg_catalog.timestamptz AS since) person)";

const char kColumnsHint[] =
    "Of each person there are profile_id, traits, computed and since, of the account group_id, "
    "account_traits and account_computed.";

const char kGroupingHint[] = "Columns of people belong into aggregates, such as bool_or(traits ->> 'role' = "
                             "'buyer') or count(*) FILTER (WHERE cdp.in_segment('vip')) >= 3.";

// What the parser or analyser found, said of an expression about accounts.
void explain(ErrorData *data) {
  if (!data->hint && data->sqlerrcode == ERRCODE_UNDEFINED_COLUMN)
    data->hint = pstrdup(kColumnsHint);
  if (data->sqlerrcode == ERRCODE_GROUPING_ERROR && strstr(data->message, "not allowed in WHERE")) {
    data->message = pstrdup("an aggregate here needs something of the people");
    data->hint = pstrdup(
        "account_traits, account_computed and group_id are the account's own, one value each: write them "
        "outside of aggregates, such as account_traits ->> 'plan'.");
  }
  if (!data->hint && data->sqlerrcode == ERRCODE_GROUPING_ERROR)
    data->hint = pstrdup(kGroupingHint);
}

template <class F> auto pointing_at(const std::string &text, F &&body) {
  return pg::pointing_at(text, std::forward<F>(body), explain);
}

// What is found in the text as it was written.
struct Found {
  std::vector<AskedByAccount> asked;
  std::vector<int> untold; // literals of functions that are to be told who it is about
  bool asks_traits = false;
};

class Reader {
public:
  explicit Reader(const Source &source) : source_(source) {}
  Found read() {
    walk(source_.raw, false);
    return std::move(found_);
  }

private:
  void walk(Node *node, bool in_query);
  bool take_field(const A_Expr *operation);
  void take_column(const ColumnRef *column);
  void take_function(FuncCall *function, bool in_query);
  void add(AskedByAccount::Kind kind, const A_Const *name);
  const A_Const *literal(Node *node) const;

  const Source &source_;
  Found found_;
};

std::string last_name(const ColumnRef *column) {
  auto *last = static_cast<Node *>(llast(column->fields));
  return IsA(last, String) ? strVal(last) : "";
}

std::optional<AskedByAccount::Kind> kind_of(const ColumnRef *column) {
  const auto name = last_name(column);
  if (name == "computed")
    return AskedByAccount::computed;
  if (name == "account_computed")
    return AskedByAccount::account;
  return std::nullopt;
}

// A string constant that stands in the text itself.
const A_Const *Reader::literal(Node *node) const {
  if (!IsA(node, A_Const))
    return nullptr;
  auto *constant = reinterpret_cast<A_Const *>(node);
  return !constant->isnull && IsA(&constant->val, String) &&
                 rule::is_literal(*source_.text, constant->location)
             ? constant
             : nullptr;
}

void Reader::add(AskedByAccount::Kind kind, const A_Const *name) {
  const std::string text = strVal(const_cast<decltype(name->val) *>(&name->val));
  for (auto &one : found_.asked)
    if (one.kind == kind && one.name == text) {
      one.literals.push_back(name->location);
      return;
    }
  found_.asked.push_back({kind, text, {name->location}});
}

// computed ->> 'total_spend'
bool Reader::take_field(const A_Expr *operation) {
  if (operation->kind != AEXPR_OP || !operation->lexpr || !IsA(operation->lexpr, ColumnRef))
    return false;
  const auto kind = kind_of(reinterpret_cast<ColumnRef *>(operation->lexpr));
  const std::string name = strVal(llast(operation->name));
  const auto *field = literal(operation->rexpr);
  if (!kind || (name != "->>" && name != "->") || !field)
    return false;
  add(*kind, field);
  return true;
}

void Reader::take_column(const ColumnRef *column) {
  if (const auto kind = kind_of(column))
    rule::refuse(source_, column->location, ERRCODE_FEATURE_NOT_SUPPORTED,
                 last_name(column) + " is asked for by name",
                 "Write " + last_name(column) + "->>'name', or " + last_name(column) +
                     "->'name' for jsonb, with a constant name.");
  found_.asks_traits = found_.asks_traits || last_name(column) == "account_traits";
}

void Reader::take_function(FuncCall *function, bool in_query) {
  const std::string name = strVal(llast(function->funcname));
  const bool is_ours =
      list_length(function->funcname) == 2 && strcmp(strVal(linitial(function->funcname)), "cdp") == 0;
  const bool is_segment = name == "in_segment";
  if (!is_ours || (!is_segment && name != "trait_since" && name != "percentile" && name != "rank"))
    return;
  const int arguments = list_length(function->args);
  if (arguments == 0)
    return;
  auto *first = static_cast<Node *>(linitial(function->args));
  const auto *constant = literal(first);
  if (!constant)
    rule::refuse(source_, call([&] { return exprLocation(first); }), ERRCODE_FEATURE_NOT_SUPPORTED,
                 "the name that cdp." + name + " is asked about must be a constant",
                 "Write it as it is: cdp." + name + "('name').");
  if (is_segment)
    add(AskedByAccount::segment, constant);
  if (arguments > 1)
    return;
  if (in_query)
    rule::refuse(source_, function->location, ERRCODE_FEATURE_NOT_SUPPORTED,
                 "a sub-query must say who cdp." + name + " is about",
                 "For example cdp." + name + "('name', p.profile_id).");
  found_.untold.push_back(constant->location);
  call([&] {
    auto *who = makeNode(ColumnRef);
    who->fields = list_make1(makeString(pstrdup("profile_id")));
    who->location = function->location;
    function->args = lappend(function->args, who);
  });
}

void Reader::walk(Node *node, bool in_query) {
  if (!node)
    return;
  if (IsA(node, A_Expr) && take_field(reinterpret_cast<A_Expr *>(node)))
    return;
  if (IsA(node, ColumnRef))
    take_column(reinterpret_cast<ColumnRef *>(node));
  if (IsA(node, FuncCall))
    take_function(reinterpret_cast<FuncCall *>(node), in_query);
  for (Node *child : rule::raw_children(node))
    walk(child, in_query || IsA(node, SubLink));
}

// The checks of rules think that a clock that is kept is a Param. In the backend's zone.
Node *hide_clock(Node *node, void *context) {
  if (!node)
    return nullptr;
  bool is_clock = false;
  if (IsA(node, FuncExpr)) {
    const Oid function = reinterpret_cast<FuncExpr *>(node)->funcid;
    is_clock = function == F_NOW || function == F_TRANSACTION_TIMESTAMP;
  } else if (IsA(node, SQLValueFunction)) {
    const auto operation = reinterpret_cast<SQLValueFunction *>(node)->op;
    is_clock = operation == SVFOP_CURRENT_TIMESTAMP || operation == SVFOP_CURRENT_TIMESTAMP_N ||
               operation == SVFOP_CURRENT_DATE || operation == SVFOP_LOCALTIMESTAMP ||
               operation == SVFOP_LOCALTIMESTAMP_N;
  }
  if (!is_clock)
    return expression_tree_mutator(node, rule::as_mutator(hide_clock), context);
  auto *made = makeNode(Param);
  made->paramkind = PARAM_EXTERN;
  made->paramid = rule::kInstant;
  made->paramtype = exprType(node);
  made->paramtypmod = -1;
  made->location = exprLocation(node);
  return reinterpret_cast<Node *>(made);
}

// In the backend's zone: no C++ objects here.
Node *run_analyser(Node *having, const char *text) {
  auto *statement = linitial_node(RawStmt, raw_parser(kTemplate, RAW_PARSE_DEFAULT));
  auto *exists = castNode(SubLink, castNode(SelectStmt, statement->stmt)->whereClause);
  castNode(SelectStmt, exists->subselect)->havingClause = having;
  ParseState *state = make_parsestate(nullptr);
  state->p_sourcetext = text;
  Query *outer = transformTopLevelStmt(state, statement);
  Node *found = castNode(Query, castNode(SubLink, outer->jointree->quals)->subselect)->havingQual;
  free_parsestate(state);
  return found;
}

Node *not_null(Node *raw) {
  auto *test = makeNode(NullTest);
  test->arg = reinterpret_cast<Expr *>(raw);
  test->nulltesttype = IS_NOT_NULL;
  test->location = -1;
  return reinterpret_cast<Node *>(test);
}

// in_segment('vip') without its schema, which nothing told who it is about.
void refuse_untold(Node *node, const Source &source) {
  if (IsA(node, FuncExpr) && list_length(reinterpret_cast<FuncExpr *>(node)->args) == 1)
    for (const char *name : {"in_segment", "trait_since", "percentile", "rank"})
      if (const auto *function = reinterpret_cast<FuncExpr *>(node);
          call([&] { return rule::is_our_function(function->funcid, name); }))
        rule::refuse(source, function->location, ERRCODE_FEATURE_NOT_SUPPORTED,
                     "here " + std::string(name) + " is written with its schema",
                     "Write cdp." + std::string(name) + "(…).");
  for (Node *child : rule::children(node))
    refuse_untold(child, source);
}

// Whole rows would show more than their columns.
void refuse_rows(Node *node, const Source &source) {
  if (IsA(node, Var) && reinterpret_cast<Var *>(node)->varattno <= 0)
    rule::refuse(source, reinterpret_cast<Var *>(node)->location, ERRCODE_FEATURE_NOT_SUPPORTED,
                 "a whole row cannot be used here", kColumnsHint);
  for (Node *child : rule::children(node))
    refuse_rows(child, source);
}

// A value that the clock alone makes another would be so at every refresh; what is asked about it stands
// still.
void refuse_running_clock(Node *node, const Source &source) {
  const bool may_compare = IsA(node, OpExpr) || IsA(node, DistinctExpr) || IsA(node, ScalarArrayOpExpr) ||
                           IsA(node, FuncExpr) || IsA(node, BoolExpr) || IsA(node, NullTest) ||
                           IsA(node, RowCompareExpr);
  if (may_compare && call([&] { return exprType(node); }) == BOOLOID)
    return;
  if (rule::is_param(node, rule::kInstant))
    rule::refuse(source, call([&] { return exprLocation(node); }), ERRCODE_FEATURE_NOT_SUPPORTED,
                 "an account trait cannot change with the clock alone: it would be another at every refresh",
                 "Keep what stands still, such as max(since), and compare it where it is asked for: now() - "
                 "max(since) > interval "
                 "'30 days'.");
  for (Node *child : rule::children(node))
    refuse_running_clock(child, source);
}

const char *what_is(bool is_rule) {
  return is_rule ? "an account segment's rule" : "an account trait";
}

Found analyse(const std::string &text, bool is_rule) {
  // Analysis scribbles on raw trees, so each use parses anew.
  const Source source{&text, rule::parse_expression(text, what_is(is_rule)), what_is(is_rule)};
  const Source changed{&text, rule::parse_expression(text, what_is(is_rule))};
  auto found = Reader(changed).read();
  Node *raw = is_rule ? changed.raw : call([&] { return not_null(changed.raw); });
  Node *having = pointing_at(text, [&] { return run_analyser(raw, text.c_str()); });
  refuse_untold(having, source);
  refuse_rows(having, source);
  if (!is_rule &&
      call([&] { return exprType(reinterpret_cast<Node *>(castNode(NullTest, having)->arg)); }) == UNKNOWNOID)
    rule::refuse(source, 0, ERRCODE_INDETERMINATE_DATATYPE, "an account trait needs a type",
                 "Cast the constant, for example 'x'::text.");
  std::vector<std::string> reasons; // nothing is kept exact here
  Node *hidden = call([&] { return hide_clock(having, nullptr); });
  rule::check(hidden, source, &reasons);
  if (!is_rule)
    refuse_running_clock(reinterpret_cast<Node *>(castNode(NullTest, hidden)->arg), source);
  return found;
}

} // namespace

AccountExpression compile_account(const std::string &text, bool is_rule) {
  auto found = analyse(text, is_rule);
  AccountExpression result{text, std::move(found.asked), found.asks_traits};
  std::sort(found.untold.rbegin(), found.untold.rend());
  for (int location : found.untold)
    result.sql.insert(end_of_literal(text, static_cast<std::size_t>(location)), ", profile_id");
  return result;
}

std::string rename_in_account(const std::string &text, bool is_rule, AskedByAccount::Kind kind,
                              const std::string &name, const std::string &new_name) {
  std::vector<int> places;
  for (const auto &one : analyse(text, is_rule).asked)
    if (one.kind == kind && one.name == name)
      places = one.literals;
  std::sort(places.rbegin(), places.rend());
  std::string renamed = text;
  for (int place : places) {
    const auto at = static_cast<std::size_t>(place);
    renamed.replace(at, end_of_literal(text, at) - at, "'" + new_name + "'");
  }
  return renamed;
}

} // namespace cdp::pg
