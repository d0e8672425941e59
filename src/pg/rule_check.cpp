// What a rule may not contain because its truth could then change with nobody noticing.
#include <algorithm>
#include <array>
#include <cctype>
#include <map>

#include "core/sequence.hpp"

#include "pg/rule_tree.hpp"

extern "C" {
#include "access/transam.h"
#include "catalog/namespace.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "nodes/pathnodes.h"
#include "optimizer/optimizer.h"
#include "parser/parse_node.h"
}

namespace cdp::pg::rule {

namespace {

// STABLE functions of PostgreSQL that depend on their arguments and on settings the segment pins, on nothing
// else.
constexpr std::array kPinned = std::to_array<std::string_view>({
    "anyarray_out",
    "anytextcat",
    "array_in",
    "array_out",
    "array_to_json",
    "array_to_string",
    "concat",
    "concat_ws",
    "convert_from",
    "convert_to",
    "date",
    "date_cmp_timestamptz",
    "date_eq_timestamptz",
    "date_ge_timestamptz",
    "date_gt_timestamptz",
    "date_in",
    "date_le_timestamptz",
    "date_lt_timestamptz",
    "date_ne_timestamptz",
    "date_out",
    "date_part",
    "date_trunc",
    "domain_in",
    "enum_first",
    "enum_in",
    "enum_last",
    "enum_out",
    "enum_range",
    "extract",
    "format",
    "interval_in",
    "interval_out",
    "interval_pl_timestamptz",
    "json_agg",
    "json_agg_strict",
    "json_build_array",
    "json_build_object",
    "json_object_agg",
    "json_object_agg_strict",
    "json_object_agg_unique",
    "json_object_agg_unique_strict",
    "json_populate_record",
    "json_to_record",
    "jsonb_agg",
    "jsonb_agg_strict",
    "jsonb_build_array",
    "jsonb_build_object",
    "jsonb_object_agg",
    "jsonb_object_agg_strict",
    "jsonb_object_agg_unique",
    "jsonb_object_agg_unique_strict",
    "jsonb_path_exists_tz",
    "jsonb_path_match_tz",
    "jsonb_path_query_array_tz",
    "jsonb_path_query_first_tz",
    "jsonb_populate_record",
    "jsonb_to_record",
    "length",
    "make_timestamptz",
    "multirange_in",
    "multirange_out",
    "overlaps",
    "quote_literal",
    "quote_nullable",
    "range_in",
    "range_out",
    "record_in",
    "record_out",
    "row_to_json",
    "textanycat",
    "time",
    "time_in",
    "timestamp",
    "timestamp_cmp_timestamptz",
    "timestamp_eq_timestamptz",
    "timestamp_ge_timestamptz",
    "timestamp_gt_timestamptz",
    "timestamp_in",
    "timestamp_le_timestamptz",
    "timestamp_lt_timestamptz",
    "timestamp_ne_timestamptz",
    "timestamp_out",
    "timestamptz",
    "timestamptz_cmp_date",
    "timestamptz_cmp_timestamp",
    "timestamptz_eq_date",
    "timestamptz_eq_timestamp",
    "timestamptz_ge_date",
    "timestamptz_ge_timestamp",
    "timestamptz_gt_date",
    "timestamptz_gt_timestamp",
    "timestamptz_in",
    "timestamptz_le_date",
    "timestamptz_le_timestamp",
    "timestamptz_lt_date",
    "timestamptz_lt_timestamp",
    "timestamptz_mi_interval",
    "timestamptz_ne_date",
    "timestamptz_ne_timestamp",
    "timestamptz_out",
    "timestamptz_pl_interval",
    "timezone",
    "to_char",
    "to_date",
    "to_json",
    "to_jsonb",
    "to_number",
    "to_timestamp",
});
static_assert(std::is_sorted(kPinned.begin(), kPinned.end()));

std::vector<Oid> functions_in(Node *node) {
  List *found = call([&] {
    List *list = NIL;
    check_functions_in_node(
        node,
        [](Oid function, void *context) {
          auto *into = static_cast<List **>(context);
          *into = lappend_oid(*into, function);
          return false;
        },
        &list);
    return list;
  });
  std::vector<Oid> result;
  for (int i = 0; i < list_length(found); ++i)
    result.push_back(list_nth_oid(found, i));
  return result;
}

// time with time zone borrows today's offset, so whatever makes one looks at the clock.
bool takes_timetz(Oid function) {
  return call([&] {
    Oid *arguments;
    int count;
    const Oid result = get_func_signature(function, &arguments, &count);
    for (int i = 0; i < count; ++i)
      if (arguments[i] == TIMETZOID)
        return true;
    return result == TIMETZOID;
  });
}

using Reasons = std::vector<std::string>;

void add_reason(Reasons *reasons, std::string reason) {
  if (std::find(reasons->begin(), reasons->end(), reason) == reasons->end())
    reasons->push_back(std::move(reason));
}

// Why a function of ours, or of others, makes a rule one of class interval.
std::string reason_of(Oid function, const std::string &name) {
  const bool is_ours = call([&] { return get_namespace_oid("cdp", true) == get_func_namespace(function); });
  if (is_ours && (name == "percentile" || name == "rank"))
    return "it ranks everybody by a trait";
  if (is_ours && (name == "in_account_segment" || name == "account_values"))
    return "it asks about the person's accounts";
  return "what " + name + "() returns may depend on other rows";
}

void check_function(Oid function, int location, const Source &source, Reasons *reasons) {
  const char volatility = call([&] { return func_volatile(function); });
  if (volatility == PROVOLATILE_IMMUTABLE)
    return;
  const std::string builtin = builtin_name(function);
  const std::string name = call([&] { return get_func_name(function); });
  if (name == "clock_timestamp" || name == "statement_timestamp" || name == "timeofday")
    refuse(source, location, ERRCODE_FEATURE_NOT_SUPPORTED, source.what + " cannot use " + name + "()",
           "Use now(): it stands for the instant at which this is judged.");
  if (volatility == PROVOLATILE_VOLATILE)
    refuse(
        source, location, ERRCODE_FEATURE_NOT_SUPPORTED,
        source.what + " cannot use the volatile function " + name + "()",
        builtin == "random"
            ? "For a random part of all people ask cdp.bucket(profile_id, 'salt'), which is always the same."
            : "Its result could change while nothing is known to have changed.");
  if (std::binary_search(kPinned.begin(), kPinned.end(), builtin) && !takes_timetz(function))
    return;
  if (reasons && builtin.empty())
    return add_reason(reasons, reason_of(function, name));
  refuse(source, location, ERRCODE_FEATURE_NOT_SUPPORTED,
         source.what + " cannot use " + name + "(), which is not immutable: it cannot be kept exact",
         builtin == "age" ? "Subtract instead: now() - x."
                          : "If its result depends on its arguments alone, declare it IMMUTABLE.");
}

bool is_time_type(Oid type) {
  return call([&] {
    Oid base = getBaseType(type);
    if (OidIsValid(get_element_type(base)))
      base = getBaseType(get_element_type(base));
    if (OidIsValid(get_multirange_range(base)))
      base = get_multirange_range(base);
    if (OidIsValid(get_range_subtype(base)))
      base = getBaseType(get_range_subtype(base));
    return base == DATEOID || base == TIMESTAMPOID || base == TIMESTAMPTZOID || base == TIMEOID ||
           base == TIMETZOID;
  });
}

// 'now', 'today', 'tomorrow' and 'yesterday' freeze when the rule is made.
bool has_clock_word(std::string_view text) {
  std::string word;
  for (std::size_t i = 0; i <= text.size(); ++i) {
    const auto letter = i < text.size() ? static_cast<unsigned char>(text[i]) : 0;
    if (std::isalpha(letter)) {
      word += static_cast<char>(std::tolower(letter));
      continue;
    }
    if (word == "now" || word == "today" || word == "tomorrow" || word == "yesterday")
      return true;
    word.clear();
  }
  return false;
}

// The raw tree's string constants, by every location that analysis may give to what it makes of them.
class Literals {
public:
  explicit Literals(Node *raw) { walk(raw, {}); }
  const std::string *at(int location) const {
    auto found = texts_.find(location);
    return found == texts_.end() ? nullptr : &found->second;
  }

private:
  void walk(Node *node, std::vector<int> locations) {
    if (!node)
      return;
    if (IsA(node, A_Const)) {
      add(reinterpret_cast<A_Const *>(node), std::move(locations));
      return;
    }
    const bool is_cast = IsA(node, TypeCast);
    if (is_cast) {
      auto *cast = reinterpret_cast<TypeCast *>(node);
      locations.push_back(cast->location);
      locations.push_back(cast->typeName->location);
    } else if (IsA(node, FuncCall)) {
      locations = {reinterpret_cast<FuncCall *>(node)->location};
    } else {
      locations.clear();
    }
    for (Node *child : raw_children(node))
      walk(child, locations);
  }

  void add(const A_Const *constant, std::vector<int> locations) {
    if (constant->isnull || !IsA(&constant->val, String))
      return;
    locations.push_back(constant->location);
    for (int location : locations)
      texts_[location] += std::string(" ") + strVal(const_cast<decltype(constant->val) *>(&constant->val));
  }

  std::map<int, std::string> texts_;
};

void refuse_clock_word(const Source &source, int location) {
  refuse(source, location, ERRCODE_INVALID_OBJECT_DEFINITION,
         "words such as 'now' and 'today' would freeze when this is created",
         "Use now() or CURRENT_DATE, which stand for the instant at which this is judged.");
}

void check_constant(Const *constant, const Literals &literals, const Source &source) {
  if (constant->constisnull || !is_time_type(constant->consttype))
    return;
  const std::string *text = literals.at(constant->location);
  if (text && has_clock_word(*text))
    refuse_clock_word(source, constant->location);
}

// 'now'::text::timestamptz: the cast happens at run time and reads the transaction's clock; so it does for a
// constant that reaches the cast through coalesce, CASE or concat.
void check_cast_constants(Node *node, Node *cast, const Source &source) {
  if (is_constant(node)) {
    Node *folded = call([&] {
      auto *root = makeNode(PlannerInfo); // it only asks for bound parameters, of which there are none
      root->glob = makeNode(PlannerGlobal);
      return estimate_expression_value(root, node);
    });
    if (IsA(folded, Const) && !reinterpret_cast<Const *>(folded)->constisnull) {
      auto *constant = reinterpret_cast<Const *>(folded);
      const std::string text = call([&] {
        Oid output;
        bool is_varlena;
        getTypeOutputInfo(constant->consttype, &output, &is_varlena);
        return OidOutputFunctionCall(output, constant->constvalue);
      });
      if (has_clock_word(text))
        refuse_clock_word(source, call([&] { return exprLocation(cast); }));
      return;
    }
  }
  for (Node *child : children(node))
    check_cast_constants(child, cast, source);
}

void check_text_cast(Node *node, const Source &source) {
  auto *cast = reinterpret_cast<CoerceViaIO *>(node);
  if (is_time_type(cast->resulttype))
    check_cast_constants(reinterpret_cast<Node *>(cast->arg), node, source);
}

// In the backend's zone.
bool asks_by_name(Node *node, void *context) {
  if (!node)
    return false;
  if (IsA(node, Query))
    return query_tree_walker(reinterpret_cast<Query *>(node), as_walker(asks_by_name), context, 0);
  if (IsA(node, FuncExpr) && list_length(reinterpret_cast<FuncExpr *>(node)->args) == 1)
    for (const char *name : {"in_segment", "trait_since"})
      if (is_our_function(reinterpret_cast<FuncExpr *>(node)->funcid, name))
        return true;
  return expression_tree_walker(node, as_walker(asks_by_name), context);
}

void check_sub_query(Node *node, int location, const Source &source, Reasons *reasons) {
  if (!reasons)
    refuse(source, location, ERRCODE_FEATURE_NOT_SUPPORTED, "a key cannot use a sub-query",
           "A key is an expression over one event.");
  if (call([&] { return contain_volatile_functions(node); }))
    refuse(source, location, ERRCODE_FEATURE_NOT_SUPPORTED, source.what + " cannot use a volatile function",
           "Its result could change while nothing is known to have changed.");
  if (call([&] { return asks_by_name(node, nullptr); }))
    refuse(source, location, ERRCODE_FEATURE_NOT_SUPPORTED,
           "a sub-query cannot use cdp.in_segment(name) or cdp.trait_since(name)",
           "Say who there: cdp.in_segment('vip', profile_id), cdp.trait_since('plan', profile_id).");
  add_reason(reasons, "it has a sub-query, which looks at other rows");
}

bool is_one_of_ours(Oid function, std::initializer_list<const char *> names) {
  return std::any_of(names.begin(), names.end(),
                     [&](const char *name) { return call([&] { return is_our_function(function, name); }); });
}

// Constant patterns, and lengths of funnels, which would else fail for each person.
void check_sequence(const Aggref *aggregate, const Source &source) {
  const bool is_funnel = is_one_of_ours(aggregate->aggfnoid, {"funnel", "funnel_by"});
  if (!is_funnel &&
      !is_one_of_ours(aggregate->aggfnoid, {"sequence", "sequence_by", "sequence_count", "sequence_count_by",
                                            "last_sequence", "last_sequence_by"}))
    return;
  auto *argument = reinterpret_cast<Node *>(linitial_node(TargetEntry, aggregate->args)->expr);
  auto *steps = reinterpret_cast<Node *>(llast_node(TargetEntry, aggregate->args)->expr);
  auto *value = reinterpret_cast<Const *>(is_constant(argument) ? fold(argument) : argument);
  if (!IsA(value, Const))
    return;
  const int location = call([&] { return exprLocation(argument); });
  if (value->constisnull)
    refuse(source, location, ERRCODE_NULL_VALUE_NOT_ALLOWED,
           is_funnel ? "the length of a funnel must not be NULL" : "the sequence pattern must not be NULL",
           "");
  if (is_funnel) {
    const Interval *within = DatumGetIntervalP(value->constvalue);
    const auto length = core::funnel_length(within->month, within->day, within->time);
    if (const auto *error = std::get_if<core::PatternError>(&length))
      refuse(source, location, ERRCODE_INVALID_PARAMETER_VALUE, error->message, error->hint);
  } else if (IsA(steps, ArrayExpr)) {
    const auto pattern = text_of(reinterpret_cast<Node *>(value)).value_or("");
    const int count = list_length(reinterpret_cast<ArrayExpr *>(steps)->elements);
    const auto parsed = core::Sequence::parse(pattern, static_cast<unsigned>(count));
    if (const auto *error = std::get_if<core::PatternError>(&parsed))
      throw Error(ERRCODE_INVALID_PARAMETER_VALUE, error->message, {}, error->hint)
          .at(pattern, error->position);
  }
}

void check_node(Node *node, const Literals &literals, const Source &source, Reasons *reasons) {
  const int location = call([&] { return exprLocation(node); });
  switch (nodeTag(node)) {
  case T_SubLink:
    return check_sub_query(node, location, source, reasons);
  case T_WindowFunc:
    refuse(source, location, ERRCODE_FEATURE_NOT_SUPPORTED, source.what + " cannot use a window function",
           "");
  case T_GroupingFunc:
    refuse(source, location, ERRCODE_FEATURE_NOT_SUPPORTED, source.what + " cannot use GROUPING", "");
  case T_SQLValueFunction:
    refuse(source, location, ERRCODE_FEATURE_NOT_SUPPORTED,
           "a rule cannot depend on the session or the time of day",
           "There are now(), CURRENT_TIMESTAMP, LOCALTIMESTAMP and CURRENT_DATE.");
  case T_Const:
    check_constant(reinterpret_cast<Const *>(node), literals, source);
    return;
  case T_CoerceViaIO:
    check_text_cast(node, source);
    break;
  case T_Aggref:
    check_sequence(reinterpret_cast<Aggref *>(node), source);
    break;
  default:
    break;
  }
  for (Oid function : functions_in(node))
    check_function(function, location, source, reasons);
  for (Node *child : children(node))
    check_node(child, literals, source, reasons);
}

} // namespace

// In the backend's zone.
static bool collect_raw(Node *child, void *context) {
  if (child && IsA(child, List)) {
    ListCell *cell;
    foreach (cell, reinterpret_cast<List *>(child))
      collect_raw(static_cast<Node *>(lfirst(cell)), context);
  } else if (child) {
    auto *into = static_cast<List **>(context);
    *into = lappend(*into, child);
  }
  return false;
}

std::vector<Node *> raw_children(Node *node) {
  List *found = call([&] {
    List *list = NIL;
    raw_expression_tree_walker(node, as_walker(collect_raw), &list);
    return list;
  });
  std::vector<Node *> result;
  for (int i = 0; i < list_length(found); ++i)
    result.push_back(static_cast<Node *>(list_nth(found, i)));
  return result;
}

bool is_portable(Node *node) {
  if (!node)
    return true;
  for (Oid function : functions_in(node))
    if (function >= FirstNormalObjectId ||
        call([&] { return func_volatile(function); }) != PROVOLATILE_IMMUTABLE)
      return false;
  const auto parts = children(node);
  return std::all_of(parts.begin(), parts.end(), is_portable);
}

std::string builtin_name(Oid function) {
  if (function >= FirstNormalObjectId ||
      call([&] { return get_func_namespace(function); }) != PG_CATALOG_NAMESPACE)
    return {};
  const char *name = call([&] { return get_func_name(function); });
  return name ? name : "";
}

void check(Node *node, const Source &source, std::vector<std::string> *reasons) {
  check_node(node, Literals(source.raw), source, reasons);
}

} // namespace cdp::pg::rule
