// Many rows of bigints at the end of a plain table, a page at a time: for millions of rows that SQL would
// form and place one by one. Says what INSERT would say: it asks for the privilege, and refuses a table where
// more would have to happen (an index, a trigger, a constraint, row-level security). Everything here may
// throw PgError, and Error for a table that will not do.
#pragma once
#include <cstring>
#include <span>

#include "pg/spi.hpp"

namespace cdp::pg {

// Owns the memory of one batch of rows and keeps the table locked, as an INSERT does, until the transaction
// ends. On an exception all is left to the abort.
class TableAppend {
public:
  TableAppend(Oid table, int columns);
  TableAppend(const TableAppend &) = delete;
  TableAppend &operator=(const TableAppend &) = delete;

  // As many values as the table has columns.
  void add(std::span<const std::int64_t> values) {
    std::memcpy(next_, values.data(), values.size_bytes());
    next_ += stride_;
    if (++rows_ == kBatch)
      write();
  }
  void finish(); // after the last row; nothing may follow

private:
  static constexpr int kBatch = 1000;

  void open(Oid table, int columns);
  void make_rows(int columns);
  void write();

  struct RelationData *table_ = nullptr;
  struct BulkInsertStateData *bulk_ = nullptr;
  TupleTableSlot **slots_ = nullptr;
  char *first_ = nullptr, *next_ = nullptr; // the values of a row
  std::size_t stride_ = 0;
  int rows_ = 0;
};

// One row, a parameter a column, at the end of a plain table, for what every small batch writes: a statement
// would cost more than its row. False, and nothing is done, where INSERT would have to do more than that.
bool append_row(const char *schema, const char *table, const Params &row);

} // namespace cdp::pg
