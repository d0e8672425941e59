// What the registry of sources asks of C++.
#include "collect/candidate.hpp"
#include "core/normalize.hpp"
#include "pg/function.hpp"

using namespace cdp;

// cdp_internal.check_plan(plan jsonb): errors say what is wrong, and where.
CDP_FUNCTION(cdp_check_plan) {
  const std::string plan(
      pg::jsonb_text(pg::call([&] { return static_cast<void *>(PG_DETOAST_DATUM(PG_GETARG_DATUM(0))); })));
  const auto compiled = core::TrackingPlan::compile(plan);
  if (const auto *fault = std::get_if<core::SchemaFault>(&compiled))
    throw Error(
        ERRCODE_INVALID_PARAMETER_VALUE, "the tracking plan cannot be used",
        (fault->place.empty() ? "The plan: " : "At " + fault->place + ": ") + fault->reason + ".",
        "A plan is {\"events\": {\"Order Completed\": SCHEMA}, \"pages\": {}, \"screens\": {}, \"traits\": "
        "SCHEMA, \"group_traits\": SCHEMA}; see docs/tracking_plans.md for what a schema may say.");
  PG_RETURN_VOID();
}

// cdp_internal.check_paths(paths text[])
CDP_FUNCTION(cdp_check_paths) {
  for (const auto &path : pg::texts_argument(fcinfo, 0)) {
    std::string fault;
    if (!core::Treatment::parts_of(path, fault))
      throw Error(
          ERRCODE_INVALID_PARAMETER_VALUE, "\"" + path + "\" cannot be dropped or hashed",
          "In this path " + fault + ".",
          "Paths are such as traits.birthday, properties.*.card, context.ip, userId; a dot in a name is \\.");
  }
  PG_RETURN_VOID();
}

// cdp_internal.is_region(region text)
CDP_FUNCTION(cdp_is_region) {
  PG_RETURN_BOOL(core::is_phone_region(pg::text_argument(fcinfo, 0)));
}

// cdp_internal.treated_line(source text, line text): the line as it may be stored.
CDP_FUNCTION(cdp_treated_line) {
  const collect::Incoming line{pg::text_argument(fcinfo, 0), std::nullopt, 0, pg::text_argument(fcinfo, 1)};
  std::string result = line.text;
  {
    pg::Session session;
    const collect::Sources sources({line});
    if (const auto &treatment = sources.of(line.source).rules->treatment)
      result = collect::treated_line(*treatment, line.text);
  }
  return pg::text_result(result);
}
