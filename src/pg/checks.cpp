#include "pg/checks.hpp"

#include "pg/rule_tree.hpp"

extern "C" {
#include "access/transam.h"
#include "executor/executor.h"
#include "optimizer/optimizer.h"
#include "utils/inval.h"
#include "utils/rel.h"
}

namespace cdp::pg {

namespace {

constexpr std::uint32_t kPlaces = 64;

struct Compiled {
  Oid table;     // InvalidOid: it has changed, or there is none here
  bool is_plain; // all may be kept
  ExprState **checks;
  MemoryContext memory;
};

Compiled compiled[kPlaces]; // each at the place of its table's oid, where the last one stays
bool follows = false;

void forget(Datum, Oid table) {
  for (auto &one : compiled)
    if (!OidIsValid(table) || one.table == table)
      one.table = InvalidOid;
}

bool is_somebodys(Oid function, void *) {
  return function >= FirstNormalObjectId;
}

bool calls_somebodys(Node *node, void *context) {
  if (!node)
    return false;
  return check_functions_in_node(node, is_somebodys, context) ||
         expression_tree_walker(node, rule::as_walker(calls_somebodys), context);
}

// As ExecRelCheck does it, in memory that stays.
void compile(Relation table, Compiled &into) {
  const auto *constraints = RelationGetDescr(table)->constr;
  into.is_plain = true;
#if PG_VERSION_NUM >= 180000
  into.is_plain = !constraints->has_generated_virtual;
  for (int i = 0; i < constraints->num_check; ++i)
    into.is_plain = into.is_plain && constraints->check[i].ccenforced;
#endif
  into.checks = static_cast<ExprState **>(palloc0(sizeof(ExprState *) * constraints->num_check));
  for (int i = 0; i < constraints->num_check && into.is_plain; ++i) {
    auto *check = static_cast<Node *>(stringToNode(constraints->check[i].ccbin));
    into.is_plain = !calls_somebodys(check, nullptr);
    if (into.is_plain)
      into.checks[i] = ExecInitExpr(expression_planner(reinterpret_cast<Expr *>(check)), nullptr);
  }
}

} // namespace

ExprState **compiled_checks(Relation table) {
  const auto *constraints = RelationGetDescr(table)->constr;
  if (!constraints || constraints->num_check == 0)
    return nullptr;
  const Oid id = RelationGetRelid(table);
  auto &place = compiled[id % kPlaces];
  if (place.table != id) {
    if (!follows)
      CacheRegisterRelcacheCallback(forget, Datum(0));
    follows = true;
    place.table = InvalidOid;
    if (place.memory)
      MemoryContextDelete(place.memory);
    place.memory = nullptr;
    place.memory = AllocSetContextCreate(TopMemoryContext, "cdp checks", ALLOCSET_SMALL_SIZES);
    MemoryContext before = MemoryContextSwitchTo(place.memory);
    compile(table, place);
    MemoryContextSwitchTo(before);
    place.table = id;
  }
  return place.is_plain ? place.checks : nullptr;
}

} // namespace cdp::pg
