#include "pg/row_update.hpp"

#include "pg/names.hpp"

extern "C" {
#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_am_d.h"
#include "executor/executor.h"
#include "tcop/utility.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
}

namespace cdp::pg {

namespace {

bool fires_on_update(const TriggerDesc *triggers) {
  return triggers && (triggers->trig_update_before_row || triggers->trig_update_after_row ||
                      triggers->trig_update_instead_row || triggers->trig_update_before_statement ||
                      triggers->trig_update_after_statement || triggers->trig_update_old_table ||
                      triggers->trig_update_new_table);
}

// The row moved to another page, or an indexed column changed.
void fill_indexes(Relation table, TupleTableSlot *row, [[maybe_unused]] bool only_summarizing) {
  EState *state = CreateExecutorState();
  ResultRelInfo *info = makeNode(ResultRelInfo);
  InitResultRelInfo(info, table, 0, nullptr, 0);
  ExecOpenIndices(info, false);
#if PG_VERSION_NUM >= 160000
  ExecInsertIndexTuples(info, row, state, true, false, nullptr, NIL, only_summarizing);
#else
  ExecInsertIndexTuples(info, row, state, true, false, nullptr, NIL);
#endif
  ExecCloseIndices(info);
  FreeExecutorState(state);
}

// Whether this transaction has written a newer version, or deleted it: a trigger may have, since it was
// locked.
bool is_rewritten(TupleTableSlot *row) {
  const HeapTupleHeader header = ExecFetchSlotHeapTuple(row, false, nullptr)->t_data;
  return !(header->t_infomask & HEAP_XMAX_INVALID) && !HEAP_XMAX_IS_LOCKED_ONLY(header->t_infomask) &&
         TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetUpdateXid(header));
}

// What of the new version the indexes are to hold.
#if PG_VERSION_NUM >= 160000
using Indexes = TU_UpdateIndexes;
bool any(Indexes indexes) {
  return indexes != TU_None;
}
bool only_summarizing(Indexes indexes) {
  return indexes == TU_Summarizing;
}
#else
using Indexes = bool;
bool any(Indexes indexes) {
  return indexes;
}
bool only_summarizing(Indexes) {
  return false;
}
#endif

} // namespace

KeyLock::KeyLock(const Moment &moment, const char *schema, const char *table, const char *index,
                 std::initializer_list<Column> columns)
    : KeyScan(moment, schema, table, index, columns, RowShareLock) {
  may_ = call([&] {
    PreventCommandIfReadOnly("SELECT FOR UPDATE");
    return pg_class_aclcheck(RelationGetRelid(table_), GetUserId(), ACL_UPDATE) == ACLCHECK_OK;
  });
}

bool KeyLock::next_locked() {
  const bool follows = !IsolationUsesXactSnapshot();
  while (index_getnext_slot(scan_, ForwardScanDirection, slot())) {
    ItemPointerData place = slot()->tts_tid;
    TM_FailureData failure;
    switch (table_tuple_lock(table_, &place, moment().snapshot(), slot(), GetCurrentCommandId(true),
                             LockTupleExclusive, LockWaitBlock,
                             follows ? TUPLE_LOCK_FLAG_FIND_LAST_VERSION : 0, &failure)) {
    case TM_Ok:
      take_apart();
      return true;
    case TM_Deleted:
    case TM_SelfModified:
      if (follows)
        break;
      [[fallthrough]];
    case TM_Updated:
      ereport(ERROR, errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
              errmsg("could not serialize access due to concurrent update"));
    default:
      elog(ERROR, "a row could not be locked");
    }
  }
  return false;
}

RowUpdate::RowUpdate(const char *schema, const char *table, std::initializer_list<Column> columns)
    : exceptions_(std::uncaught_exceptions()) {
  call([&] {
    const Oid id = table_to_write(schema, table, Writes::update);
    if (!OidIsValid(id))
      return;
    table_ = table_open(id, RowExclusiveLock);
    CheckCmdReplicaIdentity(table_, CMD_UPDATE);
  });
  for (const auto &column : columns)
    if (table_) {
      const auto number = call([&] { return column_named(table_, column.name); });
      if (number > 0 && TupleDescAttr(RelationGetDescr(table_), number - 1)->atttypid == column.type)
        places_.push_back(number - 1);
    }
  call([&] {
    if (table_ && (places_.size() != columns.size() || !takes_updates())) {
      table_close(table_, NoLock);
      table_ = nullptr;
    }
    if (table_) {
      old_ = table_slot_create(table_, nullptr);
      new_ = table_slot_create(table_, nullptr);
    }
  });
}

RowUpdate::~RowUpdate() {
  if (!table_ || std::uncaught_exceptions() != exceptions_)
    return;
  ExecDropSingleTupleTableSlot(new_);
  ExecDropSingleTupleTableSlot(old_);
  table_close(table_, NoLock);
}

bool RowUpdate::takes_updates() const {
  const auto *constraints = RelationGetDescr(table_)->constr;
  return table_->rd_rel->relkind == RELKIND_RELATION && table_->rd_rel->relam == HEAP_TABLE_AM_OID &&
         !table_->rd_rel->relispartition && !fires_on_update(table_->trigdesc) && !table_->rd_rules &&
         !(constraints && (constraints->num_check > 0 || constraints->has_generated_stored));
}

bool RowUpdate::write(ItemPointerData place, std::initializer_list<std::optional<Cell>> cells) {
  return call([&] {
    if (!table_tuple_fetch_row_version(table_, &place, SnapshotAny, old_))
      return false;
    if (is_rewritten(old_)) {
      ExecClearTuple(old_);
      return false;
    }
    const TupleDesc row = RelationGetDescr(table_);
    slot_getallattrs(old_);
    ExecClearTuple(new_);
    memcpy(new_->tts_values, old_->tts_values, sizeof(Datum) * row->natts);
    memcpy(new_->tts_isnull, old_->tts_isnull, sizeof(bool) * row->natts);
    const int *column = places_.data();
    for (const auto &cell : cells) {
      if (cell) {
        if (cell->second && TupleDescAttr(row, *column)->attnotnull)
          elog(ERROR, "a value of column \"%s\" is missing", NameStr(TupleDescAttr(row, *column)->attname));
        new_->tts_values[*column] = cell->first;
        new_->tts_isnull[*column] = cell->second;
      }
      ++column;
    }
    ExecStoreVirtualTuple(new_);
    TM_FailureData failure;
    LockTupleMode mode;
    Indexes indexes{};
    const auto result =
        table_tuple_update(table_, &place, new_, GetCurrentCommandId(true), GetActiveSnapshot(),
                           InvalidSnapshot, true, &failure, &mode, &indexes);
    if (result == TM_Ok && any(indexes))
      fill_indexes(table_, new_, only_summarizing(indexes));
    ExecClearTuple(old_);
    return result == TM_Ok;
  });
}

} // namespace cdp::pg
