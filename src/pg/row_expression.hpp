// One SQL expression over the columns of a table or view, as somebody wrote it: checked by PostgreSQL itself,
// under the settings in force.
#pragma once
#include <string>
#include <vector>

#include "pg/guard.hpp"

namespace cdp::pg {

struct RowExpression {
  std::string type;                 // as format_type spells it
  std::vector<std::string> columns; // that it reads
};

// An error points at what is wrong. Aggregates, sets and queries of other tables are refused: an expression
// says something of one row, and of nothing else.
RowExpression check_row_expression(const std::string &text, Oid relation);

} // namespace cdp::pg
