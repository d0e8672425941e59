// What a rule names: events, traits, properties, functions.
#include <algorithm>

#include "core/json.hpp"

#include "pg/rule_tree.hpp"

extern "C" {
#include "utils/regproc.h"
}

namespace cdp::pg::rule {

namespace {

constexpr int kProperties = 7;

bool is_plain_equality(Oid function, Oid collation) {
  return builtin_name(function) == "texteq" && call([&] { return get_collation_isdeterministic(collation); });
}

std::vector<std::string> elements_of(Const *array) {
  std::vector<std::string> texts;
  Datum *values;
  bool *nulls;
  int count;
  call([&] {
    deconstruct_array(DatumGetArrayTypeP(array->constvalue), TEXTOID, -1, false, TYPALIGN_INT, &values,
                      &nulls, &count);
  });
  for (int i = 0; i < count; ++i)
    if (!nulls[i])
      texts.emplace_back(call([&] { return TextDatumGetCString(values[i]); }));
  return texts;
}

std::vector<std::string> names_in(ScalarArrayOpExpr *membership) {
  auto *list = static_cast<Node *>(lsecond(membership->args));
  if (!membership->useOr || !IsA(list, Const) || reinterpret_cast<Const *>(list)->constisnull ||
      reinterpret_cast<Const *>(list)->consttype != TEXTARRAYOID)
    return {};
  return elements_of(reinterpret_cast<Const *>(list));
}

template <class T> void add_once(std::vector<T> &into, T value) {
  if (std::find(into.begin(), into.end(), value) == into.end())
    into.push_back(std::move(value));
}

std::vector<std::string> keys_of(Const *document) {
  std::vector<std::string> keys;
  const std::string text = call([&] { return OidOutputFunctionCall(F_JSONB_OUT, document->constvalue); });
  if (!text.starts_with('{'))
    return keys;
  for (core::json::Cursor each(text); each.next();)
    keys.push_back(core::json::unescape(each.raw_key()));
  return keys;
}

// The members of a jsonb column that an operator asks for.
std::vector<std::string> members_asked(Node *node, int column) {
  if (!IsA(node, OpExpr) || list_length(reinterpret_cast<OpExpr *>(node)->args) != 2)
    return {};
  auto *operation = reinterpret_cast<OpExpr *>(node);
  auto *wanted = static_cast<Node *>(lsecond(operation->args));
  if (!is_param(static_cast<Node *>(linitial(operation->args)), column) || !IsA(wanted, Const) ||
      reinterpret_cast<Const *>(wanted)->constisnull)
    return {};
  auto *value = reinterpret_cast<Const *>(wanted);
  const auto name = builtin_name(call([&] { return get_opcode(operation->opno); }));
  if (name == "jsonb_object_field" || name == "jsonb_object_field_text" || name == "jsonb_exists")
    return {text_of(wanted).value_or("")};
  if (name == "jsonb_contains")
    return keys_of(value);
  if (value->consttype != TEXTARRAYOID)
    return {};
  auto texts = elements_of(value);
  if (name.starts_with("jsonb_extract_path") && texts.size() > 1)
    texts.resize(1);
  return texts;
}

std::string function_name(Oid function) {
  const char *schema = call([&] { return get_namespace_name(get_func_namespace(function)); });
  if (!schema || std::string_view(schema) == "pg_catalog" || std::string_view(schema) == "cdp")
    return {};
  return call([&] { return format_procedure_qualified(function); });
}

Oid function_of(Node *node) {
  if (IsA(node, FuncExpr))
    return reinterpret_cast<FuncExpr *>(node)->funcid;
  if (IsA(node, Aggref))
    return reinterpret_cast<Aggref *>(node)->aggfnoid;
  if (IsA(node, OpExpr))
    return call([&] { return get_opcode(reinterpret_cast<OpExpr *>(node)->opno); });
  return InvalidOid;
}

// The trait that cdp.percentile() or cdp.rank() ranks by.
std::optional<std::string> ranked_by(Node *node) {
  if (!IsA(node, FuncExpr) || list_length(reinterpret_cast<FuncExpr *>(node)->args) != 1)
    return std::nullopt;
  auto *function = reinterpret_cast<FuncExpr *>(node);
  if (!call([&] {
        return is_our_function(function->funcid, "percentile") || is_our_function(function->funcid, "rank");
      }))
    return std::nullopt;
  return text_of(static_cast<Node *>(linitial(function->args)));
}

// `events`: what is looked at can only be of these names, or of any.
void look(Node *node, std::vector<std::string> events, Mentions &found) {
  std::vector<Node *> narrowing;
  if (IsA(node, Aggref))
    add_conjuncts(reinterpret_cast<Node *>(reinterpret_cast<Aggref *>(node)->aggfilter), narrowing);
  else if (IsA(node, BoolExpr) && reinterpret_cast<BoolExpr *>(node)->boolop == AND_EXPR)
    add_conjuncts(node, narrowing);
  for (Node *condition : narrowing)
    if (auto names = event_names(condition); !names.empty())
      events = std::move(names);
  if (IsA(node, OpExpr) || IsA(node, ScalarArrayOpExpr))
    for (auto &name : event_names(node))
      add_once(found.events, std::move(name));
  for (auto &name : members_asked(node, kTraits))
    add_once(found.traits, std::move(name));
  if (auto name = ranked_by(node))
    add_once(found.traits, std::move(*name));
  for (auto &name : members_asked(node, kProperties))
    add_once(found.properties, {events, std::move(name)});
  if (const Oid function = function_of(node); OidIsValid(function))
    if (auto name = function_name(function); !name.empty())
      add_once(found.functions, std::move(name));
  for (Node *child : children(node))
    look(child, events, found);
}

} // namespace

bool is_param(Node *node, int number) {
  while (IsA(node, RelabelType))
    node = reinterpret_cast<Node *>(reinterpret_cast<RelabelType *>(node)->arg);
  return IsA(node, Param) && reinterpret_cast<Param *>(node)->paramid == number;
}

std::optional<std::string> text_of(Node *node) {
  if (!IsA(node, Const) || reinterpret_cast<Const *>(node)->consttype != TEXTOID ||
      reinterpret_cast<Const *>(node)->constisnull)
    return std::nullopt;
  return call([&] { return TextDatumGetCString(reinterpret_cast<Const *>(node)->constvalue); });
}

void add_conjuncts(Node *condition, std::vector<Node *> &into) {
  if (!condition)
    return;
  if (IsA(condition, BoolExpr) && reinterpret_cast<BoolExpr *>(condition)->boolop == AND_EXPR)
    for (Node *part : children(condition))
      add_conjuncts(part, into);
  else
    into.push_back(condition);
}

std::vector<std::string> event_names(Node *condition) {
  Node *node = fold(condition);
  if (IsA(node, OpExpr) && list_length(reinterpret_cast<OpExpr *>(node)->args) == 2) {
    auto *operation = reinterpret_cast<OpExpr *>(node);
    if (!is_plain_equality(call([&] { return get_opcode(operation->opno); }), operation->inputcollid))
      return {};
    auto *left = static_cast<Node *>(linitial(operation->args));
    auto *right = static_cast<Node *>(lsecond(operation->args));
    if (auto name = is_param(left, kEvent)    ? text_of(right)
                    : is_param(right, kEvent) ? text_of(left)
                                              : std::nullopt)
      return {*name};
  } else if (IsA(node, ScalarArrayOpExpr)) {
    auto *membership = reinterpret_cast<ScalarArrayOpExpr *>(node);
    if (is_param(static_cast<Node *>(linitial(membership->args)), kEvent) &&
        is_plain_equality(call([&] { return get_opcode(membership->opno); }), membership->inputcollid))
      return names_in(membership);
  }
  return {};
}

void add_mentions(Node *node, Mentions &found) {
  look(node, {}, found);
}

Mentions find_mentions(Node *node) {
  Mentions found;
  add_mentions(node, found);
  return found;
}

} // namespace cdp::pg::rule
