// Many rows of a table, deleted where they were read: no index is searched, and no executor started for each.
#pragma once
#include <vector>

#include "pg/guard.hpp"

namespace cdp::pg {

enum class Deleted {
  all,
  some, // one is no longer the row that was read
  none, // nothing is done: DELETE would have to do more, for there are triggers or rules
};

// In the order that is given. May throw PgError.
Deleted delete_rows(const char *schema, const char *table, const std::vector<ItemPointerData> &places);

} // namespace cdp::pg
