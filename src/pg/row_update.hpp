// Rows that are locked by their key, and written again where they lie: what every small batch does with a few
// rows, where statements would take several times as long. Everything here may throw PgError.
#pragma once
#include "pg/append_rows.hpp"
#include "pg/scan.hpp"

namespace cdp::pg {

// Rows of a table under a unique index, locked as by SELECT … FOR UPDATE.
class KeyLock : public KeyScan {
public:
  KeyLock(const Moment &moment, const char *schema, const char *table, const char *index,
          std::initializer_list<Column> columns);

  // False: SQL has to lock them, or to say why not.
  bool usable() const { return KeyScan::usable() && may_; }

  // Waits for the row under this key, if there is one, and calls visit(const Cells &) with its newest
  // version. As a statement, it neither locks nor shows a row that is deleted meanwhile, or came after the
  // moment.
  template <class Visit> void lock(std::initializer_list<KeyPart> key, Visit &&visit) {
    check_for_interrupts();
    call([&] {
      start_batch();
      begin(key);
      while (next_locked())
        visit(cells());
    });
  }

private:
  bool next_locked();

  bool may_ = false;
};

// Rows of a table of which this transaction has locked the newest version, written again.
class RowUpdate {
public:
  using Column = ScannedTable::Column;

  RowUpdate(const char *schema, const char *table, std::initializer_list<Column> columns);
  ~RowUpdate();
  RowUpdate(const RowUpdate &) = delete;
  RowUpdate &operator=(const RowUpdate &) = delete;

  // False: SQL has to write them, since UPDATE would do more than to form rows and fill indexes.
  bool usable() const { return table_ != nullptr; }

  // These columns get these values; an empty cell leaves one as it is. False, and nothing is done: this is no
  // longer the newest version.
  bool write(ItemPointerData place, std::initializer_list<std::optional<Cell>> cells);

private:
  bool takes_updates() const;

  struct RelationData *table_ = nullptr;
  TupleTableSlot *old_ = nullptr, *new_ = nullptr;
  std::vector<int> places_; // of the columns
  int exceptions_;
};

} // namespace cdp::pg
