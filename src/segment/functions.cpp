// What SQL calls: creating, dropping, refreshing and explaining segments.
#include "segment/judge.hpp"
#include "segment/plan.hpp"
#include "segment/refresh.hpp"
#include "segment/store.hpp"
#include "segment/unseen.hpp"

#include "pg/function.hpp"
#include "pg/spi.hpp"

namespace {

using namespace cdp;

std::string required(FunctionCallInfo fcinfo, int number, const char *what) {
  if (PG_ARGISNULL(number))
    throw Error(ERRCODE_NULL_VALUE_NOT_ALLOWED, std::string(what) + " must not be null");
  return pg::text_argument(fcinfo, number);
}

void check_name(const std::string &name) {
  static pg::Statement good("SELECT $1 ~ '^[a-z][a-z0-9_]{0,62}$' AND $1 <> 'all_segments'");
  if (!good.run(pg::Params().text(name)).boolean(0, 1))
    throw Error(
        ERRCODE_INVALID_NAME, "\"" + name + "\" cannot be the name of a segment", {},
        "Use lower-case letters, digits and underscores, at most 63, a letter first; all_segments is taken.");
  static pg::Statement taken("SELECT EXISTS (SELECT FROM cdp.segments WHERE name = $1)");
  if (taken.run(pg::Params().text(name)).boolean(0, 1))
    throw Error(ERRCODE_DUPLICATE_OBJECT, "segment \"" + name + "\" already exists", {},
                "Drop it first: SELECT cdp.drop_segment('" + name + "').");
}

void check_time_zone(const std::string &zone) {
  if (!pg::time_zone_exists(zone))
    throw Error(ERRCODE_INVALID_PARAMETER_VALUE, "time zone \"" + zone + "\" not recognized", {},
                "Use a full name, such as Europe/Amsterdam; see pg_timezone_names.");
}

void lock_segments() {
  pg::need_read_committed();
  pg::run_once("LOCK TABLE cdp.segments IN EXCLUSIVE MODE"); // ingestion holds ROW SHARE until it commits
}

struct Known {
  std::int32_t segment_id;
  std::string owner;
};

Known find_segment(const std::string &name) {
  static pg::Statement read("SELECT segment_id, owner::text FROM cdp.segments WHERE name = $1");
  auto rows = read.run(pg::Params().text(name));
  if (rows.size() == 1)
    return {rows.integer(0, 1), rows.text(0, 2)};
  static pg::Statement refuse("SELECT cdp_internal.refuse_segment($1)");
  refuse.run(pg::Params().text(name));
  throw Error(ERRCODE_UNDEFINED_OBJECT, "segment \"" + name + "\" does not exist");
}

// Its owner's members may change a segment, and whoever administers cdp.
void check_owner(const std::string &name, const std::string &owner, Oid caller) {
  const bool may = pg::call([&] {
    const Oid role = get_role_oid(owner.c_str(), true);
    return has_privs_of_role(caller, GetUserId()) || (OidIsValid(role) && has_privs_of_role(caller, role));
  });
  if (!may)
    throw Error(ERRCODE_INSUFFICIENT_PRIVILEGE, "must be owner of segment " + name);
}

std::int32_t insert_segment(const std::string &name, const std::string &rule,
                            const std::optional<std::string> &per, const pg::RuleSettings &settings,
                            const std::string &compiled) {
  static pg::Statement insert(
      "INSERT INTO cdp.segments (name, rule, per, owner, time_zone, search_path, datestyle, intervalstyle, "
      "compiled) "
      "VALUES ($1, $2, $3, $4::name, $5, $6, $7, $8, $9::jsonb) RETURNING segment_id");
  auto rows = insert.run(pg::Params()
                             .text(name)
                             .text(rule)
                             .optional_text(per)
                             .text(settings.owner)
                             .text(settings.time_zone)
                             .text(settings.search_path)
                             .text(settings.datestyle)
                             .text(settings.intervalstyle)
                             .text(compiled));
  return rows.integer(0, 1);
}

} // namespace

// Runs with its caller's rights, so that GetUserId() is the role that calls: nobody can pass for another
// owner, as they could with an SQL function that is told the owner. It takes the extension's rights itself,
// for our tables.
CDP_FUNCTION(cdp_create_segment) {
  const auto name = required(fcinfo, 0, "name"), rule = required(fcinfo, 1, "rule");
  const auto per = PG_ARGISNULL(2) ? std::nullopt : std::optional(pg::text_argument(fcinfo, 2));
  auto settings = pg::current_settings();
  settings.time_zone = PG_ARGISNULL(3) ? "UTC" : pg::text_argument(fcinfo, 3);

  pg::Session session;
  pg::AsExtension extension(fcinfo->flinfo->fn_oid);
  lock_segments();
  check_name(name);
  check_time_zone(settings.time_zone);
  pg::Rule compiled;
  {
    pg::AsOwner owner(settings, pg::Names::as_written);
    compiled = pg::compile_rule(rule, per, settings.time_zone);
  }
  const auto plan = segment::make_plan(compiled);
  if (plan.decomposition)
    for (const auto &definition : segment::definitions_of(*plan.decomposition, settings))
      segment::Inputs::declare(definition);
  const auto segment_id = insert_segment(name, rule, per, settings, segment::to_json(plan));
  segment::refresh({&segment::judge_of(segment_id)}, segment::Broken::is_error);
  segment::warn_of_unseen_events(plan.outline.mentions);
  static pg::Statement view("SELECT cdp_internal.create_segment_view($1)");
  view.run(pg::Params().integer(segment_id));
  PG_RETURN_INT32(segment_id);
}

CDP_FUNCTION(cdp_drop_segment) {
  const auto name = required(fcinfo, 0, "name");
  const Oid caller = GetUserId();
  pg::Session session;
  pg::AsExtension extension(fcinfo->flinfo->fn_oid);
  lock_segments();
  const auto known = find_segment(name);
  check_owner(name, known.owner, caller);
  static pg::Statement drop("SELECT cdp_internal.drop_segment_rows($1)");
  drop.run(pg::Params().integer(known.segment_id));
  PG_RETURN_VOID();
}

CDP_FUNCTION(cdp_refresh_segment) {
  const auto name = required(fcinfo, 0, "name");
  const Oid caller = GetUserId();
  pg::Session session;
  pg::AsExtension extension(fcinfo->flinfo->fn_oid);
  lock_segments();
  const auto known = find_segment(name);
  check_owner(name, known.owner, caller);
  static pg::Statement clear("DELETE FROM cdp.segment_errors WHERE segment_id = $1 AND profile_id IS NULL");
  clear.run(pg::Params().integer(known.segment_id));
  segment::refresh({&segment::judge_of(known.segment_id)}, segment::Broken::is_error);
  PG_RETURN_VOID();
}

// All of them at once, reading everybody's timeline once.
CDP_FUNCTION(cdp_refresh_segments) {
  pg::Session session;
  lock_segments();
  pg::run_once("DELETE FROM cdp.segment_errors WHERE profile_id IS NULL");
  segment::refresh(segment::judges(), segment::Broken::is_noted);
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
  auto rows = segment::judge_of(segment_id)
                  .explain(profile_id, traits, GetCurrentTransactionStartTimestamp(), session);
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

namespace {

// Everybody about whom something had happened or been said by then, with their traits of then.
const char kPeopleAt[] =
    "SELECT p.profile_id, coalesce(t.traits, '{}')::text FROM cdp.profiles AS p LEFT JOIN ("
    "SELECT n.profile_id, jsonb_object_agg(n.key, n.value) FILTER (WHERE n.value <> 'null') AS traits FROM ("
    "SELECT DISTINCT ON (i.profile_id, v.key) i.profile_id, v.key, v.value FROM cdp.assertions AS a "
    "JOIN cdp.identifiers AS i USING (identifier_id) CROSS JOIN LATERAL jsonb_each(a.traits) AS v "
    "WHERE a.type = 'identify' AND a.asserted_at <= $1 "
    "ORDER BY i.profile_id, v.key, a.asserted_at DESC, a.decision_seq DESC) AS n GROUP BY n.profile_id) AS t "
    "USING (profile_id) WHERE EXISTS (SELECT FROM cdp.identifiers AS i WHERE i.profile_id = p.profile_id AND "
    "("
    "EXISTS (SELECT FROM cdp.event_records AS r WHERE r.identifier_id = i.identifier_id AND r.occurred_at <= "
    "$1) "
    "OR EXISTS (SELECT FROM cdp.assertions AS a WHERE a.identifier_id = i.identifier_id AND a.asserted_at <= "
    "$1)))";

} // namespace

// Who a segment would have had at an instant, by all that is known today. Writes nothing.
CDP_FUNCTION(cdp_judge_segment_at) {
  static pg::Statement read(kPeopleAt);
  const core::Timestamp at = PG_GETARG_TIMESTAMPTZ(1);
  pg::call([&] { InitMaterializedSRF(fcinfo, 0); });
  auto *result = reinterpret_cast<ReturnSetInfo *>(fcinfo->resultinfo);
  pg::Session session;
  auto &judge = segment::judge_of(PG_GETARG_INT32(0));
  read.each(pg::Params().timestamp(at), [&](const pg::Rows &rows) {
    pg::check_for_interrupts();
    std::vector<segment::Step> steps;
    for (std::size_t i = 0; i < rows.size(); ++i)
      steps.push_back({rows.bigint(i, 1), segment::kAllEvents, at, rows.text(i, 2)});
    std::vector<segment::Stint> stints;
    for (const auto &step : steps)
      stints.push_back({&step, nullptr, at + 1});
    const auto ranges = judge.judge_by_sql(stints);
    for (std::size_t i = 0; i < steps.size(); ++i)
      for (const auto &range : ranges[i]) {
        Datum values[2] = {Int64GetDatum(steps[i].profile_id), 0};
        bool nulls[2] = {false, !range.key};
        pg::call([&] {
          if (range.key)
            values[1] = CStringGetTextDatum(range.key->c_str());
          tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
        });
      }
  });
  return 0;
}

// A query as a segment's owner would run it, one jsonb a row.
CDP_FUNCTION(cdp_query_as_owner) {
  pg::RuleSettings settings;
  settings.owner = pg::call([&] { return NameStr(*PG_GETARG_NAME(0)); });
  settings.time_zone = pg::text_argument(fcinfo, 1);
  settings.search_path = pg::text_argument(fcinfo, 2);
  settings.datestyle = pg::text_argument(fcinfo, 3);
  settings.intervalstyle = pg::text_argument(fcinfo, 4);
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
