#include "pg/append.hpp"

#include "pg/names.hpp"

extern "C" {
#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "tcop/utility.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/rls.h"
}

namespace cdp::pg {

namespace {

// Why rows cannot simply be put into it, whatever their columns are; nullptr when they can.
const char *why_not(Relation table, int columns) {
  const TupleDesc row = RelationGetDescr(table);
  if (table->rd_rel->relkind != RELKIND_RELATION)
    return "It is not an ordinary table.";
  if (row->natts != columns)
    return "It has another number of columns.";
  if (table->rd_rel->relhasindex || table->trigdesc || table->rd_rules || table->rd_rel->relispartition ||
      (row->constr && (row->constr->num_check > 0 || row->constr->has_generated_stored)))
    return "It has an index, a trigger, a rule or a constraint.";
  return nullptr;
}

const char *why_no_bigints(Relation table, int columns) {
  if (const char *reason = why_not(table, columns))
    return reason;
  const TupleDesc row = RelationGetDescr(table);
  for (int i = 0; i < row->natts; ++i)
    if (TupleDescAttr(row, i)->atttypid != INT8OID || TupleDescAttr(row, i)->attisdropped)
      return "A column is not a bigint.";
  return nullptr;
}

bool fits(Relation table, const Params &values) {
  const TupleDesc row = RelationGetDescr(table);
  for (int i = 0; i < row->natts; ++i) {
    const auto column = TupleDescAttr(row, i);
    const bool is_null = values.nulls()[i] == 'n';
    if (column->attisdropped || (is_null ? column->attnotnull : column->atttypid != values.types()[i]))
      return false;
  }
  return true;
}

} // namespace

TableAppend::TableAppend(Oid table, int columns) {
  open(table, columns);
  call([&] { make_rows(columns); });
}

void TableAppend::open(Oid table, int columns) {
  const char *reason = call([&] {
    PreventCommandIfReadOnly("INSERT");
    table_ = table_open(table, RowExclusiveLock);
    const AclResult may = pg_class_aclcheck(table, GetUserId(), ACL_INSERT);
    if (may != ACLCHECK_OK)
      aclcheck_error(may, OBJECT_TABLE, RelationGetRelationName(table_));
    return check_enable_rls(table, InvalidOid, false) == RLS_ENABLED ? "It has row-level security."
                                                                     : why_no_bigints(table_, columns);
  });
  if (reason)
    throw Error(ERRCODE_WRONG_OBJECT_TYPE,
                "rows cannot be appended to \"" + std::string(RelationGetRelationName(table_)) + "\"", reason,
                "CREATE UNLOGGED TABLE one with " + std::to_string(columns) + " columns of type bigint.");
}

// All rows have one shape, so their headers are written once: only the values change from batch to batch.
void TableAppend::make_rows(int columns) {
  const TupleDesc row = RelationGetDescr(table_);
  const std::size_t header = MAXALIGN(SizeofHeapTupleHeader), width = header + 8 * columns;
  stride_ = MAXALIGN(HEAPTUPLESIZE) + width;
  auto *memory = static_cast<char *>(palloc0(stride_ * kBatch));
  slots_ = static_cast<TupleTableSlot **>(palloc(sizeof(TupleTableSlot *) * kBatch));
  for (int i = 0; i < kBatch; ++i) {
    auto *tuple = reinterpret_cast<HeapTuple>(memory + stride_ * i);
    tuple->t_len = static_cast<std::uint32_t>(width);
    tuple->t_tableOid = RelationGetRelid(table_);
    tuple->t_data = reinterpret_cast<HeapTupleHeader>(memory + stride_ * i + MAXALIGN(HEAPTUPLESIZE));
    tuple->t_data->t_hoff = static_cast<std::uint8_t>(header);
    HeapTupleHeaderSetNatts(tuple->t_data, columns);
    slots_[i] = MakeSingleTupleTableSlot(row, &TTSOpsHeapTuple);
    ExecStoreHeapTuple(tuple, slots_[i], false);
  }
  first_ = next_ = memory + MAXALIGN(HEAPTUPLESIZE) + header;
  bulk_ = GetBulkInsertState();
}

void TableAppend::write() {
  check_for_interrupts();
  call([&] {
    table_multi_insert(table_, slots_, rows_, GetCurrentCommandId(true), TABLE_INSERT_SKIP_FSM, bulk_);
  });
  next_ = first_;
  rows_ = 0;
}

void TableAppend::finish() {
  if (rows_ > 0)
    write();
  call([&] {
    FreeBulkInsertState(bulk_);
    for (int i = 0; i < kBatch; ++i)
      ExecDropSingleTupleTableSlot(slots_[i]);
    table_finish_bulk_insert(table_, TABLE_INSERT_SKIP_FSM);
    table_close(table_, NoLock);
  });
}

bool append_row(const char *schema, const char *table, const Params &row) {
  return call([&] {
    const Oid id = table_to_write(schema, table, Writes::insert);
    if (!OidIsValid(id))
      return false;
    Relation opened = table_open(id, RowExclusiveLock);
    const bool can = !why_not(opened, static_cast<int>(row.values().size())) && fits(opened, row);
    if (can) {
      bool nulls[MaxHeapAttributeNumber];
      for (std::size_t i = 0; i < row.nulls().size(); ++i)
        nulls[i] = row.nulls()[i] == 'n';
      auto *values = const_cast<Datum *>(row.values().data());
      HeapTuple tuple = heap_form_tuple(RelationGetDescr(opened), values, nulls);
      simple_heap_insert(opened, tuple);
      heap_freetuple(tuple);
    }
    table_close(opened, NoLock);
    return can;
  });
}

} // namespace cdp::pg
