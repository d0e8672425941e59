#include "pg/integer_rule.hpp"

#include <algorithm>
#include <map>
#include <utility>

#include "pg/expression.hpp"

extern "C" {
#include "catalog/pg_type.h"
#include "nodes/primnodes.h"
#include "utils/fmgroids.h"
}
#undef printf
#undef fprintf
#undef sprintf
#undef snprintf

namespace cdp::pg {

struct IntegerRule::Making {
  int first;
  std::vector<Step> steps;
  std::size_t depth = 0;

  bool push(Does does, std::int64_t operand) {
    steps.push_back({does, operand});
    return ++depth <= kMostDepth;
  }
  bool join(Does does) {
    steps.push_back({does, 0});
    --depth;
    return true;
  }

  static bool is_known(Oid type) { return type == INT8OID || type == INT4OID || type == BOOLOID; }

  // What these do to any integers that an int8 holds. Of int4 comparisons alone: their sums end earlier.
  static std::optional<Does> meaning(Oid function) {
    static const std::map<Oid, Does> known = {
        {F_INT8EQ, Does::eq},   {F_INT8NE, Does::ne},        {F_INT8LT, Does::lt},
        {F_INT8LE, Does::le},   {F_INT8GT, Does::gt},        {F_INT8GE, Does::ge},
        {F_INT84EQ, Does::eq},  {F_INT84NE, Does::ne},       {F_INT84LT, Does::lt},
        {F_INT84LE, Does::le},  {F_INT84GT, Does::gt},       {F_INT84GE, Does::ge},
        {F_INT48EQ, Does::eq},  {F_INT48NE, Does::ne},       {F_INT48LT, Does::lt},
        {F_INT48LE, Does::le},  {F_INT48GT, Does::gt},       {F_INT48GE, Does::ge},
        {F_INT4EQ, Does::eq},   {F_INT4NE, Does::ne},        {F_INT4LT, Does::lt},
        {F_INT4LE, Does::le},   {F_INT4GT, Does::gt},        {F_INT4GE, Does::ge},
        {F_INT8PL, Does::add},  {F_INT8MI, Does::subtract},  {F_INT8MUL, Does::multiply},
        {F_INT84PL, Does::add}, {F_INT84MI, Does::subtract}, {F_INT84MUL, Does::multiply},
        {F_INT48PL, Does::add}, {F_INT48MI, Does::subtract}, {F_INT48MUL, Does::multiply}};
    const auto found = known.find(function);
    return found == known.end() ? std::nullopt : std::optional(found->second);
  }

  bool add(const Node *node) {
    switch (nodeTag(node)) {
    case T_Param: {
      const auto &param = *reinterpret_cast<const Param *>(node);
      const int place = param.paramid - first;
      return param.paramkind == PARAM_EXTERN && is_known(param.paramtype) && place >= 0 &&
             place < static_cast<int>(kMostValues) && push(Does::value, place);
    }
    case T_Const: {
      const auto &constant = *reinterpret_cast<const Const *>(node);
      if (constant.constisnull || !is_known(constant.consttype))
        return false;
      const auto value = constant.consttype == INT8OID   ? DatumGetInt64(constant.constvalue)
                         : constant.consttype == INT4OID ? DatumGetInt32(constant.constvalue)
                                                         : DatumGetBool(constant.constvalue);
      return value != kNull && push(Does::constant, value);
    }
    case T_OpExpr: {
      const auto &call = *reinterpret_cast<const OpExpr *>(node);
      const auto does = meaning(call.opfuncid);
      return does && list_length(call.args) == 2 && add_all(call.args) && join(*does);
    }
    case T_BoolExpr: {
      const auto &logic = *reinterpret_cast<const BoolExpr *>(node);
      if (logic.boolop == NOT_EXPR)
        return add_all(logic.args) && (steps.push_back({Does::negate, 0}), true);
      bool is_first = true;
      const ListCell *cell;
      foreach (cell, logic.args) {
        if (!add(static_cast<const Node *>(lfirst(cell))))
          return false;
        if (!std::exchange(is_first, false))
          join(logic.boolop == AND_EXPR ? Does::both : Does::either);
      }
      return !is_first;
    }
    default:
      return false;
    }
  }

  bool add_all(const List *nodes) {
    const ListCell *cell;
    foreach (cell, nodes)
      if (!add(static_cast<const Node *>(lfirst(cell))))
        return false;
    return true;
  }
};

std::optional<IntegerRule> IntegerRule::of(const Expression &expression, int first) {
  Making making{first, {}};
  if (expression.type() != BOOLOID || !making.add(expression.tree()))
    return std::nullopt;
  IntegerRule made;
  made.steps_ = std::move(making.steps);
  return made;
}

IntegerRule::Said IntegerRule::evaluate(const Values &values) const {
  std::array<std::int64_t, kMostDepth> stack;
  std::size_t depth = 0;
  for (const auto &[does, operand] : steps_) {
    if (does == Does::value || does == Does::constant) {
      stack[depth++] = does == Does::value ? values[static_cast<std::size_t>(operand)] : operand;
      continue;
    }
    if (does == Does::negate) {
      auto &only = stack[depth - 1];
      only = only == kNull ? kNull : !only;
      continue;
    }
    const auto right = stack[--depth];
    auto &left = stack[depth - 1];
    if (does == Does::both ||
        does == Does::either) { // what decides, whatever the other is; else NULL if any is
      const std::int64_t deciding = does == Does::either;
      if (left == deciding || right == deciding)
        left = deciding;
      else if (right == kNull)
        left = kNull;
      continue;
    }
    if (left == kNull || right == kNull) {
      left = kNull;
      continue;
    }
    bool over = false;
    switch (does) {
    case Does::eq:
      left = left == right;
      break;
    case Does::ne:
      left = left != right;
      break;
    case Does::lt:
      left = left < right;
      break;
    case Does::le:
      left = left <= right;
      break;
    case Does::gt:
      left = left > right;
      break;
    case Does::ge:
      left = left >= right;
      break;
    case Does::add:
      over = __builtin_add_overflow(left, right, &left);
      break;
    case Does::subtract:
      over = __builtin_sub_overflow(left, right, &left);
      break;
    default:
      over = __builtin_mul_overflow(left, right, &left);
    }
    if (over || left == kNull)
      return Said::beyond;
  }
  return stack[0] == kNull ? Said::null : stack[0] ? Said::yes : Said::no;
}

} // namespace cdp::pg
