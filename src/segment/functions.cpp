// What SQL calls: compiling, judging and explaining segments. What decides about definitions is SQL itself.
#include "core/json_text.hpp"
#include "segment/asked.hpp"
#include "segment/everybody.hpp"
#include "segment/insides.hpp"
#include "segment/judge.hpp"
#include "segment/lists.hpp"
#include "segment/plan.hpp"
#include "segment/refresh.hpp"
#include "segment/store.hpp"
#include "segment/unseen.hpp"

#include <algorithm>

#include "pg/function.hpp"
#include "pg/query.hpp"

namespace {

using namespace cdp;

void lock_segments() {
  pg::need_read_committed();
  pg::run_once("LOCK TABLE cdp.segments IN EXCLUSIVE MODE"); // ingestion holds ROW SHARE until it commits
}

// What cdp.segments.compiled keeps of an exact rule, with what it asks of events declared.
std::string keep_exact(const pg::Rule &rule, const pg::RuleSettings &settings) {
  const auto plan = segment::make_plan(rule);
  if (plan.decomposition)
    for (const auto &definition : segment::definitions_of(*plan.decomposition, settings))
      segment::Inputs::declare(definition);
  if (!plan.since.empty()) // nobody may have followed these traits until now
    pg::run_once("DELETE FROM cdp_internal.trait_runs WHERE trait = ANY ($1)",
                 pg::Params().texts(plan.since));
  return segment::to_json(plan);
}

// And of one that is not.
std::string keep_query(const pg::Rule &rule) {
  core::json::Text out;
  out.open('{').add("query", rule.query).add("reasons", rule.reasons);
  std::vector<std::int64_t> asked;
  for (const auto &one : rule.segments)
    asked.push_back(one.segment_id);
  if (!asked.empty())
    out.add("segments", asked);
  return out.close().str();
}

pg::Rule compile_as_owner(FunctionCallInfo fcinfo, const std::string &rule, bool is_computed = false) {
  const auto settings = pg::settings_argument(fcinfo, 0);
  const auto per =
      is_computed || PG_ARGISNULL(6) ? std::nullopt : std::optional(pg::text_argument(fcinfo, 6));
  pg::AsOwner owner(settings, pg::Names::as_written);
  return is_computed ? pg::compile_computed(rule, settings.time_zone)
                     : pg::compile_rule(rule, per, settings.time_zone);
}

// What compiles either kind hands to what keeps it.
template <class Compile>
std::string compile_and_keep(const pg::RuleSettings &settings, const std::string &text, Compile &&compile) {
  pg::Session session;
  auto compiled = compile();
  if (compiled.reasons.empty()) {
    pg::AsOwner owner(settings, pg::Names::as_written);
    pg::need_readable_people();
  }
  segment::find_asked(compiled, text);
  if (!compiled.reasons.empty())
    return keep_query(compiled);
  segment::warn_of_unseen_events(compiled.mentions);
  return keep_exact(compiled, settings);
}

} // namespace

// Every public function that changes a definition: see pg::forward. They run with their caller's rights until
// here, so that nobody can pass for another owner, as they could with an SQL function that is told who calls.
CDP_FUNCTION(cdp_forward) {
  return pg::forward(fcinfo);
}

CDP_FUNCTION(cdp_lock_segments) {
  pg::Session session;
  lock_segments();
  PG_RETURN_VOID();
}

CDP_FUNCTION(cdp_need_read_committed) {
  pg::need_read_committed();
  PG_RETURN_VOID();
}

CDP_FUNCTION(cdp_need_own_transactions) {
  pg::need_own_transactions(pg::text_argument(fcinfo, 0));
  PG_RETURN_VOID();
}

// cdp_internal.compile_rule(owner, time_zone, search_path, datestyle, intervalstyle, rule, per): what
// cdp.segments.compiled keeps.
CDP_FUNCTION(cdp_compile_rule) {
  const auto settings = pg::settings_argument(fcinfo, 0);
  const auto rule = pg::text_argument(fcinfo, 5);
  pg::WithoutContext context;
  return pg::text_result(compile_and_keep(settings, rule, [&] { return compile_as_owner(fcinfo, rule); }));
}

// cdp_internal.compile_computed(owner, time_zone, search_path, datestyle, intervalstyle, expression)
CDP_FUNCTION(cdp_compile_computed) {
  const auto settings = pg::settings_argument(fcinfo, 0);
  const auto expression = pg::text_argument(fcinfo, 5);
  pg::WithoutContext context;
  return pg::text_result(
      compile_and_keep(settings, expression, [&] { return compile_as_owner(fcinfo, expression, true); }));
}

// cdp_internal.rule_in_sql(owner, time_zone, search_path, datestyle, intervalstyle, rule, per, computed): the
// rule as plain SQL would have it, with the person it is about where a function must be told.
CDP_FUNCTION(cdp_rule_in_sql) {
  std::string sql;
  {
    pg::Session session; // its memory goes with it
    sql = compile_as_owner(fcinfo, pg::text_argument(fcinfo, 5), PG_GETARG_BOOL(7)).in_sql;
  }
  return pg::text_result(sql);
}

// cdp_internal.rename_in_rule(owner, time_zone, search_path, datestyle, intervalstyle, rule, per, name,
// new_name, computed): the rule with another name for a segment that it asks about.
CDP_FUNCTION(cdp_rename_in_rule) {
  auto renamed = pg::text_argument(fcinfo, 5);
  const auto name = pg::text_argument(fcinfo, 7), new_name = pg::text_argument(fcinfo, 8);
  std::vector<int> places;
  {
    pg::Session session;
    for (const auto &one : compile_as_owner(fcinfo, renamed, PG_GETARG_BOOL(9)).segments)
      if (one.name == name)
        places = one.literals;
  }
  std::sort(places.rbegin(), places.rend());
  for (int place : places) {
    const auto at = static_cast<std::size_t>(place);
    renamed.replace(at, pg::end_of_literal(renamed, at) - at, "'" + new_name + "'");
  }
  return pg::text_result(renamed);
}

// cdp_internal.check_query(owner, time_zone, search_path, datestyle, intervalstyle, query): the query alone.
CDP_FUNCTION(cdp_check_query) {
  const auto settings = pg::settings_argument(fcinfo, 0);
  const auto query = pg::text_argument(fcinfo, 5);
  pg::WithoutContext context;
  std::string result;
  {
    pg::AsOwner owner(settings, pg::Names::as_written);
    result = pg::check_query(query);
  }
  return pg::text_result(result);
}

// A query's function can claim any SQLSTATE, also those by which whoever runs segments knows a cancel or a
// deadlock, and one that WHEN OTHERS does not catch.
static void tell_from_ours(ErrorData &error) {
  const int category = ERRCODE_TO_CATEGORY(error.sqlerrcode);
  const std::string_view raised_by = error.funcname ? error.funcname : "";
  if (raised_by == "exec_stmt_assert" ||
      (raised_by == "exec_stmt_raise" &&
       (category == ERRCODE_TRANSACTION_ROLLBACK || category == ERRCODE_OPERATOR_INTERVENTION ||
        error.sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE || error.sqlerrcode == ERRCODE_ASSERT_FAILURE)))
    error.sqlerrcode = ERRCODE_EXTERNAL_ROUTINE_EXCEPTION;
}

// cdp_internal.members_of_query(owner, time_zone, search_path, datestyle, intervalstyle, query)
CDP_FUNCTION(cdp_members_of_query) {
  const auto settings = pg::settings_argument(fcinfo, 0);
  const auto query = pg::text_argument(fcinfo, 5);
  pg::call([&] { InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC); });
  pg::Session session;
  pg::AsOwner owner(settings, pg::Names::as_written);
  try {
    pg::run_members(query, reinterpret_cast<ReturnSetInfo *>(fcinfo->resultinfo));
  } catch (const pg::PgError &error) {
    tell_from_ours(*error.data());
    throw;
  }
  return 0;
}

CDP_FUNCTION(cdp_judge_everybody) {
  pg::Session session;
  std::vector<segment::Judge *> judges = {&segment::judge_of(PG_GETARG_INT32(0))};
  for (auto *judge : segment::dependents({PG_GETARG_INT32(0)}))
    judges.push_back(judge);
  segment::refresh(judges, segment::Broken::is_error);
  PG_RETURN_VOID();
}

// All exact rules at once, reading everybody's timeline once.
CDP_FUNCTION(cdp_refresh_segments) {
  pg::Session session;
  lock_segments();
  pg::run_once(
      "DELETE FROM cdp.segment_errors AS e USING cdp.segments AS s WHERE e.segment_id = s.segment_id "
      "AND e.profile_id IS NULL AND s.class = 'exact'");
  segment::refresh(segment::judges(), segment::Broken::is_noted);
  PG_RETURN_VOID();
}

// cdp_internal.judge_people(segment_id, profile_ids): their profiles are locked.
CDP_FUNCTION(cdp_judge_people) {
  pg::Session session;
  segment::evaluate_people(PG_GETARG_INT32(0), pg::bigints_argument(fcinfo, 1),
                           GetCurrentTransactionStartTimestamp());
  PG_RETURN_VOID();
}

// cdp_internal.judge_lists(profile_ids): what lists say of these people, whose profiles are locked.
CDP_FUNCTION(cdp_judge_lists) {
  pg::Session session;
  std::vector<segment::Step> steps;
  for (auto id : pg::bigints_argument(fcinfo, 0))
    steps.push_back({id, segment::kAllEvents, GetCurrentTransactionStartTimestamp(), {}});
  segment::ListMembers lists;
  lists.read();
  lists.evaluate(steps);
  const auto found = lists.take();
  std::vector<std::int32_t> changed;
  for (const auto &one : found)
    changed.push_back(one.segment_id);
  if (segment::store_found(found))
    segment::evaluate_dependents(changed, pg::bigints_argument(fcinfo, 0),
                                 GetCurrentTransactionStartTimestamp());
  PG_RETURN_VOID();
}

// cdp_internal.judge_dependents(segment_id, profile_ids): by the rules that ask about a segment, after its
// memberships of these people, whose profiles are locked, changed; null: of anybody, while the definitions
// are.
CDP_FUNCTION(cdp_judge_dependents) {
  if (PG_ARGISNULL(0))
    PG_RETURN_VOID();
  pg::Session session;
  const std::vector<std::int32_t> changed = {PG_GETARG_INT32(0)};
  if (PG_ARGISNULL(1)) {
    if (const auto judges = segment::dependents(changed); !judges.empty())
      segment::refresh(judges, segment::Broken::is_noted);
  } else {
    segment::evaluate_dependents(changed, pg::bigints_argument(fcinfo, 1),
                                 GetCurrentTransactionStartTimestamp());
  }
  PG_RETURN_VOID();
}

static constexpr int kExplained = 8; // columns

// The conditions of one person's membership, judged as the segment's owner over what the caller may see of
// traits.
CDP_FUNCTION(cdp_explain_segment) {
  const auto segment_id = PG_GETARG_INT32(0);
  const auto profile_id = PG_GETARG_INT64(1);
  pg::call([&] { InitMaterializedSRF(fcinfo, 0); });
  auto *result = reinterpret_cast<ReturnSetInfo *>(fcinfo->resultinfo);
  pg::Session session;
  const auto traits = pg::text_argument(fcinfo, 2);
  static pg::Statement exact(
      "SELECT kind IN ('rule', 'trait') AND class = 'exact' AND state <> 'disabled' FROM cdp.segments "
      "WHERE segment_id = $1");
  static pg::Statement other(
      "SELECT k.*, NULL::text, NULL::text, NULL::text[] FROM cdp_internal.explain_kept($1, $2) AS k");
  auto rows = exact.run(pg::Params().integer(segment_id)).boolean(0, 1)
                  ? segment::judge_of(segment_id)
                        .explain(profile_id, traits, GetCurrentTransactionStartTimestamp(), session)
                  : other.run(pg::Params().integer(segment_id).bigint(profile_id));
  for (std::size_t row = 0; row < rows.size(); ++row) {
    Datum values[kExplained];
    bool nulls[kExplained];
    for (int column = 0; column < kExplained; ++column) {
      values[column] = rows.datum(row, column + 1);
      nulls[column] = rows.is_null(row, column + 1);
    }
    pg::call([&] { tuplestore_putvalues(result->setResult, result->setDesc, values, nulls); });
  }
  return 0;
}

// A query as a segment's owner would run it, one jsonb a row.
CDP_FUNCTION(cdp_query_as_owner) {
  const auto settings = pg::settings_argument(fcinfo, 0);
  const auto query = pg::text_argument(fcinfo, 5);
  pg::call([&] { InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC); });
  auto *result = reinterpret_cast<ReturnSetInfo *>(fcinfo->resultinfo);
  pg::Session session;
  pg::AsOwner owner(settings, pg::Names::as_written);
  auto rows = pg::run_once("SELECT pg_catalog.to_jsonb(q) FROM (" + query + "\n) AS q");
  for (std::size_t row = 0; row < rows.size(); ++row) {
    Datum value = rows.datum(row, 1);
    bool is_null = rows.is_null(row, 1);
    pg::call([&] { tuplestore_putvalues(result->setResult, result->setDesc, &value, &is_null); });
  }
  return 0;
}

// cdp_internal.forget_inputs(): the caller holds cdp.segments locked. Numbers are never given again, so what
// timelines have of an input that went means nothing.
CDP_FUNCTION(cdp_forget_inputs) {
  static pg::Statement forget("DELETE FROM cdp_internal.timeline_inputs WHERE definition <> ALL ($1)");
  pg::Session session;
  forget.run(pg::Params().texts(segment::definitions_in_use()));
  PG_RETURN_VOID();
}
