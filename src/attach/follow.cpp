// The trigger of attached tables: in the user's transaction it writes down which rows changed, and nothing
// more.
#include "pg/changed_rows.hpp"
#include "pg/function.hpp"
#include "pg/query.hpp"
#include "pg/row_expression.hpp"
#include "pg/spi.hpp"

namespace {

constexpr int kMostKeys = 1000; // of a line

} // namespace

// cdp_internal.attached_changed('attachment', 'number of key columns', key columns…, watched columns…)
CDP_FUNCTION(cdp_attached_changed) {
  using namespace cdp;
  const auto arguments = pg::trigger_arguments(fcinfo);
  if (arguments.size() < 3)
    throw Error(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED, "this trigger is made by cdp.attach_table()");
  const auto id = std::stoi(arguments[0]);
  const auto first_watched = arguments.begin() + 2 + std::stoi(arguments[1]);
  static pg::Statement insert("INSERT INTO cdp_internal.attached_changes (attachment_id, kind, keys, rows) "
                              "VALUES ($1, 'rows', $2, $3)");
  static pg::Statement note(
      "INSERT INTO cdp_internal.attached_changes (attachment_id, kind) VALUES ($1, $2)");
  pg::Session session;
  const auto changed =
      pg::each_changed_key(fcinfo, {arguments.begin() + 2, first_watched}, {first_watched, arguments.end()},
                           kMostKeys, [&](Datum keys, int rows) {
                             insert.run(pg::Params().integer(id).datum(TEXTARRAYOID, keys).integer(rows));
                           });
  if (changed != pg::Changed::rows)
    note.run(pg::Params().integer(id).text(changed == pg::Changed::everything ? "truncate" : "unknown"));
  return PointerGetDatum(nullptr);
}

// cdp_internal.check_row_expression(owner, time_zone, search_path, datestyle, intervalstyle, relation,
// expression): its type, and the columns it reads.
CDP_FUNCTION(cdp_check_row_expression) {
  using namespace cdp;
  const pg::RuleSettings settings{pg::call([&] { return NameStr(*PG_GETARG_NAME(0)); }),
                                  pg::text_argument(fcinfo, 1), pg::text_argument(fcinfo, 2),
                                  pg::text_argument(fcinfo, 3), pg::text_argument(fcinfo, 4)};
  const auto expression = pg::text_argument(fcinfo, 6);
  pg::RowExpression found;
  try {
    pg::WithoutContext plain;
    pg::AsOwner owner(settings, pg::Names::as_written);
    found = pg::check_row_expression(expression, PG_GETARG_OID(5));
  } catch (const pg::PgError &error) {
    pg::throw_to_caller(error);
  }
  pg::Session session;
  static pg::Statement list("SELECT $1");
  auto rows = list.run(pg::Params().texts(found.columns));
  const Datum columns = rows.datum(0, 1);
  return pg::call([&] {
    TupleDesc row;
    if (get_call_result_type(fcinfo, nullptr, &row) != TYPEFUNC_COMPOSITE)
      elog(ERROR, "a row type is needed");
    Datum values[2] = {CStringGetTextDatum(found.type.c_str()), columns};
    bool nulls[2] = {false, false};
    HeapTuple made = heap_form_tuple(BlessTupleDesc(row), values, nulls);
    return PointerGetDatum(SPI_returntuple(made, row));
  });
}
