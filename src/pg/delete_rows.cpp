#include "pg/delete_rows.hpp"

#include "pg/scan.hpp"

extern "C" {
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "utils/rel.h"
}

namespace cdp::pg {

bool delete_rows(const char *schema, const char *table, const std::vector<ItemPointerData> &places) {
  const Moment moment;
  const Oid id = table_named(schema, table);
  return call([&] {
    Relation opened = table_open(id, RowExclusiveLock);
    const CommandId command = GetCurrentCommandId(true);
    bool deleted = true;
    for (std::size_t i = 0; i < places.size() && deleted; ++i) {
      CHECK_FOR_INTERRUPTS();
      ItemPointerData place = places[i];
      TM_FailureData failure;
      deleted = table_tuple_delete(opened, &place, command, moment.snapshot(), InvalidSnapshot, true,
                                   &failure, false) == TM_Ok;
    }
    table_close(opened, NoLock);
    return deleted;
  });
}

} // namespace cdp::pg
