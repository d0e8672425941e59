// Where the clock enters a rule. Each piece must be a comparison of two sides that never move the same way,
// so that it turns where a search can find it.
#include <algorithm>
#include <set>

#include "pg/rule_clock.hpp"

extern "C" {
#include "catalog/namespace.h"
}

namespace cdp::pg::rule {

namespace {

const std::set<std::string_view> kComparisons = {"<", "<=", "=", ">=", ">", "<>"};

// A neighbour in AND or OR leaves the rest undecided while it is not the value that decides alone; unknown
// does not.
Node *test(Node *node, BoolTestType type) {
  return call([&] {
    auto *test = makeNode(BooleanTest);
    test->arg = reinterpret_cast<Expr *>(node);
    test->booltesttype = type;
    test->location = -1;
    return reinterpret_cast<Node *>(test);
  });
}

class Finder {
public:
  Finder(const Source &source, const std::string &time_zone, Spelling spelling)
      : source_(source), time_zone_(time_zone), spell_(spelling) {}

  std::vector<Comparison> found;

  // What may turn between two instants that are looked at cannot guard anything.
  static bool turns(Node *node) { return has_clock(node, false) || has_segment(node); }

  // Guards are conditions that PostgreSQL would have found true before it came here.
  void walk(Node *node, bool in_aggregate, const std::vector<Node *> &guards) {
    if (!node || !has_clock(node, true))
      return;
    switch (nodeTag(node)) {
    case T_Aggref:
      return walk_aggregate(reinterpret_cast<Aggref *>(node), guards);
    case T_BoolExpr:
      return walk_boolean(reinterpret_cast<BoolExpr *>(node), in_aggregate, guards);
    case T_CaseExpr:
      if (!reinterpret_cast<CaseExpr *>(node)->arg)
        return walk_case(reinterpret_cast<CaseExpr *>(node), in_aggregate, guards);
      if (has_clock(node, false))
        refuse_clock(node);
      break;
    case T_OpExpr:
    case T_DistinctExpr:
      if (has_clock(node, false) && take(reinterpret_cast<OpExpr *>(node), in_aggregate, guards)) {
        for (Node *child : children(node)) // aggregates in it may look at the clock themselves
          walk_aggregates(child, guards);
        return;
      }
      break;
    case T_Param:
      refuse_clock(node);
    default:
      break;
    }
    for (Node *child : children(node))
      walk(child, in_aggregate, guards);
  }

private:
  [[noreturn]] void refuse_clock(Node *node) const {
    refuse(source_, location_of(node), ERRCODE_FEATURE_NOT_SUPPORTED,
           "now() makes " + source_.what + " depend on the time itself: this use of it cannot be kept exact",
           "Compare the clock, shifted or truncated, with something that stands still: occurred_at > now() - "
           "interval "
           "'7 days', or now() - max(occurred_at) > interval '1 month'. Of a value that is another at every "
           "instant, keep what "
           "stands still, max(occurred_at), and subtract it from now() where it is read.");
  }

  static int location_of(Node *node) {
    if (is_instant(node))
      return reinterpret_cast<Param *>(node)->location;
    for (Node *child : children(node))
      if (has_clock(child, false))
        return location_of(child);
    return call([&] { return exprLocation(node); });
  }

  void walk_aggregates(Node *node, const std::vector<Node *> &guards) {
    if (!has_clock(node, true))
      return;
    if (IsA(node, Aggref))
      return walk_aggregate(reinterpret_cast<Aggref *>(node), guards);
    for (Node *child : children(node))
      walk_aggregates(child, guards);
  }

  void walk_aggregate(Aggref *aggregate, const std::vector<Node *> &outer) {
    // Ordered-set arguments are judged once a group, all else once an event.
    for (Node *argument : children_of(aggregate->aggdirectargs))
      walk(argument, false, outer);
    auto *filter = reinterpret_cast<Node *>(aggregate->aggfilter);
    walk(filter, true, {});
    std::vector<Node *> guards;
    if (filter)
      add_conjuncts(filter, guards);
    for (Node *argument : children_of(aggregate->args))
      walk(argument, true, guards);
  }

  static std::vector<Node *> children_of(List *list) {
    std::vector<Node *> result;
    for (int i = 0; i < list_length(list); ++i)
      result.push_back(static_cast<Node *>(list_nth(list, i)));
    return result;
  }

  static void add_conjuncts(Node *condition, std::vector<Node *> &guards) {
    if (IsA(condition, BoolExpr) && reinterpret_cast<BoolExpr *>(condition)->boolop == AND_EXPR) {
      bool behind_clock = false;
      for (Node *part : children(condition)) {
        if (turns(part))
          behind_clock = true;
        else if (!behind_clock || is_safe(part))
          guards.push_back(part);
      }
    } else if (!turns(condition)) {
      guards.push_back(condition);
    }
  }

  void walk_boolean(BoolExpr *node, bool in_aggregate, const std::vector<Node *> &outer) {
    const auto parts = children(reinterpret_cast<Node *>(node));
    for (std::size_t i = 0; i < parts.size(); ++i) {
      if (!has_clock(parts[i], true))
        continue;
      auto guards = outer;
      bool behind_clock = false;
      for (std::size_t j = 0; j < parts.size() && node->boolop != NOT_EXPR; ++j) {
        if (j == i || turns(parts[j])) {
          behind_clock = true;
          continue;
        }
        if (behind_clock && !is_safe(parts[j]))
          continue;
        guards.push_back(test(parts[j], node->boolop == AND_EXPR ? IS_NOT_FALSE : IS_NOT_TRUE));
      }
      walk(parts[i], in_aggregate, guards);
    }
  }

  void walk_case(CaseExpr *node, bool in_aggregate, const std::vector<Node *> &outer) {
    auto guards = outer;
    for (Node *branch : children_of(node->args)) {
      auto *when = reinterpret_cast<CaseWhen *>(branch);
      auto *condition = reinterpret_cast<Node *>(when->expr);
      walk(condition, in_aggregate, guards);
      auto taken = guards;
      if (!turns(condition)) {
        taken.push_back(condition);
        guards.push_back(test(condition, IS_NOT_TRUE));
      }
      walk(reinterpret_cast<Node *>(when->result), in_aggregate, taken);
    }
    walk(reinterpret_cast<Node *>(node->defresult), in_aggregate, guards);
  }

  // True: it is a comparison with the clock, and kept. False: look inside.
  bool take(OpExpr *node, bool in_aggregate, const std::vector<Node *> &guards) {
    if (list_length(node->args) != 2)
      return false;
    auto *left = static_cast<Node *>(linitial(node->args));
    auto *right = static_cast<Node *>(lsecond(node->args));
    const std::string op = call([&] { return get_opname(node->opno); });
    const bool builtin = !builtin_name(call([&] { return get_opcode(node->opno); })).empty();
    if (!builtin || !kComparisons.contains(op))
      return false;
    if (call([&] { return exprType(left); }) == BOOLOID)
      return false;
    Motion motion(source_);
    const auto left_way = motion.of(left), right_way = motion.of(right);
    if (!left_way || !right_way || *left_way == *right_way)
      refuse_clock(reinterpret_cast<Node *>(node));

    Comparison made;
    made.level = level_of(reinterpret_cast<Node *>(node), in_aggregate);
    made.guard = guard_of(guards, made.level, in_aggregate);
    made.zones.assign(motion.zones.begin(), motion.zones.end());
    made.zones.push_back(time_zone_);
    made.wide = motion.shifts > 1 || (motion.shifts > 0 && motion.truncates);
    if (auto closed = solve(op, left, right, time_zone_)) {
      made.inputs = {spell_(closed->stands)};
      made.offsets = closed->offsets;
    } else {
      Inputs inputs;
      const std::vector<Node *> sides = {inputs.replace(left), inputs.replace(right)};
      for (Node *input : inputs.found())
        made.inputs.push_back(spell_(input));
      made.tests = tests_of(node, op, sides[0], sides[1]);
    }
    found.push_back(std::move(made));
    return true;
  }

  static bool looks_at_events(Node *node) {
    return has_param(node, 1, kEventColumns, true) || has_param(node, kFirstInput, INT32_MAX, true) ||
           has_aggregate(node);
  }

  static Level level_of(Node *node, bool in_aggregate) {
    if (!looks_at_events(node) && !has_segment(node)) // a segment is looked at as often as a group
      return Level::person;
    return in_aggregate ? Level::event : Level::group;
  }

  std::string guard_of(const std::vector<Node *> &guards, Level level, bool in_aggregate) const {
    std::string text;
    for (Node *guard : guards) {
      if (level == Level::person && looks_at_events(guard))
        continue;
      if (in_aggregate && has_aggregate(guard))
        continue;
      text += (text.empty() ? "(" : " AND (") + spell_(guard) + ")";
    }
    return text.empty() ? "true" : text;
  }

  // Equality turns where "not more" and "not less" turn.
  static std::vector<std::string> tests_of(OpExpr *node, const std::string &op, Node *left, Node *right) {
    if (op != "=" && op != "<>")
      return {to_test(with_operator(node->opno, left, right, node))};
    std::vector<std::string> tests;
    for (const char *name : {"<=", ">="}) {
      const Oid oid = call([&] {
        Oid left_type, right_type;
        op_input_types(node->opno, &left_type, &right_type);
        return OpernameGetOprid(list_make2(makeString(pstrdup("pg_catalog")), makeString(pstrdup(name))),
                                left_type, right_type);
      });
      if (!OidIsValid(oid))
        throw Error(ERRCODE_FEATURE_NOT_SUPPORTED, "this comparison with now() cannot be kept exact yet");
      tests.push_back(to_test(with_operator(oid, left, right, node)));
    }
    return tests;
  }

  static Node *with_operator(Oid op, Node *left, Node *right, const OpExpr *like) {
    return call([&] {
      return reinterpret_cast<Node *>(make_opclause(op, BOOLOID, false, reinterpret_cast<Expr *>(left),
                                                    reinterpret_cast<Expr *>(right), InvalidOid,
                                                    like->inputcollid));
    });
  }

  const Source &source_;
  const std::string &time_zone_;
  const Spelling spell_;
};

} // namespace

bool is_safe(Node *node) {
  static const std::set<std::string_view> kSafe = {
      "texteq",         "textne",         "jsonb_object_field", "jsonb_object_field_text",
      "jsonb_exists",   "jsonb_contains", "timestamptz_lt",     "timestamptz_le",
      "timestamptz_gt", "timestamptz_ge", "timestamptz_eq",     "int8eq",
      "int84eq"};
  switch (nodeTag(node)) {
  case T_Param:
  case T_Const:
  case T_NullTest:
  case T_BoolExpr:
  case T_BooleanTest:
  case T_RelabelType:
  case T_ArrayExpr:
    break;
  case T_OpExpr:
    if (!kSafe.contains(
            builtin_name(call([&] { return get_opcode(reinterpret_cast<OpExpr *>(node)->opno); }))))
      return false;
    break;
  case T_ScalarArrayOpExpr:
    if (!kSafe.contains(builtin_name(
            call([&] { return get_opcode(reinterpret_cast<ScalarArrayOpExpr *>(node)->opno); }))))
      return false;
    break;
  default:
    return false;
  }
  const auto parts = children(node);
  return std::all_of(parts.begin(), parts.end(), is_safe);
}

std::vector<Comparison> find_comparisons(Node *having, const Source &source, const std::string &time_zone,
                                         Spelling spelling) {
  Finder finder(source, time_zone, spelling);
  finder.walk(having, false, {});
  return std::move(finder.found);
}

} // namespace cdp::pg::rule
