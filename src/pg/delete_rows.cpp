#include "pg/delete_rows.hpp"

#include "pg/scan.hpp"

extern "C" {
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "utils/rel.h"
}

namespace cdp::pg {

namespace {

bool fires_on_delete(const TriggerDesc *triggers) {
  return triggers && (triggers->trig_delete_before_row || triggers->trig_delete_after_row ||
                      triggers->trig_delete_before_statement || triggers->trig_delete_after_statement ||
                      triggers->trig_delete_old_table);
}

bool delete_row(Relation table, ItemPointerData place, Snapshot snapshot) {
  TM_FailureData failure;
  return table_tuple_delete(table, &place, GetCurrentCommandId(true), snapshot, InvalidSnapshot, true,
                            &failure, false) == TM_Ok;
}

} // namespace

Deleted delete_rows(const char *schema, const char *table, const std::vector<ItemPointerData> &places) {
  const Moment moment;
  const Oid id = table_named(schema, table);
  return call([&] {
    Relation opened = table_open(id, RowExclusiveLock);
    auto deleted = fires_on_delete(opened->trigdesc) || opened->rd_rules ? Deleted::none : Deleted::all;
    for (std::size_t i = 0; i < places.size() && deleted == Deleted::all; ++i) {
      CHECK_FOR_INTERRUPTS();
      if (!delete_row(opened, places[i], moment.snapshot()))
        deleted = Deleted::some;
    }
    table_close(opened, NoLock);
    return deleted;
  });
}

} // namespace cdp::pg
