// Similarities, distances and sounds as SQL functions.
#include "core/similarity.hpp"
#include "core/text.hpp"

#include <cmath>

#include "pg/function.hpp"

using namespace cdp;

namespace {

std::size_t limit_argument(FunctionCallInfo fcinfo, int number) {
  const auto limit = PG_GETARG_INT32(number);
  if (limit < 0)
    throw Error(ERRCODE_INVALID_PARAMETER_VALUE, "max_distance is at least 0: " + std::to_string(limit));
  return static_cast<std::size_t>(limit);
}

std::size_t gram_argument(FunctionCallInfo fcinfo, int number) {
  const auto q = PG_GETARG_INT32(number);
  if (q < 1)
    throw Error(ERRCODE_INVALID_PARAMETER_VALUE, "q is at least 1: " + std::to_string(q));
  return static_cast<std::size_t>(q);
}

Datum distance_result(std::size_t distance) {
  return Int32GetDatum(static_cast<std::int32_t>(distance));
}

} // namespace

CDP_FUNCTION(cdp_jaro) {
  PG_RETURN_FLOAT8(core::jaro(pg::text_argument(fcinfo, 0), pg::text_argument(fcinfo, 1)));
}

CDP_FUNCTION(cdp_jaro_winkler) {
  PG_RETURN_FLOAT8(core::jaro_winkler(pg::text_argument(fcinfo, 0), pg::text_argument(fcinfo, 1)));
}

// (a text, b text, max_distance integer)
CDP_FUNCTION(cdp_levenshtein) {
  return distance_result(core::levenshtein(pg::text_argument(fcinfo, 0), pg::text_argument(fcinfo, 1),
                                           limit_argument(fcinfo, 2)));
}

CDP_FUNCTION(cdp_damerau_levenshtein) {
  return distance_result(core::damerau_levenshtein(pg::text_argument(fcinfo, 0), pg::text_argument(fcinfo, 1),
                                                   limit_argument(fcinfo, 2)));
}

CDP_FUNCTION(cdp_optimal_alignment) {
  return distance_result(core::optimal_alignment(pg::text_argument(fcinfo, 0), pg::text_argument(fcinfo, 1),
                                                 limit_argument(fcinfo, 2)));
}

// (a text, b text, q integer)
CDP_FUNCTION(cdp_jaccard) {
  PG_RETURN_FLOAT8(
      core::jaccard(pg::text_argument(fcinfo, 0), pg::text_argument(fcinfo, 1), gram_argument(fcinfo, 2)));
}

CDP_FUNCTION(cdp_qgram_distance) {
  return distance_result(core::qgram_distance(pg::text_argument(fcinfo, 0), pg::text_argument(fcinfo, 1),
                                              gram_argument(fcinfo, 2)));
}

// cdp.double_metaphone(value text): one or two codes, none for a text without letters
CDP_FUNCTION(cdp_double_metaphone) {
  const auto sounds = core::double_metaphone(pg::text_argument(fcinfo, 0));
  return pg::call([&] {
    Datum codes[2];
    int count = 0;
    for (const auto *code : {&sounds.first, &sounds.second})
      if (!code->empty() && (count == 0 || *code != sounds.first))
        codes[count++] =
            PointerGetDatum(cstring_to_text_with_len(code->data(), static_cast<int>(code->size())));
    return PointerGetDatum(construct_array(codes, count, TEXTOID, -1, false, TYPALIGN_INT));
  });
}

CDP_FUNCTION(cdp_cologne_phonetics) {
  return pg::text_result(core::cologne_phonetics(pg::text_argument(fcinfo, 0)));
}

// cdp.parse_date(value text, format text): NULL for what is no such date
CDP_FUNCTION(cdp_parse_date) {
  const auto format = pg::text_argument(fcinfo, 1);
  if (!core::is_date_format(format))
    throw Error(ERRCODE_INVALID_PARAMETER_VALUE, "not a format of dates: \"" + core::shorten(format) + "\"",
                {}, "There are %Y %y %m %d %j %b %B %H %M %S and %%.");
  std::int64_t seconds;
  if (!core::parse_date(pg::text_argument(fcinfo, 0), format, seconds))
    PG_RETURN_NULL();
  constexpr std::int64_t kEpochs = static_cast<std::int64_t>(POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * 86400;
  PG_RETURN_TIMESTAMP((seconds - kEpochs) * USECS_PER_SEC);
}

// cdp.relative_difference(a double precision, b double precision)
CDP_FUNCTION(cdp_relative_difference) {
  const double a = PG_GETARG_FLOAT8(0), b = PG_GETARG_FLOAT8(1);
  const double larger = std::max(std::abs(a), std::abs(b));
  PG_RETURN_FLOAT8(larger > 0 ? std::abs(a - b) / larger : 0);
}
