#include "pg/rule_run.hpp"

#include "pg/function.hpp"

extern "C" {
#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "utils/acl.h"
#include "utils/rls.h"
#include "utils/syscache.h"
}
#undef printf
#undef snprintf

namespace cdp::pg {

namespace {

constexpr int kWorkMem = 64 * 1024; // in kB: at least this for what reads everybody

int rules_running = 0;

void set(const char *name, const char *value) {
  const char *now = GetConfigOption(name, false, false);
  if (!now || strcmp(now, value) != 0)
    (void)set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

std::string setting(const char *name) {
  return call([&] { return GetConfigOption(name, false, false); });
}

} // namespace

RuleSettings current_settings() {
  return {call([] { return GetUserNameFromId(GetUserId(), false); }), "UTC", setting("search_path"),
          setting("datestyle"), setting("intervalstyle")};
}

RuleSettings settings_argument(FunctionCallInfo fcinfo, int first) {
  RuleSettings settings;
  settings.owner = call([&] { return NameStr(*PG_GETARG_NAME(first)); });
  settings.time_zone = text_argument(fcinfo, first + 1);
  settings.search_path = text_argument(fcinfo, first + 2);
  settings.datestyle = text_argument(fcinfo, first + 3);
  settings.intervalstyle = text_argument(fcinfo, first + 4);
  if (!time_zone_exists(settings.time_zone))
    throw Error(ERRCODE_INVALID_PARAMETER_VALUE, "time zone \"" + settings.time_zone + "\" not recognized",
                {}, "Use a full name, such as Europe/Amsterdam; see pg_timezone_names.");
  return settings;
}

AsOwner::AsOwner(const RuleSettings &settings, Names names) : exceptions_(std::uncaught_exceptions()) {
  std::string path = names == Names::as_written ? "" : "pg_catalog";
  for (const auto *part : {settings.search_path.c_str(), "pg_temp"})
    if (*part)
      path += (path.empty() ? "" : ", ") + std::string(part);
  call([&] {
    const Oid owner = get_role_oid(settings.owner.c_str(), true);
    if (!OidIsValid(owner))
      ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
                      errmsg("role \"%s\", which owns the segment, does not exist", settings.owner.c_str())));
    GetUserIdAndSecContext(&user_, &security_);
    guc_level_ = NewGUCNestLevel();
    set("search_path", path.c_str());
    set("TimeZone", settings.time_zone.c_str());
    set("DateStyle", settings.datestyle.c_str());
    set("IntervalStyle", settings.intervalstyle.c_str());
    set("extra_float_digits", "1");
    set("bytea_output", "hex");
    // Whoever sends the message must not change what a rule means.
    set("standard_conforming_strings", "on");
    set("array_nulls", "on");
    set("transform_null_equals", "off");
    set("timezone_abbreviations", "Default");
    set("row_security", "on");
    set("xmloption", "content");
    set("quote_all_identifiers", "off");
    set("lc_time", "C");
    set("lc_numeric", "C");
    set("lc_monetary", "C");
    if (names == Names::compiled) {
      set("enable_seqscan", "off");
      set("enable_hashjoin", "off");
      set("enable_mergejoin", "off");
      set("jit", "off");
      set("max_parallel_workers_per_gather", "0");
    }
    if (names == Names::compiled_for_all) { // looking everybody up by index takes many times as long
      set("enable_nestloop", "off");
      set("jit", "off");
      if (work_mem < kWorkMem)
        set("work_mem", "64MB");
    }
    SetUserIdAndSecContext(owner, security_ | SECURITY_RESTRICTED_OPERATION | SECURITY_LOCAL_USERID_CHANGE);
  });
  ++rules_running;
}

AsOwner::~AsOwner() {
  --rules_running;
  if (std::uncaught_exceptions() != exceptions_)
    return;
  SetUserIdAndSecContext(user_, security_);
  AtEOXact_GUC(false, guc_level_); // what a rule sets must not reach the session
}

AsExtension::AsExtension(Oid function) : exceptions_(std::uncaught_exceptions()) {
  call([&] {
    HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
    if (!HeapTupleIsValid(tuple))
      elog(ERROR, "cache lookup failed for function %u", function);
    const Oid owner = reinterpret_cast<Form_pg_proc>(GETSTRUCT(tuple))->proowner;
    ReleaseSysCache(tuple);
    GetUserIdAndSecContext(&user_, &security_);
    guc_level_ = NewGUCNestLevel();
    set("search_path", "pg_catalog, pg_temp");
    SetUserIdAndSecContext(owner, security_ | SECURITY_LOCAL_USERID_CHANGE);
  });
}

AsExtension::~AsExtension() {
  if (std::uncaught_exceptions() != exceptions_)
    return;
  SetUserIdAndSecContext(user_, security_);
  AtEOXact_GUC(false, guc_level_); // what a rule sets must not reach the session
}

KeptPlan::~KeptPlan() {
  if (plan_)
    SPI_freeplan(plan_);
}

Rows KeptPlan::run(const Params &params) {
  if (!plan_)
    plan_ = call([&] {
      SPIPlanPtr plan = SPI_prepare_cursor(sql_.c_str(), static_cast<int>(params.types().size()),
                                           const_cast<Oid *>(params.types().data()), CURSOR_OPT_GENERIC_PLAN);
      if (!plan)
        elog(ERROR, "could not prepare: %s", SPI_result_code_string(SPI_result));
      SPI_keepplan(plan);
      return plan;
    });
  const int code = call([&] {
    return SPI_execute_plan(plan_, const_cast<Datum *>(params.values().data()), params.nulls().data(), false,
                            0);
  });
  if (code < 0)
    throw Error(ERRCODE_INTERNAL_ERROR, std::string("SPI failed: ") + SPI_result_code_string(code), sql_);
  return Rows(SPI_tuptable, SPI_processed);
}

bool inside_rule() {
  return rules_running > 0;
}

bool time_zone_exists(const std::string &name) {
  return call([&] {
    pg_tz *zone = pg_tzset(name.c_str());
    return zone != nullptr && pg_tz_acceptable(zone);
  });
}

namespace {

// Calls use(table) for each table that segments read.
template <class F> void each_table(F &&use) {
  call([&] {
    const Oid ours = get_namespace_oid("cdp", false);
    for (const char *table : {"event_records", "identifiers", "profiles"})
      use(get_relname_relid(table, ours), table);
  });
}

} // namespace

void need_unhidden_people() {
  each_table([](Oid table, const char *name) {
    if (check_enable_rls(table, InvalidOid, true) == RLS_ENABLED)
      ereport(
          ERROR,
          (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
           errmsg("row-level security hides rows of \"%s\" from role \"%s\"", name,
                  GetUserNameFromId(GetUserId(), false)),
           errhint("A segment by query sees what its owner sees: cdp.create_segment(name, query => …).")));
  });
}

void need_readable_people() {
  each_table([](Oid table, const char *name) {
    const AclResult may = pg_class_aclcheck(table, GetUserId(), ACL_SELECT);
    if (may != ACLCHECK_OK)
      aclcheck_error(may, OBJECT_TABLE, name);
  });
  need_unhidden_people();
}

} // namespace cdp::pg
