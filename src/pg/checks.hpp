// CHECK constraints that are compiled once a process: PostgreSQL parses them again for every statement.
#pragma once
#include "pg/pg.hpp"

namespace cdp::pg {

// For ResultRelInfo::ri_ConstraintExprs; nullptr: there are none, or they call functions of somebody's own,
// which ExecConstraints is to look up anew. Only inside pg::call; used until the table is opened again.
struct ExprState **compiled_checks(struct RelationData *table);

} // namespace cdp::pg
