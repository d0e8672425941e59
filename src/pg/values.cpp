#include "pg/values.hpp"

#include <algorithm>

extern "C" {
#include "catalog/pg_collation.h"
#include "utils/numeric.h"
#include "utils/typcache.h"
}

namespace cdp::pg {

ValueType::ValueType(Oid type) : type_(type) {
  call([&] { get_typlenbyval(type, &length_, &by_value_); });
}

Datum ValueType::datum(std::string_view bytes, MemoryContext memory) const {
  if (by_value_) {
    Datum value = 0;
    memcpy(&value, bytes.data(), std::min(bytes.size(), sizeof value));
    return value;
  }
  const auto head = length_ == -1 ? static_cast<std::size_t>(VARHDRSZ) : 0;
  return call([&] {
    auto *value = static_cast<char *>(MemoryContextAlloc(memory, head + bytes.size()));
    if (head)
      SET_VARSIZE(value, head + bytes.size());
    memcpy(value + head, bytes.data(), bytes.size());
    return PointerGetDatum(value);
  });
}

std::vector<std::int32_t> ValueType::rank(std::span<const Datum> values,
                                          std::vector<std::size_t> chosen) const {
  std::vector<std::int32_t> ranks(values.size());
  call([&] {
    auto *cache = lookup_type_cache(type_, TYPECACHE_CMP_PROC_FINFO);
    const auto compare = [&](std::size_t a, std::size_t b) {
      return DatumGetInt32(
          FunctionCall2Coll(&cache->cmp_proc_finfo, DEFAULT_COLLATION_OID, values[a], values[b]));
    };
    std::sort(chosen.begin(), chosen.end(), [&](std::size_t a, std::size_t b) { return compare(a, b) < 0; });
    std::int32_t rank = 0;
    for (std::size_t i = 0; i < chosen.size(); ++i) {
      rank += i > 0 && compare(chosen[i - 1], chosen[i]) != 0;
      ranks[chosen[i]] = rank;
    }
  });
  return ranks;
}

Datum numeric_of(__int128 units, int scale) {
  for (int i = scale; i < 15; ++i)
    units /= 10;
  if (units >= INT64_MIN && units <= INT64_MAX)
    return NumericGetDatum(int64_div_fast_to_numeric(static_cast<std::int64_t>(units), scale));
  char digits[48];
  auto *at = digits + sizeof digits - 1;
  *at = 0;
  const bool negative = units < 0;
  for (int place = 0; units != 0 || place <= scale; ++place, units /= 10) {
    if (place == scale && scale > 0)
      *--at = '.';
    *--at = static_cast<char>('0' + static_cast<int>(negative ? -(units % 10) : units % 10));
  }
  if (negative)
    *--at = '-';
  return DirectFunctionCall3(numeric_in, CStringGetDatum(at), ObjectIdGetDatum(InvalidOid),
                             Int32GetDatum(-1));
}

Datum average_of(__int128 units, int scale, std::int64_t count) {
  return DirectFunctionCall2(numeric_div, numeric_of(units, scale), NumericGetDatum(int64_to_numeric(count)));
}

} // namespace cdp::pg
