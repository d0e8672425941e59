// Normal forms of identifiers, and the list of values that are none, as SQL functions.
#include "core/junk.hpp"
#include "core/normalize.hpp"
#include "core/text.hpp"

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
                "There are text, casefold, email, mailbox, phone, uuid, sha256, name, address and exact.");
  const auto value = pg::text_argument(fcinfo, 1);
  auto result = core::normalize(*normalizer, value, pg::text_argument(fcinfo, 2));
  if (auto *normal = std::get_if<core::Normalized>(&result))
    return pg::text_result(normal->value);
  if (PG_ARGISNULL(3) || !PG_GETARG_BOOL(3))
    PG_RETURN_NULL();
  const std::string kind = *normalizer == core::Normalizer::mailbox    ? "email"
                           : *normalizer == core::Normalizer::casefold ? "text"
                                                                       : name;
  throw Error(ERRCODE_INVALID_PARAMETER_VALUE, "not a valid " + kind + ": \"" + core::shorten(value) + "\"",
              std::get<core::Refused>(result).reason);
}

// cdp.normalizer_version()
CDP_FUNCTION(cdp_normalizer_version) {
  return pg::text_result(core::normalizer_version());
}

// cdp_internal.junk_list(): a line a row, its columns separated by tabs
CDP_FUNCTION(cdp_junk_list) {
  std::string lines;
  for (const core::JunkValue &row : core::junk_list()) {
    if (!lines.empty())
      lines += '\n';
    lines.append(row.value).append("\t").append(row.applies_to).append("\t").append(row.why);
  }
  return pg::text_result(lines);
}

// cdp.is_junk(type text, value text)
CDP_FUNCTION(cdp_is_junk) {
  const auto reason = core::junk_reason(pg::text_argument(fcinfo, 0), pg::text_argument(fcinfo, 1));
  if (!reason)
    PG_RETURN_NULL();
  return pg::text_result(*reason);
}
