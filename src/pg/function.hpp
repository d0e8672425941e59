// Arguments and results of SQL-callable functions. May throw PgError.
#pragma once
#include <algorithm>
#include <span>

#include "pg/guard.hpp"

namespace cdp::pg {

// A text argument as an owned string; empty for NULL.
inline std::string text_argument(FunctionCallInfo fcinfo, int number) {
  if (PG_ARGISNULL(number))
    return {};
  text *value = call([&] { return PG_GETARG_TEXT_PP(number); });
  return {VARDATA_ANY(value), static_cast<std::size_t>(VARSIZE_ANY_EXHDR(value))};
}

// An array of numbers without nulls, of the element type of Number; empty for NULL.
template <typename Number, Oid element>
std::vector<Number> numbers_argument(FunctionCallInfo fcinfo, int number) {
  if (PG_ARGISNULL(number))
    return {};
  ArrayType *array = call([&] {
    ArrayType *plain = PG_GETARG_ARRAYTYPE_P(number);
    if (ARR_ELEMTYPE(plain) != element)
      elog(ERROR, "an array of %s was expected", format_type_be(element));
    if (array_contains_nulls(plain))
      ereport(ERROR,
              (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("an array without nulls was expected")));
    return plain;
  });
  const auto *first = reinterpret_cast<const Number *>(ARR_DATA_PTR(array));
  return {first, first + ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array))};
}

inline std::vector<std::int32_t> integers_argument(FunctionCallInfo fcinfo, int number) {
  return numbers_argument<std::int32_t, INT4OID>(fcinfo, number);
}

inline std::vector<std::int64_t> bigints_argument(FunctionCallInfo fcinfo, int number) {
  return numbers_argument<std::int64_t, INT8OID>(fcinfo, number);
}

// A text[] without nulls; empty for NULL.
inline std::vector<std::string> texts_argument(FunctionCallInfo fcinfo, int number) {
  std::vector<std::string> texts;
  if (PG_ARGISNULL(number))
    return texts;
  Datum *values;
  int count;
  call([&] {
    ArrayType *array = PG_GETARG_ARRAYTYPE_P(number);
    if (array_contains_nulls(array))
      ereport(ERROR,
              (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("an array without nulls was expected")));
    deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &values, nullptr, &count);
  });
  for (int i = 0; i < count; ++i) {
    const auto *value = reinterpret_cast<const text *>(DatumGetPointer(values[i]));
    texts.emplace_back(VARDATA_ANY(value), static_cast<std::size_t>(VARSIZE_ANY_EXHDR(value)));
  }
  return texts;
}

inline Datum text_result(std::string_view value) {
  return call([&] {
    return PointerGetDatum(cstring_to_text_with_len(value.data(), static_cast<int>(value.size())));
  });
}

inline Datum timestamps_result(std::span<const TimestampTz> values) {
  return call([&] {
    auto *datums = static_cast<Datum *>(palloc(values.size() * sizeof(Datum)));
    std::transform(values.begin(), values.end(), datums,
                   [](TimestampTz one) { return TimestampTzGetDatum(one); });
    return PointerGetDatum(construct_array(datums, static_cast<int>(values.size()), TIMESTAMPTZOID, 8,
                                           FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
  });
}

} // namespace cdp::pg
