#include "pg/rule_clock.hpp"

extern "C" {
#include "datatype/timestamp.h"
#include "pgtime.h"
}

namespace cdp::pg::rule {

namespace {

// Functions that never fall as their argument grows; the argument that may move.
const std::map<std::string_view, int> kRising = {
    {"date", 0},     {"timestamp", 0}, {"timestamptz", 0}, {"date_trunc", 1}, {"timezone", 1},
    {"date_bin", 1}, {"int4", 0},      {"int8", 0},        {"numeric", 0},    {"float8", 0},
    {"floor", 0},    {"ceil", 0},      {"ceiling", 0},     {"round", 0},      {"trunc", 0}};

const std::set<std::string_view> kSum = {"timestamptz_pl_interval",
                                         "interval_pl_timestamptz",
                                         "timestamp_pl_interval",
                                         "interval_pl_timestamp",
                                         "date_pl_interval",
                                         "interval_pl_date",
                                         "date_pli",
                                         "integer_pl_date",
                                         "datetime_pl",
                                         "timedate_pl",
                                         "interval_pl",
                                         "int4pl",
                                         "int8pl",
                                         "int48pl",
                                         "int84pl",
                                         "numeric_add",
                                         "float8pl"};
const std::set<std::string_view> kDifference = {"timestamptz_mi_interval",
                                                "timestamptz_mi",
                                                "timestamp_mi_interval",
                                                "timestamp_mi",
                                                "date_mi_interval",
                                                "date_mii",
                                                "date_mi",
                                                "interval_mi",
                                                "int4mi",
                                                "int8mi",
                                                "int48mi",
                                                "int84mi",
                                                "numeric_sub",
                                                "float8mi"};
const std::set<std::string_view> kProduct = {"interval_mul", "mul_d_interval", "int4mul",     "int8mul",
                                             "int48mul",     "int84mul",       "numeric_mul", "float8mul"};
const std::set<std::string_view> kQuotient = {"interval_div", "int4div",     "int8div",  "int48div",
                                              "int84div",     "numeric_div", "float8div"};

Const *constant(Node *node) {
  if (!is_constant(node))
    return nullptr;
  Node *folded = fold(node);
  return IsA(folded, Const) && !reinterpret_cast<Const *>(folded)->constisnull
             ? reinterpret_cast<Const *>(folded)
             : nullptr;
}

std::optional<std::string> constant_text(Node *node) {
  Const *value = constant(node);
  if (!value)
    return std::nullopt;
  return call([&] {
    Oid output;
    bool is_varlena;
    getTypeOutputInfo(value->consttype, &output, &is_varlena);
    return OidOutputFunctionCall(output, value->constvalue);
  });
}

// 1, -1 or 0 for a number.
int sign(Node *node) {
  auto text = constant_text(node);
  if (!text || *text == "NaN" || text->find_first_of("123456789I") == std::string::npos)
    return 0;
  return text->front() == '-' ? -1 : 1;
}

bool is_shift(Node *argument) {
  const Oid type = call([&] { return exprType(argument); });
  return type == INTERVALOID || type == INT4OID;
}

} // namespace

bool Motion::take_zone(Node *zone) {
  auto name = call([&] { return exprType(zone); }) == TEXTOID ? constant_text(zone) : std::nullopt;
  if (!name)
    return false;
  if (!call([&] { return pg_tzset(name->c_str()); }))
    refuse(source_, call([&] { return exprLocation(zone); }), ERRCODE_INVALID_PARAMETER_VALUE,
           "time zone \"" + *name + "\" not recognized", "Use a full name, such as Europe/Amsterdam.");
  zones.insert(*name);
  return true;
}

std::optional<int> Motion::of_all(List *arguments) {
  int way = 0;
  for (int i = 0; i < list_length(arguments); ++i) {
    auto part = of(static_cast<Node *>(list_nth(arguments, i)));
    if (!part || (*part && way && *part != way))
      return std::nullopt;
    way = *part ? *part : way;
  }
  return way;
}

std::optional<int> Motion::of_function(FuncExpr *function) {
  const std::string name = builtin_name(function->funcid);
  const int count = list_length(function->args);
  const auto argument = [&](int i) { return static_cast<Node *>(list_nth(function->args, i)); };
  if ((name == "extract" || name == "date_part") && count == 2 &&
      call([&] { return exprType(argument(1)); }) == INTERVALOID && constant_text(argument(0)) == "epoch")
    return of(argument(1));
  auto rising = kRising.find(name);
  if (rising == kRising.end() || rising->second >= count)
    return std::nullopt;
  for (int i = 0; i < count; ++i)
    if (i != rising->second && !constant(argument(i)))
      return std::nullopt;
  if (name == "timezone" && !take_zone(argument(0)))
    return std::nullopt;
  if (name == "date_trunc" && count == 3 && !take_zone(argument(2)))
    return std::nullopt;
  if (name == "date_trunc" || name == "date_bin") {
    if (call([&] { return exprType(argument(1)); }) == INTERVALOID)
      return std::nullopt;
    truncates = true;
  }
  return of(argument(rising->second));
}

std::optional<int> Motion::of_operator(OpExpr *operation) {
  const std::string name = builtin_name(call([&] { return get_opcode(operation->opno); }));
  auto *first = static_cast<Node *>(linitial(operation->args));
  if (list_length(operation->args) == 1) {
    auto way = of(first);
    return way && (name == "interval_um" || name == "numeric_uminus" || name == "float8um" ||
                   name == "int4um" || name == "int8um")
               ? std::optional(-*way)
               : std::nullopt;
  }
  auto *second = static_cast<Node *>(lsecond(operation->args));
  auto left = of(first), right = of(second);
  if (!left || !right)
    return std::nullopt;
  if (kSum.contains(name) || kDifference.contains(name)) {
    const int other = kSum.contains(name) ? *right : -*right;
    if (*left && other && *left != other)
      return std::nullopt;
    shifts += (*left && is_shift(second)) || (*right && is_shift(first));
    return *left ? *left : other;
  }
  if (kProduct.contains(name) || kQuotient.contains(name)) {
    const bool left_moves = *left != 0;
    if (!left_moves && kQuotient.contains(name))
      return std::nullopt;
    const int factor = sign(left_moves ? second : first);
    return factor ? std::optional((left_moves ? *left : *right) * factor) : std::nullopt;
  }
  return std::nullopt;
}

std::optional<int> Motion::of(Node *term) {
  if (!has_clock(term, false))
    return 0;
  switch (nodeTag(term)) {
  case T_Param:
    return 1;
  case T_RelabelType:
    return of(reinterpret_cast<Node *>(reinterpret_cast<RelabelType *>(term)->arg));
  case T_FuncExpr:
    return of_function(reinterpret_cast<FuncExpr *>(term));
  case T_OpExpr:
    return of_operator(reinterpret_cast<OpExpr *>(term));
  case T_MinMaxExpr:
    return of_all(reinterpret_cast<MinMaxExpr *>(term)->args);
  case T_CoalesceExpr:
    return of_all(reinterpret_cast<CoalesceExpr *>(term)->args);
  default:
    return std::nullopt;
  }
}

namespace {

bool is_utc(const std::string &zone) {
  return zone == "UTC" || zone == "Etc/UTC" || zone == "GMT" || zone == "Etc/GMT";
}

constexpr std::int64_t kNever = INT64_MIN;

// Microseconds of an interval that is the same wherever it is added; kNever if it is not.
std::int64_t rigid(Node *node, bool whole_days, bool whole_months) {
  Const *value = constant(node);
  if (!value || value->consttype != INTERVALOID)
    return kNever;
  const Interval *interval = DatumGetIntervalP(value->constvalue);
  if ((interval->month && !whole_months) || (interval->day && !whole_days))
    return kNever;
  std::int64_t days, micros;
  if (__builtin_mul_overflow(static_cast<std::int64_t>(interval->month), 30, &days) ||
      __builtin_add_overflow(days, interval->day, &days) ||
      __builtin_mul_overflow(days, USECS_PER_DAY, &micros) ||
      __builtin_add_overflow(micros, interval->time, &micros) || std::abs(micros) > INT64_MAX / 16)
    return kNever;
  return micros;
}

// now(), now() + rigid, now() - rigid: how far from now(); kNever for anything else.
std::int64_t shift_of(Node *node, bool utc) {
  if (is_instant(node))
    return 0;
  if (!IsA(node, OpExpr) || list_length(reinterpret_cast<OpExpr *>(node)->args) != 2)
    return kNever;
  auto *operation = reinterpret_cast<OpExpr *>(node);
  const std::string name = builtin_name(call([&] { return get_opcode(operation->opno); }));
  if (name != "timestamptz_pl_interval" && name != "timestamptz_mi_interval")
    return kNever;
  const auto base = shift_of(static_cast<Node *>(linitial(operation->args)), utc);
  const auto by = rigid(static_cast<Node *>(lsecond(operation->args)), utc, false);
  if (base == kNever || by == kNever)
    return kNever;
  return name == "timestamptz_pl_interval" ? base + by : base - by;
}

} // namespace

std::string turned(const std::string &op) {
  static const std::map<std::string, std::string> kTurned = {
      {"<", ">"}, {"<=", ">="}, {">", "<"}, {">=", "<="}};
  auto found = kTurned.find(op);
  return found == kTurned.end() ? op : found->second;
}

std::optional<Closed> solve(const std::string &op, Node *left, Node *right, const std::string &time_zone) {
  const auto fixed = fix(op, left, right, time_zone);
  if (!fixed)
    return std::nullopt;
  if (fixed->op == "<" || fixed->op == ">=")
    return Closed{fixed->stands, {fixed->offset}};
  if (fixed->op == "<=" || fixed->op == ">")
    return Closed{fixed->stands, {fixed->offset + 1}};
  return Closed{fixed->stands, {fixed->offset, fixed->offset + 1}};
}

std::optional<Fixed> fix(const std::string &op, Node *left, Node *right, const std::string &time_zone) {
  if (!has_clock(left, false))
    return has_clock(right, false) ? fix(turned(op), right, left, time_zone) : std::nullopt;
  if (has_clock(right, false))
    return std::nullopt;
  const bool utc = is_utc(time_zone);
  const auto type = [](Node *node) { return call([&] { return exprType(node); }); };
  if (type(left) == TIMESTAMPTZOID && type(right) == TIMESTAMPTZOID) {
    const auto shift = shift_of(left, utc); // now + shift op still
    return shift == kNever ? std::nullopt : std::optional(Fixed{op, right, -shift});
  }
  if (type(left) != INTERVALOID || !IsA(left, OpExpr))
    return std::nullopt;
  auto *operation = reinterpret_cast<OpExpr *>(left);
  if (builtin_name(call([&] { return get_opcode(operation->opno); })) != "timestamptz_mi")
    return std::nullopt;
  // Intervals compare with days of 24 hours and months of 30 days.
  const auto span = rigid(right, true, true);
  auto *first = static_cast<Node *>(linitial(operation->args)),
       *second = static_cast<Node *>(lsecond(operation->args));
  const bool forward = has_clock(first, false);
  if (span == kNever || (forward && has_clock(second, false)))
    return std::nullopt;
  const auto shift = shift_of(forward ? first : second, utc);
  if (shift == kNever)
    return std::nullopt;
  // now + shift - x op span, or x - (now + shift) op span
  return forward ? Fixed{op, second, span - shift} : Fixed{turned(op), first, -span - shift};
}

Node *stand_in(Node *node, List **found) {
  int place = 0;
  ListCell *cell;
  foreach (cell, *found) {
    if (equal(lfirst(cell), node))
      break;
    ++place;
  }
  if (place == list_length(*found))
    *found = lappend(*found, node);
  auto *made = makeNode(Param);
  made->paramkind = PARAM_EXTERN;
  made->paramid = kFirstInput + place;
  made->paramtype = exprType(node);
  made->paramtypmod = -1;
  made->paramcollid = exprCollation(node);
  made->location = -1;
  return reinterpret_cast<Node *>(made);
}

namespace {

// In the backend's zone.
struct Replacement {
  List *found;
};

bool moves(Node *node, void *) {
  if (!node || IsA(node, Aggref))
    return false;
  if (IsA(node, Param))
    return reinterpret_cast<Param *>(node)->paramid == kInstant;
  return expression_tree_walker(node, as_walker(moves), nullptr);
}

bool varies(Node *node, void *) {
  if (!node)
    return false;
  if (IsA(node, Aggref) || IsA(node, Param))
    return true;
  return expression_tree_walker(node, as_walker(varies), nullptr);
}

Node *replace_still(Node *node, void *context) {
  if (!node || IsA(node, List))
    return expression_tree_mutator(node, as_mutator(replace_still), context);
  if (moves(node, nullptr))
    return is_instant(node) ? node : expression_tree_mutator(node, as_mutator(replace_still), context);
  if (!varies(node, nullptr))
    return node;
  return stand_in(node, &static_cast<Replacement *>(context)->found);
}

} // namespace

Node *Inputs::replace(Node *side) {
  return call([&] {
    Replacement replacement{list_};
    Node *result = replace_still(side, &replacement);
    list_ = replacement.found;
    return result;
  });
}

std::vector<Node *> Inputs::found() const {
  std::vector<Node *> result;
  for (int i = 0; i < list_length(list_); ++i)
    result.push_back(static_cast<Node *>(list_nth(list_, i)));
  return result;
}

} // namespace cdp::pg::rule
