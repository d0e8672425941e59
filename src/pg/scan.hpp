// A whole table, row by row, straight from its pages: for millions of rows of a few columns, where SQL costs
// several times as much. Says what SQL would say: it asks for the privilege to SELECT, and refuses a table of
// which row-level security hides rows. Everything here may throw PgError, and Error for a column that is not
// as expected.
#pragma once
#include "core/timestamp.hpp"

#include <cstring>
#include <vector>

#include "pg/guard.hpp"

namespace cdp::pg {

using core::Timestamp;

// What a statement started now would see. Owns a snapshot, so that several scans see the same.
class Moment {
public:
  Moment();
  ~Moment();
  Moment(const Moment &) = delete;
  Moment &operator=(const Moment &) = delete;
  Snapshot snapshot() const { return snapshot_; }

private:
  Snapshot snapshot_;
  int exceptions_;
};

// A table's identity: another one after DROP and CREATE; none: InvalidOid.
Oid table_named(const char *schema, const char *table);

// The row that is being visited; its columns count from 0, as they were asked for. Reads no further than its
// own memory, so it can be used where the backend cannot be called. Texts live until the visit ends.
class Cells {
public:
  bool is_null(int column) const { return slot_->tts_isnull[places_[column]]; }
  std::int64_t bigint(int column) const { return DatumGetInt64(datum(column)); }
  std::int32_t integer(int column) const { return DatumGetInt32(datum(column)); }
  bool boolean(int column) const { return DatumGetBool(datum(column)); }
  Timestamp timestamp(int column) const { return DatumGetTimestampTz(datum(column)); }
  // Of a text, bytea or jsonb, without its length.
  std::string_view text(int column) const {
    const auto *value = reinterpret_cast<const char *>(DatumGetPointer(datum(column)));
    return {VARDATA_ANY(value), static_cast<std::size_t>(VARSIZE_ANY_EXHDR(value))};
  }
  // A bigint[] without nulls: how many, and copied to where there is room for them. Throws Error for another.
  std::size_t count_bigints(int column) const;
  void copy_bigints(int column, std::int64_t *to) const;

private:
  friend class TableScan;
  Datum datum(int column) const { return slot_->tts_values[places_[column]]; }

  TupleTableSlot *slot_ = nullptr;
  std::vector<int> places_;
};

// Owns the scan and keeps the table locked, as a SELECT does, until the transaction ends. On an exception
// both are left to the abort.
class TableScan {
public:
  struct Column {
    const char *name;
    Oid type;
  };

  TableScan(const Moment &moment, const char *schema, const char *table,
            std::initializer_list<Column> columns);
  ~TableScan();
  TableScan(const TableScan &) = delete;
  TableScan &operator=(const TableScan &) = delete;

  // How many rows there were when statistics were last taken; 0 when that is not known.
  std::size_t expected_rows() const;

  // Calls visit(const Cells &) for every row, once. It may throw, but must not call the backend: an ereport
  // would jump over its frames.
  template <class Visit> void each(Visit &&visit) {
    for (bool more = true; more;) {
      check_for_interrupts();
      more = call([&] {
        start_batch();
        for (int row = 0; row < kBatch; ++row) {
          if (!next())
            return false;
          visit(static_cast<const Cells &>(cells_));
        }
        return true;
      });
    }
  }

private:
  static constexpr int kBatch = 1000;

  void open(const char *schema, const char *table);
  void find(const char *table, Column column);
  void start_batch();
  bool next();
  void unpack(int place);

  Cells cells_;
  struct RelationData *table_ = nullptr;
  struct TableScanDescData *scan_ = nullptr;
  MemoryContext unpacked_ = nullptr; // values of this batch that were stored compressed or elsewhere
  std::vector<int> packable_;        // columns, as places, whose values may be
  int last_ = 0;                     // columns that a row is taken apart to
  int exceptions_;
};

} // namespace cdp::pg
