#include "pg/row_expression.hpp"

#include <algorithm>
#include <set>

#include "pg/pointing.hpp"

extern "C" {
#include "catalog/pg_class.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/analyze.h"
#include "parser/parser.h"
#include "utils/rel.h"
#include "utils/relcache.h"
}
#undef printf
#undef fprintf
#undef sprintf
#undef snprintf

namespace cdp::pg {

namespace {

constexpr char kHint[] = "Write a column, or an expression such as lower(email).";

[[noreturn]] void refuse(const std::string &text, int location, const std::string &message,
                         const std::string &hint = kHint) {
  throw Error(ERRCODE_SYNTAX_ERROR, message, {}, hint).at(text, std::max(character_at(text, location), 1));
}

// The text alone, and nothing that comes after an expression.
SelectStmt *parse_alone(const std::string &text, RawStmt *&statement) {
  List *parsed = pointing_at(text, [&] { return raw_parser(text.c_str(), RAW_PARSE_PLPGSQL_EXPR); });
  statement = linitial_node(RawStmt, parsed);
  auto *select = castNode(SelectStmt, statement->stmt);
  if (select->distinctClause || select->fromClause || select->whereClause || select->groupClause ||
      select->havingClause || select->windowClause || select->sortClause || select->limitCount ||
      select->limitOffset || select->lockingClause || select->withClause || select->op != SETOP_NONE)
    refuse(text, 0, "this is not one expression");
  if (list_length(select->targetList) != 1)
    refuse(text, 0, "this is not one expression");
  auto *target = linitial_node(ResTarget, select->targetList);
  if (target->name)
    refuse(text, target->location, "an expression has no name here");
  return select;
}

} // namespace

RowExpression check_row_expression(const std::string &text, Oid relation) {
  if (text.find_first_not_of(" \t\r\n") == std::string::npos)
    refuse(text, 0, "an expression is empty");
  RawStmt *statement = nullptr;
  auto *select = parse_alone(text, statement);
  const Query *query = pointing_at(text, [&] {
    select->fromClause =
        list_make1(makeRangeVar(get_namespace_name(get_rel_namespace(relation)), get_rel_name(relation), -1));
    return parse_analyze_fixedparams(statement, text.c_str(), nullptr, 0, nullptr);
  });
  if (query->hasAggs || query->hasWindowFuncs || query->hasTargetSRFs || query->hasSubLinks)
    refuse(text, 0, "an expression says something of one row alone",
           "Make a view that says more of each row, and attach that with a watermark column.");
  if (list_length(query->targetList) != 1)
    refuse(text, 0, "this is not one expression");
  RowExpression found;
  Node *expression = reinterpret_cast<Node *>(linitial_node(TargetEntry, query->targetList)->expr);
  found.type = call([&] { return format_type_be(exprType(expression)); });
  List *variables = call([&] { return pull_var_clause(expression, 0); });
  std::set<std::string> columns;
  for (int i = 0; i < list_length(variables); ++i) {
    const auto *variable = static_cast<Var *>(list_nth(variables, i));
    if (variable->varattno <= 0)
      refuse(text, variable->location, "an expression reads the columns of a row, not the row as a whole");
    columns.insert(call([&] { return get_attname(relation, variable->varattno, false); }));
  }
  found.columns.assign(columns.begin(), columns.end());
  return found;
}

} // namespace cdp::pg
