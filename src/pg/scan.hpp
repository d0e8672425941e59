// A table, row by row, straight from its pages: for many rows of a few columns, where SQL costs several times
// as much. Says what SQL would say: it asks for the privilege to SELECT, and refuses a table of which
// row-level security hides rows. Everything here may throw PgError, and Error for a column that is not as
// expected.
#pragma once
#include "core/timestamp.hpp"

#include <algorithm>
#include <cstring>
#include <span>
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

// Lets a moment that begins now see what this transaction has written, as every statement does.
void show_own_writes();

// Another number whenever a transaction that wrote something has ended: while it is the same, what statements
// see is what they saw before, but for own writes. At READ COMMITTED.
std::uint64_t transactions_ended();

// The id of this transaction, or of the subtransaction that it is in; and whether one, of late, has
// committed.
TransactionId current_transaction();
bool has_committed(TransactionId id);

// A table's identity: another one after DROP and CREATE; none: InvalidOid.
Oid table_named(const char *schema, const char *table);

// Where its rows are: elsewhere after TRUNCATE, too.
Oid storage_of(const char *schema, const char *table);

// As LOCK TABLE … IN ROW SHARE MODE: until the transaction ends.
void lock_row_share(const char *schema, const char *table);

// The row that is being visited; its columns count from 0, as they were asked for. Reads no further than its
// own memory, so it can be used where the backend cannot be called. Texts live until the visit ends.
class Cells {
public:
  bool is_null(int column) const { return slot_->tts_isnull[places_[column]]; }
  std::int64_t bigint(int column) const { return DatumGetInt64(datum(column)); }
  std::int32_t integer(int column) const { return DatumGetInt32(datum(column)); }
  bool boolean(int column) const { return DatumGetBool(datum(column)); }
  Timestamp timestamp(int column) const { return DatumGetTimestampTz(datum(column)); }
  pg_uuid_t uuid(int column) const { return *DatumGetUUIDP(datum(column)); }
  // Of a text, bytea or jsonb, without its length.
  std::string_view text(int column) const {
    const auto *value = reinterpret_cast<const char *>(DatumGetPointer(datum(column)));
    return {VARDATA_ANY(value), static_cast<std::size_t>(VARSIZE_ANY_EXHDR(value))};
  }
  // A bigint[] without nulls: how many, and copied to where there is room for them. Throws Error for another.
  std::size_t count_bigints(int column) const;
  void copy_bigints(int column, std::int64_t *to) const;
  ItemPointerData place() const { return slot_->tts_tid; }
  TransactionId written_by() const; // of a row as stored

private:
  friend class ScannedTable;
  friend class TransitionRows;
  Datum datum(int column) const { return slot_->tts_values[places_[column]]; }

  TupleTableSlot *slot_ = nullptr;
  std::vector<int> places_;
};

// A table that is open for a scan, and the row that the scan is at. The table stays locked, as after a
// SELECT, until the transaction ends. On an exception all is left to the abort.
class ScannedTable {
public:
  struct Column {
    const char *name;
    Oid type;
  };

  ScannedTable(const char *schema, const char *table, std::initializer_list<Column> columns,
               LOCKMODE lock = AccessShareLock);
  ~ScannedTable();
  ScannedTable(const ScannedTable &) = delete;
  ScannedTable &operator=(const ScannedTable &) = delete;

  // How many rows there were when statistics were last taken; 0 when that is not known.
  std::size_t expected_rows() const;

protected:
  TupleTableSlot *slot() { return cells_.slot_; }
  const Cells &cells() const { return cells_; }
  void start_batch(); // what was unpacked before is gone
  void take_apart();  // the row that was put into the slot
  bool unwinds() const { return std::uncaught_exceptions() != exceptions_; }

  struct RelationData *table_ = nullptr;

private:
  void open(const char *schema, const char *table, LOCKMODE lock);
  void find(const char *table, Column column);
  void unpack(int place);

  Cells cells_;
  MemoryContext unpacked_ = nullptr; // values of this batch that were stored compressed or elsewhere
  std::vector<int> packable_;        // columns, as places, whose values may be
  int last_ = 0;                     // columns that a row is taken apart to
  int exceptions_;
};

// All rows, as they were written.
class TableScan : public ScannedTable {
public:
  TableScan(const Moment &moment, const char *schema, const char *table,
            std::initializer_list<Column> columns);
  ~TableScan();

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
          visit(cells());
        }
        return true;
      });
    }
  }

private:
  static constexpr int kBatch = 1000;

  bool next();

  struct TableScanDescData *scan_ = nullptr;
};

// Rows in the order of an index; of one on a bigint from a value on, if one is given.
class IndexScan : public ScannedTable {
public:
  IndexScan(const Moment &moment, const char *schema, const char *table, const char *index,
            std::initializer_list<Column> columns, std::optional<std::int64_t> from = std::nullopt);
  ~IndexScan();

  // Calls visit(const Cells &), as above, until it returns false or there are no more rows.
  template <class Visit> void each(Visit &&visit) {
    for (bool more = true; more;) {
      check_for_interrupts();
      more = call([&] {
        start_batch();
        for (int row = 0; row < kBatch; ++row)
          if (!next() || !visit(cells()))
            return false;
        return true;
      });
    }
  }

private:
  static constexpr int kBatch = 1000;

  bool next();

  struct RelationData *index_ = nullptr;
  struct IndexScanDescData *scan_ = nullptr;
};

// Rows at known places.
class PlaceScan : public ScannedTable {
public:
  PlaceScan(const Moment &moment, const char *schema, const char *table,
            std::initializer_list<Column> columns);
  ~PlaceScan();

  // Calls visit(const Cells &), as above, for each that is there, in the order of `places`.
  template <class Visit> void each(std::span<const ItemPointerData> places, Visit &&visit) {
    constexpr std::size_t kTogether = 1000;
    for (std::size_t first = 0; first < places.size(); first += kTogether) {
      check_for_interrupts();
      call([&] {
        start_batch();
        for (const auto &place : places.subspan(first, std::min(kTogether, places.size() - first)))
          if (fetch(place))
            visit(cells());
      });
    }
  }

private:
  bool fetch(ItemPointerData place);

  const Moment &moment_;
  BlockNumber end_ = 0;                              // of the table, which may have become shorter
  struct IndexFetchTableData *neighbours_ = nullptr; // keeps the page of the last one at hand
};

// Whether a table has pages at all: none means no rows.
bool any_page(const char *schema, const char *table);

// Whether a table has a row at all.
bool any_row(const Moment &moment, const char *schema, const char *table);

// A part of a key, and the function that compares it.
struct KeyPart {
  Oid equal;
  Datum value;
};
KeyPart bigint_part(std::int64_t value);
KeyPart integer_part(std::int32_t value);
KeyPart uuid_part(const pg_uuid_t *value);                  // which lives as long as it is looked for
KeyPart text_part(std::string_view value);                  // made in the current memory context
KeyPart bigints_part(std::span<const std::int64_t> values); // likewise; of a hash index: rows may differ

// The rows under some keys, for a few of them: a statement would take several times as long to start.
class KeyScan : public ScannedTable {
public:
  KeyScan(const Moment &moment, const char *schema, const char *table, const char *index,
          std::initializer_list<Column> columns)
      : KeyScan(moment, schema, table, index, columns, AccessShareLock) {}
  ~KeyScan();

  // False: somebody took the index away, and SQL has to find them.
  bool usable() const { return index_ != nullptr; }

  // Calls visit(const Cells &), as above, for every row whose first index columns are these (as many each
  // time); with no key, for all that are in the index. Until it returns false.
  template <class Visit> void each(std::initializer_list<KeyPart> key, Visit &&visit) {
    call([&] {
      start_batch();
      begin(key);
      while (next())
        if (!visit(cells()))
          break;
    });
  }

  // Calls visit(const Cells &, place in last) for the rows whose first index columns are these and whose next
  // one, an integer, is one of `last`, which are sorted: what lies near each other in the index is found
  // together. Not together with each() in one KeyScan.
  template <class Visit>
  void each_of(std::initializer_list<KeyPart> key, std::span<const std::int32_t> last, Visit &&visit) {
    constexpr std::size_t kTogether = 256;
    for (std::size_t first = 0; first < last.size(); first += kTogether) {
      check_for_interrupts();
      call([&] {
        std::size_t at = first;
        const auto some = last.first(std::min(first + kTogether, last.size()));
        for (bool begun = false; next_of(key, some, at, begun); begun = true)
          visit(cells(), at);
      });
    }
  }

protected:
  KeyScan(const Moment &moment, const char *schema, const char *table, const char *index,
          std::initializer_list<Column> columns, LOCKMODE lock);
  void begin(std::initializer_list<KeyPart> key, std::optional<std::int32_t> from = std::nullopt);
  const Moment &moment() const { return moment_; }

  struct RelationData *index_ = nullptr;
  struct IndexScanDescData *scan_ = nullptr;

private:
  bool next();
  bool next_of(std::initializer_list<KeyPart> key, std::span<const std::int32_t> last, std::size_t &at,
               bool begun);

  const Moment &moment_;
};

} // namespace cdp::pg
