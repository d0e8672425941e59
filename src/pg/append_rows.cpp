#include "pg/append_rows.hpp"

extern "C" {
#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "executor/executor.h"
#include "tcop/utility.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/rls.h"
}

namespace cdp::pg {

namespace {

constexpr int kBatch = 500; // rows formed at once

bool fires_on_insert(const TriggerDesc *triggers) {
  return triggers && (triggers->trig_insert_before_row || triggers->trig_insert_after_row ||
                      triggers->trig_insert_instead_row || triggers->trig_insert_before_statement ||
                      triggers->trig_insert_after_statement || triggers->trig_insert_new_table);
}

bool is_plain(Relation table, const Oid *types, int columns) {
  const TupleDesc row = RelationGetDescr(table);
  if (table->rd_rel->relkind != RELKIND_RELATION || fires_on_insert(table->trigdesc) || table->rd_rules ||
      table->rd_rel->relispartition || row->natts != columns ||
      (row->constr && row->constr->has_generated_stored))
    return false;
  for (int i = 0; i < columns; ++i)
    if (TupleDescAttr(row, i)->attisdropped || TupleDescAttr(row, i)->atttypid != types[i])
      return false;
  return true;
}

// One slot a row, filled anew for each batch.
struct Target {
  Relation table;
  EState *state;
  ResultRelInfo *info;
  TupleTableSlot **slots;
};

Target open_target(Relation table, int rows) {
  Target to{table, CreateExecutorState(), makeNode(ResultRelInfo), nullptr};
  InitResultRelInfo(to.info, table, 0, nullptr, 0);
  ExecOpenIndices(to.info, false);
  to.slots = static_cast<TupleTableSlot **>(palloc(sizeof(TupleTableSlot *) * rows));
  for (int i = 0; i < rows; ++i)
    to.slots[i] = table_slot_create(table, nullptr);
  return to;
}

void close_target(const Target &to, int rows) {
  for (int i = 0; i < rows; ++i)
    ExecDropSingleTupleTableSlot(to.slots[i]);
  ExecCloseIndices(to.info);
  FreeExecutorState(to.state);
}

void write_batch(const Target &to, const Datum *values, const char *nulls, int rows, int columns) {
  for (int i = 0; i < rows; ++i) {
    auto *slot = to.slots[i];
    ExecClearTuple(slot);
    for (int j = 0; j < columns; ++j) {
      slot->tts_values[j] = values[i * columns + j];
      slot->tts_isnull[j] = nulls[i * columns + j] != 0;
    }
    ExecStoreVirtualTuple(slot);
    if (to.table->rd_att->constr)
      ExecConstraints(to.info, slot, to.state);
  }
  table_multi_insert(to.table, to.slots, rows, GetCurrentCommandId(true), 0, nullptr);
  for (int i = 0; i < rows && to.info->ri_NumIndices > 0; ++i) {
    ResetPerTupleExprContext(to.state);
#if PG_VERSION_NUM >= 160000
    ExecInsertIndexTuples(to.info, to.slots[i], to.state, false, false, nullptr, NIL, false);
#else
    ExecInsertIndexTuples(to.info, to.slots[i], to.state, false, false, nullptr, NIL);
#endif
  }
}

} // namespace

bool RowAppend::write(const char *schema, const char *table, std::initializer_list<Oid> types) {
  const int all = static_cast<int>(rows()), columns = columns_;
  const Oid *wanted = types.begin();
  const Datum *values = values_.data();
  const char *nulls = nulls_.data();
  return call([&] {
    const Oid id = get_relname_relid(table, get_namespace_oid(schema, false));
    if (!OidIsValid(id) || pg_class_aclcheck(id, GetUserId(), ACL_INSERT) != ACLCHECK_OK ||
        check_enable_rls(id, InvalidOid, true) == RLS_ENABLED)
      return false;
    PreventCommandIfReadOnly("INSERT");
    Relation opened = table_open(id, RowExclusiveLock);
    const bool can = is_plain(opened, wanted, columns);
    if (can && all > 0) {
      const int most = Min(all, kBatch);
      const Target to = open_target(opened, most);
      for (int i = 0; i < all; i += most) {
        CHECK_FOR_INTERRUPTS();
        write_batch(to, values + i * columns, nulls + i * columns, Min(most, all - i), columns);
      }
      close_target(to, most);
    }
    table_close(opened, NoLock);
    return can;
  });
}

Cell bigints_cell(std::span<const std::int64_t> values) {
  return {call([&] {
            auto *array = static_cast<ArrayType *>(palloc(ARR_OVERHEAD_NONULLS(1) + values.size_bytes()));
            SET_VARSIZE(array, ARR_OVERHEAD_NONULLS(1) + values.size_bytes());
            array->ndim = 1;
            array->dataoffset = 0;
            array->elemtype = INT8OID;
            ARR_DIMS(array)[0] = static_cast<int>(values.size());
            ARR_LBOUND(array)[0] = 1;
            memcpy(ARR_DATA_PTR(array), values.data(), values.size_bytes());
            return PointerGetDatum(array);
          }),
          false};
}

Cell text_cell(std::string_view text) {
  return {call([&] {
            return PointerGetDatum(cstring_to_text_with_len(text.data(), static_cast<int>(text.size())));
          }),
          false};
}

} // namespace cdp::pg
