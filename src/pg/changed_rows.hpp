// What a statement did to the rows of a table, as its trigger sees it: the keys of rows whose watched columns
// changed. For triggers of statements, with transition tables.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "pg/append_rows.hpp"
#include "pg/scan.hpp"

namespace cdp::pg {

// The arguments that CREATE TRIGGER gave.
std::vector<std::string> trigger_arguments(FunctionCallInfo fcinfo);

enum class Changed { rows, everything, unknown }; // TRUNCATE; a column that is not there any more

// Calls take with the keys as a text[], the columns of one row after the other, at most `most` rows at a
// time. An updated row whose key changed counts twice, one whose key and watched columns are as before not at
// all.
Changed each_changed_key(FunctionCallInfo fcinfo, const std::vector<std::string> &key,
                         const std::vector<std::string> &watched, int most,
                         const std::function<void(Datum keys, int rows)> &take);

// How many rows the statement wrote, whatever changed in them.
std::int64_t count_changed(FunctionCallInfo fcinfo);

enum class Fired { by_insert, by_update, by_delete, by_truncate };
Fired fired_by(FunctionCallInfo fcinfo);

// The rows as a statement removed or wrote them; of an UPDATE both come in the same order. Gone with the
// trigger.
class TransitionRows {
public:
  enum class Which { removed, written };
  TransitionRows(FunctionCallInfo fcinfo, Which which, std::initializer_list<ScannedTable::Column> columns);
  ~TransitionRows();
  TransitionRows(const TransitionRows &) = delete;
  TransitionRows &operator=(const TransitionRows &) = delete;

  bool next();
  const Cells &row() const { return cells_; } // its texts may be stored elsewhere: see text()
  Cell text(int column) const;                // a copy, in the memory at hand
  bool is_same(int column, const TransitionRows &other) const;

private:
  Tuplestorestate *rows_;
  int pointer_ = 0, exceptions_;
  Cells cells_;
};

} // namespace cdp::pg
