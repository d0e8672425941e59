#include "pg/query.hpp"

#include "core/json_text.hpp"

#include "pg/pointing.hpp"

extern "C" {
#include "catalog/pg_proc.h"
#include "executor/tstoreReceiver.h"
#include "nodes/nodeFuncs.h"
#include "parser/analyze.h"
#include "parser/parse_coerce.h"
#include "parser/parser.h"
#include "tcop/dest.h"
#include "utils/datum.h"
#include "utils/plancache.h"
#include "utils/syscache.h"
}
#undef printf
#undef fprintf
#undef sprintf
#undef snprintf

namespace cdp::pg {

namespace {

const char kColumnsHint[] =
    "Write SELECT profile_id FROM …, or SELECT profile_id, … AS key FROM … for a membership of each key.";

[[noreturn]] void refuse(const std::string &text, int location, int sqlstate, std::string message,
                         std::string hint) {
  throw Error(sqlstate, std::move(message), {}, std::move(hint)).at(text, character_at(text, location));
}

Query *analyse(const std::string &text, RawStmt *statement) {
  return pointing_at(text,
                     [&] { return parse_analyze_fixedparams(statement, text.c_str(), nullptr, 0, nullptr); });
}

// The columns are called profile_id and key, in any order.
void check_columns(const Query *query, const std::string &text) {
  bool has_profile = false;
  for (int i = 0; i < list_length(query->targetList); ++i) {
    auto *target = static_cast<TargetEntry *>(list_nth(query->targetList, i));
    if (target->resjunk)
      continue;
    const std::string name = target->resname ? target->resname : "";
    const int location = call([&] { return exprLocation(reinterpret_cast<Node *>(target->expr)); });
    if (name == "key")
      continue;
    if (name != "profile_id")
      refuse(text, location, ERRCODE_INVALID_COLUMN_DEFINITION,
             "a segment's query cannot return the column \"" + name + "\"", kColumnsHint);
    has_profile = true;
    const Oid type = call([&] { return exprType(reinterpret_cast<Node *>(target->expr)); });
    Oid from = type, to = INT8OID;
    if (!call([&] { return can_coerce_type(1, &from, &to, COERCION_IMPLICIT); }))
      refuse(text, location, ERRCODE_DATATYPE_MISMATCH,
             "profile_id is of type " + std::string(call([&] { return format_type_be(type); })) +
                 ", not bigint",
             "cdp.lookup(type, value) gives a person's profile_id.");
  }
  if (!has_profile)
    refuse(text, 0, ERRCODE_INVALID_COLUMN_DEFINITION, "a segment's query must return profile_id",
           kColumnsHint);
}

} // namespace

std::string check_query(const std::string &text) {
  List *parsed = pointing_at(text, [&] { return raw_parser(text.c_str(), RAW_PARSE_DEFAULT); });
  if (list_length(parsed) != 1)
    refuse(text, list_length(parsed) > 1 ? static_cast<RawStmt *>(lsecond(parsed))->stmt_location : 0,
           ERRCODE_SYNTAX_ERROR, "a segment's query is exactly one SELECT", kColumnsHint);
  auto *statement = static_cast<RawStmt *>(linitial(parsed));
  if (!IsA(statement->stmt, SelectStmt) || reinterpret_cast<SelectStmt *>(statement->stmt)->intoClause)
    refuse(text, 0, ERRCODE_SYNTAX_ERROR, "a segment's query is exactly one SELECT", kColumnsHint);
  const auto start = static_cast<std::size_t>(statement->stmt_location),
             length = static_cast<std::size_t>(statement->stmt_len);
  std::string query = text.substr(start, length == 0 ? std::string::npos : length);
  query.erase(0, query.find_first_not_of(" \t\r\n"));
  query.erase(query.find_last_not_of(" \t\r\n") + 1);

  const Query *analysed = analyse(text, statement);
  if (analysed->hasModifyingCTE || analysed->rowMarks != NIL)
    refuse(text, 0, ERRCODE_FEATURE_NOT_SUPPORTED, "a segment's query can neither write nor lock rows",
           "It is run again and again, and only reads.");
  check_columns(analysed, text);
  return query;
}

// Whether a checked query has the column; planned again, as tables may have changed since.
static bool has_key(const std::string &query) {
  return call([&] {
    SPIPlanPtr plan = SPI_prepare(query.c_str(), 0, nullptr);
    if (!plan)
      elog(ERROR, "could not prepare: %s", SPI_result_code_string(SPI_result));
    auto *source = static_cast<CachedPlanSource *>(linitial(SPI_plan_get_plan_sources(plan)));
    for (int i = 0; i < source->resultDesc->natts; ++i)
      if (strcmp(NameStr(TupleDescAttr(source->resultDesc, i)->attname), "key") == 0)
        return true;
    return false;
  });
}

// Until the settings in force end.
static void read_only() {
  (void)set_config_option("transaction_read_only", "on", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
                          false);
}

std::vector<std::int64_t> people_of(const std::string &query) {
  call([] { read_only(); });
  const auto rows =
      run_once("SELECT pg_catalog.array_agg(f.profile_id ORDER BY f.profile_id) FROM (SELECT DISTINCT "
               "q.profile_id, q.key FROM (" +
                   query + "\n) AS q) AS f",
               {}, true);
  return rows.is_null(0, 1) ? std::vector<std::int64_t>() : rows.bigints(0, 1);
}

void run_members(const std::string &query, ReturnSetInfo *result) {
  const std::string sql = "SELECT q.profile_id::pg_catalog.int8, " +
                          std::string(has_key(query) ? "q.key" : "NULL") + "::pg_catalog.text FROM (" +
                          query + "\n) AS q WHERE q.profile_id IS NOT NULL";
  call([&] {
    read_only();
    SPIExecuteOptions options{};
    options.dest = CreateDestReceiver(DestTuplestore);
    SetTuplestoreDestReceiverParams(options.dest, result->setResult, result->econtext->ecxt_per_query_memory,
                                    false, nullptr, nullptr);
    const int code = SPI_execute_extended(sql.c_str(), &options);
    if (code < 0)
      elog(ERROR, "SPI failed: %s", SPI_result_code_string(code));
  });
}

namespace {

struct Called {
  std::string name;
  std::vector<Oid> types;
  Oid result;
  bool returns_set;
};

Called describe(Oid function) {
  HeapTuple tuple = call([&] {
    HeapTuple found = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
    if (!HeapTupleIsValid(found))
      elog(ERROR, "cache lookup failed for function %u", function);
    return found;
  });
  auto *row = reinterpret_cast<Form_pg_proc>(GETSTRUCT(tuple));
  Called called{NameStr(row->proname), {}, row->prorettype, row->proretset};
  for (int i = 0; i < row->pronargs; ++i)
    called.types.push_back(row->proargtypes.values[i]);
  ReleaseSysCache(tuple);
  return called;
}

std::string caller() {
  const auto settings = current_settings();
  core::json::Text out;
  out.open('{').add("role", settings.owner).add("search_path", settings.search_path);
  out.add("datestyle", settings.datestyle).add("intervalstyle", settings.intervalstyle).close();
  return out.str();
}

Datum run_forward(FunctionCallInfo fcinfo) {
  const auto called = describe(fcinfo->flinfo->fn_oid);
  const auto who = caller();
  std::string sql = called.returns_set ? "SELECT * FROM cdp_internal." : "SELECT cdp_internal.";
  sql += "\"" + called.name + "\"($1::pg_catalog.jsonb";
  std::vector<Oid> types{TEXTOID};
  std::vector<Datum> values{call([&] { return CStringGetTextDatum(who.c_str()); })};
  std::string nulls = " ";
  for (int i = 0; i < static_cast<int>(called.types.size()); ++i) {
    sql += ", $" + std::to_string(i + 2);
    types.push_back(called.types[static_cast<std::size_t>(i)]);
    values.push_back(PG_ARGISNULL(i) ? 0 : PG_GETARG_DATUM(i));
    nulls += PG_ARGISNULL(i) ? 'n' : ' ';
  }
  sql += ")";
  ReturnSetInfo *set = nullptr;
  if (called.returns_set) {
    call([&] { InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC); });
    set = reinterpret_cast<ReturnSetInfo *>(fcinfo->resultinfo);
  }
  Session session;
  AsExtension extension(fcinfo->flinfo->fn_oid);
  return call([&]() -> Datum {
    const int code = SPI_execute_with_args(sql.c_str(), static_cast<int>(types.size()), types.data(),
                                           values.data(), nulls.c_str(), false, 0);
    if (code < 0)
      elog(ERROR, "SPI failed: %s", SPI_result_code_string(code));
    if (set) {
      for (uint64 row = 0; row < SPI_processed; ++row)
        tuplestore_puttuple(set->setResult, SPI_tuptable->vals[row]);
      return 0;
    }
    bool is_null = true;
    const Datum value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null);
    fcinfo->isnull = is_null;
    if (is_null)
      return 0;
    int16 length;
    bool by_value;
    get_typlenbyval(called.result, &length, &by_value);
    return SPI_datumTransfer(value, by_value, length);
  });
}

} // namespace

// Nothing is wrong with the server, nor with us: whoever called can mend it.
static bool is_of_caller(int sqlstate) {
  for (int ours : {ERRCODE_INTERNAL_ERROR, ERRCODE_SYSTEM_ERROR, ERRCODE_INSUFFICIENT_RESOURCES,
                   ERRCODE_OPERATOR_INTERVENTION, ERRCODE_TRANSACTION_ROLLBACK})
    if (ERRCODE_TO_CATEGORY(sqlstate) == ERRCODE_TO_CATEGORY(ours))
      return false;
  return true;
}

void throw_to_caller(const PgError &error) {
  const auto *data = error.data();
  if (!is_of_caller(data->sqlerrcode))
    throw error;
  const auto text = [](const char *one) { return std::string(one ? one : ""); };
  throw Error(data->sqlerrcode, text(data->message), text(data->detail), text(data->hint))
      .at(text(data->internalquery), data->internalpos);
}

Datum forward(FunctionCallInfo fcinfo) {
  try {
    return run_forward(fcinfo);
  } catch (const PgError &error) {
    throw_to_caller(error);
  }
}

} // namespace cdp::pg
