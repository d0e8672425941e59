#include "pg/append_rows.hpp"

#include <algorithm>

#include "pg/checks.hpp"
#include "pg/names.hpp"

extern "C" {
#include "access/genam.h"
#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "executor/executor.h"
#include "partitioning/partbounds.h"
#include "partitioning/partdesc.h"
#include "storage/lmgr.h"
#include "tcop/utility.h"
#include "utils/lsyscache.h"
#include "utils/partcache.h"
#include "utils/rel.h"
}

namespace cdp::pg {

namespace {

constexpr int kBatch = 500; // rows formed at once

bool fires_on_insert(const TriggerDesc *triggers) {
  return triggers && (triggers->trig_insert_before_row || triggers->trig_insert_after_row ||
                      triggers->trig_insert_instead_row || triggers->trig_insert_before_statement ||
                      triggers->trig_insert_after_statement || triggers->trig_insert_new_table);
}

// Rows, by column, of these types; in this order they are written.
struct Given {
  const Oid *types;
  const Datum *values;
  const char *nulls;
  int columns;
  int rows;
  int *order;

  Datum value(int row, int column) const { return values[row * columns + column]; }
  bool is_null(int row, int column) const { return nulls[row * columns + column] != 0; }
};

// Whether rows can be formed as they are given, and nothing else is to be done with them.
bool takes_as_given(Relation table, const Oid *types, int columns) {
  const TupleDesc row = RelationGetDescr(table);
  if (fires_on_insert(table->trigdesc) || table->rd_rules || row->natts != columns ||
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
  bool by_index; // its indexes are filled one after the other, once all rows are there
};

// Whether an index takes values of columns as they are, and says at once when one is there already.
bool is_plain(const IndexInfo *index) {
  return index->ii_ReadyForInserts && index->ii_Expressions == NIL && !index->ii_ExclusionOps;
}

// `unsure`: a row may be there already, which indexes are to tell.
Target open_target(Relation table, int rows, bool unsure = false) {
  Target to{table, CreateExecutorState(), makeNode(ResultRelInfo), nullptr, true};
  InitResultRelInfo(to.info, table, 0, nullptr, 0);
#if PG_VERSION_NUM >= 180000
  to.info->ri_CheckConstraintExprs = compiled_checks(table);
#else
  to.info->ri_ConstraintExprs = compiled_checks(table);
#endif
  ExecOpenIndices(to.info, unsure);
  for (int i = 0; i < to.info->ri_NumIndices; ++i)
    to.by_index = to.by_index && is_plain(to.info->ri_IndexRelationInfo[i]) &&
                  to.info->ri_IndexRelationDescs[i]->rd_index->indimmediate;
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

void fill(TupleTableSlot *slot, const Given &given, int row) {
  ExecClearTuple(slot);
  for (int j = 0; j < given.columns; ++j) {
    slot->tts_values[j] = given.value(row, j);
    slot->tts_isnull[j] = given.is_null(row, j);
  }
  ExecStoreVirtualTuple(slot);
}

void fill_indexes_of_row(const Target &to, TupleTableSlot *row) {
  ResetPerTupleExprContext(to.state);
#if PG_VERSION_NUM >= 160000
  ExecInsertIndexTuples(to.info, row, to.state, false, false, nullptr, NIL, false);
#else
  ExecInsertIndexTuples(to.info, row, to.state, false, false, nullptr, NIL);
#endif
}

// Places get where each row came to lie.
void write_batch(const Target &to, const Given &given, int from, int rows, ItemPointerData *places) {
  for (int i = 0; i < rows; ++i) {
    fill(to.slots[i], given, given.order[from + i]);
    if (to.table->rd_att->constr)
      ExecConstraints(to.info, to.slots[i], to.state);
  }
  table_multi_insert(to.table, to.slots, rows, GetCurrentCommandId(true), 0, nullptr);
  for (int i = 0; i < rows && to.info->ri_NumIndices > 0; ++i) {
    places[i] = to.slots[i]->tts_tid;
    if (!to.by_index)
      fill_indexes_of_row(to, to.slots[i]);
  }
}

// A written row, and the first column of an index, as a number if it can be one.
struct Written {
  std::int64_t key;
  int row; // of those given
  int place;
};

// Rows in about the order of an index: neighbours share a page, which is then at hand. Whatever is no number
// stays in the order given.
void sort_for_index(Relation index, const Given &given, int from, int rows, Written *written) {
  const Form_pg_attribute key = TupleDescAttr(RelationGetDescr(index), 0);
  const int column = index->rd_index->indkey.values[0] - 1;
  const bool is_number = key->attbyval && (key->attlen == 8 || key->attlen == 4);
  bool sorted = true;
  for (int i = 0; i < rows; ++i) {
    const int row = given.order[from + i];
    const Datum value = is_number && !given.is_null(row, column) ? given.value(row, column) : 0;
    written[i] = {key->attlen == 4 ? DatumGetInt32(value) : DatumGetInt64(value), row, i};
    sorted = sorted && (i == 0 || written[i - 1].key <= written[i].key);
  }
  if (!sorted)
    std::sort(written, written + rows, [](const Written &a, const Written &b) {
      return a.key != b.key ? a.key < b.key : a.place < b.place;
    });
}

// Whether an index is to hold a row.
bool wants(const Target &to, ExprState *predicate, const Given &given, int row) {
  if (!predicate)
    return true;
  ExprContext *context = GetPerTupleExprContext(to.state);
  context->ecxt_scantuple = to.slots[0];
  fill(to.slots[0], given, row);
  return ExecQual(predicate, context);
}

void fill_index(const Target &to, int number, const Given &given, const Written *written, int rows,
                ItemPointerData *places) {
  Relation index = to.info->ri_IndexRelationDescs[number];
  IndexInfo *info = to.info->ri_IndexRelationInfo[number];
  const auto unique = index->rd_index->indisunique ? UNIQUE_CHECK_YES : UNIQUE_CHECK_NO;
  ExprState *predicate = info->ii_Predicate ? ExecPrepareQual(info->ii_Predicate, to.state) : nullptr;
  Datum values[INDEX_MAX_KEYS];
  bool nulls[INDEX_MAX_KEYS];
  for (int i = 0; i < rows; ++i) {
    if (i % kBatch == 0) {
      CHECK_FOR_INTERRUPTS();
      ResetPerTupleExprContext(to.state);
    }
    if (!wants(to, predicate, given, written[i].row))
      continue;
    for (int j = 0; j < info->ii_NumIndexAttrs; ++j) {
      const int column = info->ii_IndexAttrNumbers[j] - 1;
      values[j] = given.value(written[i].row, column);
      nulls[j] = given.is_null(written[i].row, column);
    }
    index_insert(index, values, nulls, &places[written[i].place], to.table, unique, false, info);
  }
}

void fill_indexes(const Target &to, const Given &given, int from, int rows, ItemPointerData *places) {
  auto *written = static_cast<Written *>(palloc(sizeof(Written) * rows));
  MemoryContext before = MemoryContextSwitchTo(GetPerTupleMemoryContext(to.state));
  for (int i = 0; i < to.info->ri_NumIndices; ++i) {
    sort_for_index(to.info->ri_IndexRelationDescs[i], given, from, rows, written);
    fill_index(to, i, given, written, rows, places);
  }
  MemoryContextSwitchTo(before);
  pfree(written);
}

// Writes so many rows, from a place in the order.
void write_all(Relation table, const Given &given, int from, int rows) {
  const int most = Min(rows, kBatch);
  const Target to = open_target(table, most);
  auto *places = static_cast<ItemPointerData *>(palloc(sizeof(ItemPointerData) * rows));
  for (int i = 0; i < rows; i += most) {
    CHECK_FOR_INTERRUPTS();
    write_batch(to, given, from + i, Min(most, rows - i), places + i);
  }
  if (to.by_index && to.info->ri_NumIndices > 0)
    fill_indexes(to, given, from, rows, places);
  pfree(places);
  close_target(to, most);
}

bool write_plain(Relation table, const Given &given) {
  if (table->rd_rel->relispartition) // rows may belong elsewhere
    return false;
  for (int i = 0; i < given.rows; ++i)
    given.order[i] = i;
  write_all(table, given, 0, given.rows);
  return true;
}

// Counts the rows of each partition in starts[partition + 1]; false when there is none for some row.
bool find_partitions(Relation root, const PartitionDesc parts, const Given &given, int *part_of,
                     int *starts) {
  const PartitionKey key = RelationGetPartitionKey(root);
  const PartitionBoundInfo bounds = parts->boundinfo;
  if (parts->nparts == 0 || key->strategy != PARTITION_STRATEGY_RANGE || key->partnatts != 1 ||
      key->partattrs[0] == 0)
    return false;
  for (int i = 0; i < given.rows; ++i) {
    Datum value = given.value(i, key->partattrs[0] - 1);
    int part = -1;
    if (!given.is_null(i, key->partattrs[0] - 1)) {
      bool is_equal = false;
      part = bounds->indexes[1 + partition_range_datum_bsearch(key->partsupfunc, key->partcollation, bounds,
                                                               1, &value, &is_equal)];
    }
    part_of[i] = part < 0 ? bounds->default_index : part;
    if (part_of[i] < 0)
      return false;
    ++starts[part_of[i] + 1];
  }
  return true;
}

// Somebody may have attached a partition since we looked: then the rows are no longer the default's.
bool default_takes(Relation table, const Given &given, int from, int to) {
  const Target rows = open_target(table, 1);
  bool takes = true;
  for (int i = from; i < to && takes; ++i) {
    fill(rows.slots[0], given, given.order[i]);
    ResetPerTupleExprContext(rows.state);
    takes = ExecPartitionCheck(rows.info, rows.slots[0], rows.state, false);
  }
  close_target(rows, 1);
  return takes;
}

// Each partition is opened once, and gets its rows in the order given.
bool write_by_partition(Relation root, const Given &given) {
  const PartitionDesc parts = RelationGetPartitionDesc(root, true);
  const auto numbers = [](int count) { return static_cast<int *>(palloc0(sizeof(int) * count)); };
  int *part_of = numbers(given.rows), *starts = numbers(parts->nparts + 1), *places = numbers(parts->nparts);
  if (!find_partitions(root, parts, given, part_of, starts))
    return false;
  for (int p = 0; p < parts->nparts; ++p)
    starts[p + 1] += places[p] = starts[p];
  for (int i = 0; i < given.rows; ++i)
    given.order[places[part_of[i]]++] = i;
  auto *opened = static_cast<Relation *>(palloc0(sizeof(Relation) * parts->nparts));
  bool can = true;
  for (int p = 0; p < parts->nparts && can; ++p) {
    if (starts[p] == starts[p + 1])
      continue;
    opened[p] = table_open(parts->oids[p], RowExclusiveLock);
    can = opened[p]->rd_rel->relkind == RELKIND_RELATION &&
          takes_as_given(opened[p], given.types, given.columns) &&
          (p != parts->boundinfo->default_index || default_takes(opened[p], given, starts[p], starts[p + 1]));
  }
  for (int p = 0; p < parts->nparts; ++p) {
    if (!opened[p])
      continue;
    if (can)
      write_all(opened[p], given, starts[p], starts[p + 1] - starts[p]);
    table_close(opened[p], NoLock);
  }
  return can;
}

bool write_rows(Relation table, const Given &given) {
  if (!takes_as_given(table, given.types, given.columns))
    return false;
  switch (table->rd_rel->relkind) {
  case RELKIND_RELATION:
    return write_plain(table, given);
  case RELKIND_PARTITIONED_TABLE:
    return write_by_partition(table, given);
  default:
    return false;
  }
}

// Whether nobody has these values in a unique index, and nobody who commits writes them at this moment.
bool is_free(const Target &to, TupleTableSlot *row, List *index) {
  ItemPointerData other;
#if PG_VERSION_NUM >= 180000
  ItemPointerData none;
  ItemPointerSetInvalid(&none);
  return ExecCheckIndexConstraints(to.info, row, to.state, &other, &none, index);
#else
  return ExecCheckIndexConstraints(to.info, row, to.state, &other, index);
#endif
}

// The row is there for others to wait for before its indexes are filled; false: somebody was faster.
bool insert_speculatively(const Target &to, TupleTableSlot *row, List *index) {
  const TransactionId self = GetCurrentTransactionId();
  const uint32 token = SpeculativeInsertionLockAcquire(self);
  bool conflicts = false;
  table_tuple_insert_speculative(to.table, row, GetCurrentCommandId(true), 0, nullptr, token);
#if PG_VERSION_NUM >= 160000
  ExecInsertIndexTuples(to.info, row, to.state, false, true, &conflicts, index, false);
#else
  ExecInsertIndexTuples(to.info, row, to.state, false, true, &conflicts, index);
#endif
  table_tuple_complete_speculative(to.table, row, token, !conflicts);
  SpeculativeInsertionLockRelease(self);
  return !conflicts;
}

bool insert_unless_there(const Target &to, TupleTableSlot *row, List *index, bool looked) {
  for (;; looked = false) {
    CHECK_FOR_INTERRUPTS();
    ResetPerTupleExprContext(to.state);
    if (!looked && !is_free(to, row, index))
      return false;
    if (insert_speculatively(to, row, index))
      return true;
  }
}

bool write_new_rows(Relation table, const Given &given, Oid index, bool looked, bool *written) {
  if (table->rd_rel->relkind != RELKIND_RELATION || table->rd_rel->relispartition ||
      !takes_as_given(table, given.types, given.columns))
    return false;
  const Target to = open_target(table, 1, true);
  const auto is_index = [&](int i) { return RelationGetRelid(to.info->ri_IndexRelationDescs[i]) == index; };
  bool can = false;
  for (int i = 0; i < to.info->ri_NumIndices; ++i)
    can = can || (is_index(i) && to.info->ri_IndexRelationDescs[i]->rd_index->indisunique &&
                  to.info->ri_IndexRelationDescs[i]->rd_index->indimmediate &&
                  is_plain(to.info->ri_IndexRelationInfo[i]));
  List *arbiter = list_make1_oid(index);
  for (int i = 0; i < given.rows && can; ++i) {
    fill(to.slots[0], given, i);
    if (table->rd_att->constr)
      ExecConstraints(to.info, to.slots[0], to.state);
    written[i] = insert_unless_there(to, to.slots[0], arbiter, looked);
  }
  close_target(to, 1);
  return can;
}

} // namespace

bool RowAppend::write(const char *schema, const char *table, std::initializer_list<Oid> types) {
  Given given{types.begin(), values_.data(), nulls_.data(), columns_, static_cast<int>(rows()), nullptr};
  return call([&] {
    const Oid id = table_to_write(schema, table, Writes::insert);
    if (!OidIsValid(id))
      return false;
    given.order = static_cast<int *>(palloc(sizeof(int) * Max(given.rows, 1)));
    Relation opened = table_open(id, RowExclusiveLock);
    const bool can = write_rows(opened, given);
    table_close(opened, NoLock);
    return can;
  });
}

std::optional<std::vector<bool>> RowAppend::write_new(const char *schema, const char *table,
                                                      const char *index, std::initializer_list<Oid> types,
                                                      Looked looked) {
  const Given given{types.begin(), values_.data(),           nulls_.data(),
                    columns_,      static_cast<int>(rows()), nullptr};
  const auto written = std::make_unique<bool[]>(rows() + 1);
  const bool can = call([&] {
    const Oid id = table_to_write(schema, table, Writes::insert);
    const Oid arbiter = relation_named(schema, index);
    if (!OidIsValid(id) || !OidIsValid(arbiter) ||
        pg_class_aclcheck(id, GetUserId(), ACL_SELECT) != ACLCHECK_OK)
      return false;
    Relation opened = table_open(id, RowExclusiveLock);
    const bool taken = write_new_rows(opened, given, arbiter, looked == Looked::just_now, written.get());
    table_close(opened, NoLock);
    return taken;
  });
  if (!can)
    return std::nullopt;
  return std::vector<bool>(written.get(), written.get() + rows());
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
