// Many rows of a table, deleted where they were read: no index is searched, and no executor started for each.
#pragma once
#include <vector>

#include "pg/guard.hpp"

namespace cdp::pg {

// In the order that is given. False, with some of them deleted: one is no longer the row that was read.
// Triggers are not fired. May throw PgError.
bool delete_rows(const char *schema, const char *table, const std::vector<ItemPointerData> &places);

} // namespace cdp::pg
