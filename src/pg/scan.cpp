#include "pg/scan.hpp"

#include <algorithm>

#include "pg/append_rows.hpp"
#include "pg/names.hpp"

extern "C" {
#include "access/genam.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_am_d.h"
#include "storage/bufmgr.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/rls.h"
}

namespace cdp::pg {

void show_own_writes() {
  call([] { CommandCounterIncrement(); });
}

std::uint64_t transactions_ended() {
  return call([] { return GetTransactionSnapshot()->snapXactCompletionCount; });
}

TransactionId current_transaction() {
  return call([] { return GetCurrentTransactionId(); });
}

bool has_committed(TransactionId id) {
  return call([&] { return TransactionIdIsValid(id) && TransactionIdDidCommit(id); });
}

Oid table_named(const char *schema, const char *table) {
  return call([&] { return relation_named(schema, table); });
}

Oid storage_of(const char *schema, const char *table) {
  return call([&] {
    Relation relation = table_open(relation_named(schema, table), AccessShareLock);
    const Oid storage = relation->rd_rel->relfilenode;
    table_close(relation, NoLock);
    return storage;
  });
}

void lock_row_share(const char *schema, const char *table) {
  call([&] {
    const Oid id = relation_named(schema, table);
    const auto allowed = pg_class_aclcheck(id, GetUserId(), ACL_UPDATE | ACL_DELETE | ACL_TRUNCATE);
    if (allowed != ACLCHECK_OK)
      aclcheck_error(allowed, OBJECT_TABLE, table);
    table_close(table_open(id, RowShareLock), NoLock);
  });
}

Moment::Moment()
    : snapshot_(call([] { return RegisterSnapshot(GetTransactionSnapshot()); })),
      exceptions_(std::uncaught_exceptions()) {}

Moment::~Moment() {
  if (std::uncaught_exceptions() == exceptions_)
    UnregisterSnapshot(snapshot_);
}

namespace {

// An array as stored, whose header may be short, so that nothing in it is aligned.
class StoredArray {
public:
  explicit StoredArray(Datum datum)
      : start_(VARDATA_ANY(reinterpret_cast<const char *>(DatumGetPointer(datum)))) {}

  std::size_t size() const {
    const auto dimensions = field(offsetof(ArrayType, ndim));
    if (dimensions < 0 || dimensions > 1 || field(offsetof(ArrayType, dataoffset)) != 0 ||
        static_cast<Oid>(field(offsetof(ArrayType, elemtype))) != INT8OID)
      throw Error(ERRCODE_DATA_CORRUPTED, "a bigint[] of one dimension without nulls was expected");
    return dimensions == 0 ? 0 : static_cast<std::size_t>(field(sizeof(ArrayType)));
  }
  const char *data() const { return start_ + ARR_OVERHEAD_NONULLS(1) - VARHDRSZ; }

private:
  std::int32_t field(std::size_t offset) const {
    std::int32_t value;
    std::memcpy(&value, start_ + offset - VARHDRSZ, sizeof value);
    return value;
  }
  const char *start_; // behind the header
};

} // namespace

TransactionId Cells::written_by() const {
  bool is_null;
  return DatumGetTransactionId(slot_getsysattr(slot_, MinTransactionIdAttributeNumber, &is_null));
}

std::size_t Cells::count_bigints(int column) const {
  return StoredArray(datum(column)).size();
}

void Cells::copy_bigints(int column, std::int64_t *to) const {
  const StoredArray array(datum(column));
  std::memcpy(to, array.data(), array.size() * sizeof *to);
}

ScannedTable::ScannedTable(const char *schema, const char *table, std::initializer_list<Column> columns,
                           LOCKMODE lock)
    : exceptions_(std::uncaught_exceptions()) {
  open(schema, table, lock);
  for (const auto &column : columns)
    find(table, column);
  call([&] { cells_.slot_ = table_slot_create(table_, nullptr); });
}

static Relation open_to_read(const char *schema, const char *table, LOCKMODE lock = AccessShareLock) {
  Relation relation = table_open(relation_named(schema, table), lock);
  const auto allowed = pg_class_aclcheck(RelationGetRelid(relation), GetUserId(), ACL_SELECT);
  if (allowed != ACLCHECK_OK)
    aclcheck_error(allowed, OBJECT_TABLE, table);
  if (check_enable_rls(RelationGetRelid(relation), InvalidOid, false) == RLS_ENABLED)
    ereport(ERROR, errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
            errmsg("row-level security hides rows of table \"%s\" that are needed", table));
  return relation;
}

void ScannedTable::open(const char *schema, const char *table, LOCKMODE lock) {
  table_ = call([&] { return open_to_read(schema, table, lock); });
}

void ScannedTable::find(const char *table, Column column) {
  const auto number = call([&] { return column_named(table_, column.name); });
  if (number <= 0 || TupleDescAttr(RelationGetDescr(table_), number - 1)->atttypid != column.type)
    throw Error(ERRCODE_DATATYPE_MISMATCH,
                std::string("table ") + table + " has no column " + column.name + " as expected");
  cells_.places_.push_back(number - 1);
  if (TupleDescAttr(RelationGetDescr(table_), number - 1)->attlen == -1)
    packable_.push_back(number - 1);
  last_ = std::max<int>(last_, number);
}

ScannedTable::~ScannedTable() {
  if (unwinds())
    return;
  ExecDropSingleTupleTableSlot(cells_.slot_);
  if (unpacked_)
    MemoryContextDelete(unpacked_);
  table_close(table_, NoLock);
}

std::size_t ScannedTable::expected_rows() const {
  return static_cast<std::size_t>(std::max<float4>(table_->rd_rel->reltuples, 0));
}

void ScannedTable::start_batch() {
  if (unpacked_)
    MemoryContextReset(unpacked_);
}

void ScannedTable::take_apart() {
  slot_getsomeattrs(cells_.slot_, last_);
  for (auto place : packable_)
    if (!cells_.slot_->tts_isnull[place])
      unpack(place);
}

void ScannedTable::unpack(int place) {
  auto &datum = cells_.slot_->tts_values[place];
  auto *stored = reinterpret_cast<struct varlena *>(DatumGetPointer(datum));
  if (!VARATT_IS_EXTERNAL(stored) && !VARATT_IS_COMPRESSED(stored))
    return;
  if (!unpacked_)
    unpacked_ = AllocSetContextCreate(CurrentMemoryContext, "cdp table scan", ALLOCSET_DEFAULT_SIZES);
  MemoryContext before = MemoryContextSwitchTo(unpacked_);
  datum = PointerGetDatum(pg_detoast_datum_packed(stored));
  MemoryContextSwitchTo(before);
}

TableScan::TableScan(const Moment &moment, const char *schema, const char *table,
                     std::initializer_list<Column> columns)
    : ScannedTable(schema, table, columns) {
  // From the first page on, so that rows come as they were written.
  scan_ = call([&] { return table_beginscan_strat(table_, moment.snapshot(), 0, nullptr, true, false); });
}

TableScan::~TableScan() {
  if (!unwinds())
    table_endscan(scan_);
}

bool TableScan::next() {
  if (!table_scan_getnextslot(scan_, ForwardScanDirection, slot()))
    return false;
  take_apart();
  return true;
}

IndexScan::IndexScan(const Moment &moment, const char *schema, const char *table, const char *index,
                     std::initializer_list<Column> columns, std::optional<std::int64_t> from)
    : ScannedTable(schema, table, columns) {
  call([&] {
    index_ = index_open(relation_named(schema, index), AccessShareLock);
    scan_ = index_beginscan(table_, index_, moment.snapshot(), from ? 1 : 0, 0);
    ScanKeyData key;
    ScanKeyInit(&key, 1, BTGreaterEqualStrategyNumber, F_INT8GE, Int64GetDatum(from.value_or(0)));
    index_rescan(scan_, &key, from ? 1 : 0, nullptr, 0);
  });
}

IndexScan::~IndexScan() {
  if (unwinds())
    return;
  index_endscan(scan_);
  index_close(index_, NoLock);
}

bool IndexScan::next() {
  if (!index_getnext_slot(scan_, ForwardScanDirection, slot()))
    return false;
  take_apart();
  return true;
}

PlaceScan::PlaceScan(const Moment &moment, const char *schema, const char *table,
                     std::initializer_list<Column> columns)
    : ScannedTable(schema, table, columns), moment_(moment) {
  call([&] {
    end_ = RelationGetNumberOfBlocks(table_);
    neighbours_ = table_index_fetch_begin(table_);
  });
}

PlaceScan::~PlaceScan() {
  if (!unwinds())
    table_index_fetch_end(neighbours_);
}

// As an index finds rows, which goes over to another version of a row, or does not find one that is another
// version itself.
bool PlaceScan::fetch(ItemPointerData place) {
  if (ItemPointerGetBlockNumber(&place) >= end_)
    return false;
  ItemPointerData found = place;
  bool again = false, all_dead = false;
  const bool is_there =
      table_index_fetch_tuple(neighbours_, &found, moment_.snapshot(), slot(), &again, &all_dead) &&
      ItemPointerEquals(&slot()->tts_tid, &place);
  if (!is_there && !table_tuple_fetch_row_version(table_, &place, moment_.snapshot(), slot()))
    return false;
  take_apart();
  return true;
}

bool any_page(const char *schema, const char *table) {
  return call([&] {
    Relation opened = open_to_read(schema, table);
    const bool any = RelationGetNumberOfBlocks(opened) > 0;
    table_close(opened, NoLock);
    return any;
  });
}

bool any_row(const Moment &moment, const char *schema, const char *table) {
  return call([&] {
    Relation opened = open_to_read(schema, table);
    bool found = RelationGetNumberOfBlocks(opened) > 0;
    if (found) {
      TupleTableSlot *slot = table_slot_create(opened, nullptr);
      TableScanDesc scan = table_beginscan_strat(opened, moment.snapshot(), 0, nullptr, true, false);
      found = table_scan_getnextslot(scan, ForwardScanDirection, slot);
      table_endscan(scan);
      ExecDropSingleTupleTableSlot(slot);
    }
    table_close(opened, NoLock);
    return found;
  });
}

KeyPart bigint_part(std::int64_t value) {
  return {F_INT8EQ, Int64GetDatum(value)};
}

KeyPart integer_part(std::int32_t value) {
  return {F_INT4EQ, Int32GetDatum(value)};
}

KeyPart uuid_part(const pg_uuid_t *value) {
  return {F_UUID_EQ, UUIDPGetDatum(value)};
}

KeyPart text_part(std::string_view value) {
  return {F_TEXTEQ, call([&] {
            return PointerGetDatum(cstring_to_text_with_len(value.data(), static_cast<int>(value.size())));
          })};
}

KeyPart bigints_part(std::span<const std::int64_t> values) {
  return {F_ARRAY_EQ, bigints_cell(values).first};
}

KeyScan::KeyScan(const Moment &moment, const char *schema, const char *table, const char *index,
                 std::initializer_list<Column> columns, LOCKMODE lock)
    : ScannedTable(schema, table, columns, lock), moment_(moment) {
  call([&] {
    const Oid id = relation_named(schema, index);
    if (!OidIsValid(id))
      return;
    index_ = index_open(id, AccessShareLock);
    if (index_->rd_index->indrelid != RelationGetRelid(table_) || !index_->rd_index->indisvalid ||
        (index_->rd_index->indcheckxmin &&
         !TransactionIdPrecedes(HeapTupleHeaderGetXmin(index_->rd_indextuple->t_data), TransactionXmin))) {
      index_close(index_, NoLock);
      index_ = nullptr;
    }
  });
}

KeyScan::~KeyScan() {
  if (unwinds() || !index_)
    return;
  if (scan_)
    index_endscan(scan_);
  index_close(index_, NoLock);
}

// From an integer on, if one is given, in the column after the key; then the key is looked at before the row
// is.
void KeyScan::begin(std::initializer_list<KeyPart> key, std::optional<std::int32_t> from) {
  ScanKeyData keys[INDEX_MAX_KEYS];
  const StrategyNumber equal =
      index_->rd_rel->relam == HASH_AM_OID ? HTEqualStrategyNumber : BTEqualStrategyNumber;
  int number = 0;
  for (const auto &part : key) {
    ScanKeyEntryInitialize(&keys[number], 0, static_cast<AttrNumber>(number + 1), equal, InvalidOid,
                           index_->rd_indcollation[number], part.equal, part.value);
    ++number;
  }
  if (from) {
    ScanKeyInit(&keys[number], static_cast<AttrNumber>(number + 1), BTGreaterEqualStrategyNumber, F_INT4GE,
                Int32GetDatum(*from));
    ++number;
  }
  if (!scan_) {
    scan_ = index_beginscan(table_, index_, moment_.snapshot(), number, 0);
    scan_->xs_want_itup = from.has_value();
  }
  index_rescan(scan_, keys, number, nullptr, 0);
}

bool KeyScan::next() {
  if (!index_getnext_slot(scan_, ForwardScanDirection, slot()))
    return false;
  take_apart();
  return true;
}

// Walks on from one to the next while that is nearer than the way down from the index's root.
bool KeyScan::next_of(std::initializer_list<KeyPart> key, std::span<const std::int32_t> last, std::size_t &at,
                      bool begun) {
  constexpr int kNear = 64;
  const auto column = static_cast<int>(key.size()) + 1;
  if (!begun)
    begin(key, last[at]);
  for (int passed = 0; index_getnext_tid(scan_, ForwardScanDirection);) {
    bool is_null;
    const auto value =
        DatumGetInt32(index_getattr(scan_->xs_itup, column, RelationGetDescr(index_), &is_null));
    while (at < last.size() && last[at] < value)
      ++at;
    if (at == last.size())
      return false;
    if (value == last[at]) {
      start_batch();
      if (index_fetch_heap(scan_, slot())) {
        take_apart();
        return true;
      }
    } else if (++passed > kNear) {
      begin(key, last[at]);
      passed = 0;
    }
  }
  return false;
}

} // namespace cdp::pg
