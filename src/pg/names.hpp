// Tables, indexes and columns by their names, for what every message asks. Both only inside pg::call.
#pragma once
#include "pg/pg.hpp"

namespace cdp::pg {

// As get_relname_relid; what was found is kept until a relation or a schema changes. InvalidOid: there is
// none, or no such schema.
Oid relation_named(const char *schema, const char *name);

// As get_attnum, without looking it up in the catalog.
AttrNumber column_named(struct RelationData *table, const char *name);

} // namespace cdp::pg
