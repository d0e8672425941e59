// The trigger of attached tables: in the user's transaction it writes down which rows changed, and nothing
// more.
#include "pg/changed_rows.hpp"
#include "pg/function.hpp"
#include "pg/query.hpp"
#include "pg/row_expression.hpp"
#include "pg/spi.hpp"
#include "pg/time_budget.hpp"

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
      "INSERT INTO cdp_internal.attached_changes (attachment_id, kind, rows) VALUES ($1, $2, $3)");
  pg::Session session;
  const auto changed =
      pg::each_changed_key(fcinfo, {arguments.begin() + 2, first_watched}, {first_watched, arguments.end()},
                           kMostKeys, [&](Datum keys, int rows) {
                             insert.run(pg::Params().integer(id).datum(TEXTARRAYOID, keys).integer(rows));
                           });
  if (changed == pg::Changed::everything)
    note.run(pg::Params().integer(id).text("truncate").integer(0));
  else if (const auto written = pg::count_changed(fcinfo); changed == pg::Changed::unknown && written > 0)
    note.run(pg::Params().integer(id).text("unknown").integer(static_cast<std::int32_t>(written)));
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

// cdp_internal.query_within_budget(owner, time_zone, search_path, datestyle, intervalstyle, query,
// milliseconds): as query_as_owner, in so much time; null: cdp.expression_timeout.
CDP_FUNCTION(cdp_query_within_budget) {
  using namespace cdp;
  const auto settings = pg::settings_argument(fcinfo, 0);
  const auto query = pg::text_argument(fcinfo, 5);
  const int milliseconds = PG_ARGISNULL(6) ? pg::expression_timeout_ms : PG_GETARG_INT32(6);
  pg::call([&] { InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC); });
  auto *result = reinterpret_cast<ReturnSetInfo *>(fcinfo->resultinfo);
  pg::Session session;
  pg::within_budget(milliseconds, [&] {
    pg::AsOwner owner(settings, pg::Names::as_written);
    auto rows = pg::run_once("SELECT pg_catalog.to_jsonb(q) FROM (" + query + "\n) AS q");
    for (std::size_t row = 0; row < rows.size(); ++row) {
      Datum value = rows.datum(row, 1);
      bool is_null = rows.is_null(row, 1);
      pg::call([&] { tuplestore_putvalues(result->setResult, result->setDesc, &value, &is_null); });
    }
  });
  return 0;
}
