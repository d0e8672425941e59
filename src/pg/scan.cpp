#include "pg/scan.hpp"

#include <algorithm>

extern "C" {
#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/namespace.h"
#include "utils/rel.h"
#include "utils/rls.h"
}

namespace cdp::pg {

Oid table_named(const char *schema, const char *table) {
  return call([&] {
    const Oid space = get_namespace_oid(schema, true);
    return OidIsValid(space) ? get_relname_relid(table, space) : InvalidOid;
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

std::size_t Cells::count_bigints(int column) const {
  return StoredArray(datum(column)).size();
}

void Cells::copy_bigints(int column, std::int64_t *to) const {
  const StoredArray array(datum(column));
  std::memcpy(to, array.data(), array.size() * sizeof *to);
}

ScannedTable::ScannedTable(const char *schema, const char *table, std::initializer_list<Column> columns)
    : exceptions_(std::uncaught_exceptions()) {
  open(schema, table);
  for (const auto &column : columns)
    find(table, column);
  call([&] {
    unpacked_ = AllocSetContextCreate(CurrentMemoryContext, "cdp table scan", ALLOCSET_DEFAULT_SIZES);
    cells_.slot_ = table_slot_create(table_, nullptr);
  });
}

void ScannedTable::open(const char *schema, const char *table) {
  table_ = call([&] {
    Relation relation =
        table_open(get_relname_relid(table, get_namespace_oid(schema, false)), AccessShareLock);
    const auto allowed = pg_class_aclcheck(RelationGetRelid(relation), GetUserId(), ACL_SELECT);
    if (allowed != ACLCHECK_OK)
      aclcheck_error(allowed, OBJECT_TABLE, table);
    if (check_enable_rls(RelationGetRelid(relation), InvalidOid, false) == RLS_ENABLED)
      ereport(ERROR, errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
              errmsg("row-level security hides rows of table \"%s\" that are needed", table));
    return relation;
  });
}

void ScannedTable::find(const char *table, Column column) {
  const auto number = call([&] { return get_attnum(RelationGetRelid(table_), column.name); });
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
  MemoryContextDelete(unpacked_);
  table_close(table_, NoLock);
}

std::size_t ScannedTable::expected_rows() const {
  return static_cast<std::size_t>(std::max<float4>(table_->rd_rel->reltuples, 0));
}

void ScannedTable::start_batch() {
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
                     std::initializer_list<Column> columns)
    : ScannedTable(schema, table, columns) {
  call([&] {
    index_ = index_open(get_relname_relid(index, get_namespace_oid(schema, false)), AccessShareLock);
    scan_ = index_beginscan(table_, index_, moment.snapshot(), 0, 0);
    index_rescan(scan_, nullptr, 0, nullptr, 0);
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

} // namespace cdp::pg
