// Tables, indexes and columns by their names, for what every message asks. All only inside pg::call.
#pragma once
#include "pg/pg.hpp"

namespace cdp::pg {

// As get_relname_relid; what was found is kept until a relation or a schema changes. InvalidOid: there is
// none, or no such schema.
Oid relation_named(const char *schema, const char *name);

// The table, where the current user may write all its rows. InvalidOid: SQL has to write, or to say why not.
// Throws in a transaction that is read only.
enum class Writes { insert, update };
Oid table_to_write(const char *schema, const char *name, Writes what);

// As get_attnum, without looking it up in the catalog.
AttrNumber column_named(struct RelationData *table, const char *name);

} // namespace cdp::pg
