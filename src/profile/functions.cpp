// Normal forms of identifiers as SQL functions.
#include "core/normalize.hpp"

#include "pg/function.hpp"

using namespace cdp;

// cdp_internal.normalize(normalizer text, value text, region text, strict boolean)
CDP_FUNCTION(cdp_normalize) {
  if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
    PG_RETURN_NULL();
  const auto name = pg::text_argument(fcinfo, 0);
  const auto normalizer = core::normalizer_from(name);
  if (!normalizer)
    throw Error(ERRCODE_INVALID_PARAMETER_VALUE, "unknown normalizer \"" + name + "\"", {},
                "There are text, email, phone, uuid and exact.");
  const auto value = pg::text_argument(fcinfo, 1);
  auto result = core::normalize(*normalizer, value, pg::text_argument(fcinfo, 2));
  if (auto *normal = std::get_if<core::Normalized>(&result))
    return pg::text_result(normal->value);
  if (PG_ARGISNULL(3) || !PG_GETARG_BOOL(3))
    PG_RETURN_NULL();
  throw Error(ERRCODE_INVALID_PARAMETER_VALUE, "not a valid " + name + ": \"" + value.substr(0, 100) + "\"",
              std::get<core::Refused>(result).reason);
}

// cdp.normalizer_version()
CDP_FUNCTION(cdp_normalizer_version) {
  return pg::text_result(core::normalizer_version());
}
