#include "pg/typed.hpp"

#include <cmath>
#include <optional>

#include "core/timestamp.hpp"

#include "pg/pg.hpp"
extern "C" {
#include "utils/date.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"
}

namespace cdp::pg {

namespace {

// What can be wrong with a value: its spelling, its range.
bool is_of_value(int sqlstate) {
  return ERRCODE_TO_CATEGORY(sqlstate) == ERRCODE_TO_CATEGORY(ERRCODE_DATA_EXCEPTION) ||
         sqlstate == ERRCODE_FEATURE_NOT_SUPPORTED || sqlstate == ERRCODE_PROGRAM_LIMIT_EXCEEDED;
}

// The one place where an error is caught without a subtransaction: the functions called in it, the input
// functions and casts of the types below, touch nothing but memory.
template <class F> bool fits(F &&body) {
  try {
    return call(body);
  } catch (const PgError &error) {
    if (!is_of_value(error.data()->sqlerrcode))
      throw;
    FreeErrorData(error.data());
    return false;
  }
}

// `YYYY-MM-DD…` as it is written, whatever zone it is in.
std::optional<core::Timestamp> as_written(std::string_view text, Oid type) {
  if (!core::parse_iso8601(text))
    return std::nullopt;
  if (type == DATEOID)
    return core::parse_iso8601(text.substr(0, 10));
  if (type == TIMESTAMPOID && text.size() > 10) {
    const auto zone = text.find_first_of("Zz+-", 11);
    return core::parse_iso8601(text.substr(0, zone));
  }
  return core::parse_iso8601(text);
}

bool read_time(const ColumnType &type, const JsonbValue &json, Datum &value) {
  if (json.type != jbvString)
    return false;
  const auto at = as_written({json.val.string.val, static_cast<std::size_t>(json.val.string.len)}, type.type);
  if (!at)
    return false;
  if (type.type == DATEOID) // the time is midnight, so that nothing is cut
    value = DateADTGetDatum(static_cast<DateADT>(*at / core::kMicrosPerDay));
  else
    value = TimestampTzGetDatum(*at);
  return true;
}

char *text_of(const JsonbValue &json) {
  switch (json.type) {
  case jbvString:
    return pnstrdup(json.val.string.val, static_cast<Size>(json.val.string.len));
  case jbvNumeric:
    return DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(json.val.numeric)));
  case jbvBool:
    return pstrdup(json.val.boolean ? "true" : "false");
  default:
    return JsonbToCString(nullptr, json.val.binary.data, json.val.binary.len);
  }
}

Datum numeric_of(const JsonbValue &json) {
  if (json.type == jbvNumeric)
    return NumericGetDatum(json.val.numeric);
  return DirectFunctionCall3(numeric_in, CStringGetDatum(text_of(json)), ObjectIdGetDatum(InvalidOid),
                             Int32GetDatum(-1));
}

// Sums and averages of a column must survive every single value.
bool is_finite(Datum number) {
  return !numeric_is_nan(DatumGetNumeric(number)) && !numeric_is_inf(DatumGetNumeric(number));
}

bool read_number(const ColumnType &type, const JsonbValue &json, Datum &value) {
  if (json.type != jbvNumeric && json.type != jbvString)
    return false;
  const Datum number = numeric_of(json);
  if (!is_finite(number))
    return false;
  switch (type.type) {
  case NUMERICOID:
    value = DirectFunctionCall2(numeric, number, Int32GetDatum(type.modifier));
    return true;
  case FLOAT4OID:
    value = DirectFunctionCall1(numeric_float4, number);
    return true;
  case FLOAT8OID:
    value = DirectFunctionCall1(numeric_float8, number);
    return true;
  }
  if (!DatumGetBool(DirectFunctionCall2(numeric_eq, number,
                                        DirectFunctionCall2(numeric_trunc, number, Int32GetDatum(0)))))
    return false;
  value = DirectFunctionCall1(type.type == INT2OID   ? numeric_int2
                              : type.type == INT4OID ? numeric_int4
                                                     : numeric_int8,
                              number);
  return true;
}

// What is spelled out, by the type's own input function.
bool read_text(ColumnType &type, const JsonbValue &json, Datum &value) {
  const bool is_text = type.type == TEXTOID || type.type == VARCHAROID || type.type == BPCHAROID;
  if (!is_text && (json.type == jbvBinary || (json.type != jbvString && type.type != BOOLOID)))
    return false;
  value = InputFunctionCall(&type.input, text_of(json), type.input_parameter, type.modifier);
  return true;
}

bool read_scalar(ColumnType &type, const JsonbValue &json, Datum &value) {
  if (json.type == jbvNull)
    return false;
  switch (type.type) {
  case DATEOID:
  case TIMESTAMPOID:
  case TIMESTAMPTZOID:
    return read_time(type, json, value);
  case INT2OID:
  case INT4OID:
  case INT8OID:
  case NUMERICOID:
  case FLOAT4OID:
  case FLOAT8OID:
    return fits([&] { return read_number(type, json, value); });
  default:
    return fits([&] { return read_text(type, json, value); });
  }
}

bool read_array(ColumnType &type, Jsonb *json, Datum &value) {
  if (!JB_ROOT_IS_ARRAY(json) || JB_ROOT_IS_SCALAR(json))
    return false;
  const auto count = static_cast<std::size_t>(JB_ROOT_COUNT(json));
  std::vector<Datum> values(count);
  const auto nulls = std::make_unique<bool[]>(count);
  for (std::size_t i = 0; i < count; ++i) {
    const JsonbValue *element =
        call([&] { return getIthJsonbValueFromContainer(&json->root, static_cast<uint32>(i)); });
    nulls[i] = element->type == jbvNull;
    if (!nulls[i] && !read_scalar(type, *element, values[i]))
      return false;
  }
  const int size = static_cast<int>(count), first = 1;
  value = call([&] {
    return PointerGetDatum(count == 0
                               ? construct_empty_array(type.type)
                               : construct_md_array(values.data(), nulls.get(), 1, const_cast<int *>(&size),
                                                    const_cast<int *>(&first), type.type, type.length,
                                                    type.by_value, type.alignment));
  });
  return true;
}

bool is_readable(Oid type) {
  switch (type) {
  case BOOLOID:
  case INT2OID:
  case INT4OID:
  case INT8OID:
  case NUMERICOID:
  case FLOAT4OID:
  case FLOAT8OID:
  case DATEOID:
  case TIMEOID:
  case TIMESTAMPOID:
  case TIMESTAMPTZOID:
  case INTERVALOID:
  case UUIDOID:
  case INETOID:
  case TEXTOID:
  case VARCHAROID:
  case BPCHAROID:
    return true;
  }
  return false;
}

} // namespace

ColumnType column_type(Oid type, std::int32_t modifier, MemoryContext memory) {
  return call([&] {
    const Oid element = get_element_type(type);
    ColumnType found{};
    found.type = OidIsValid(element) ? element : type;
    found.modifier = modifier;
    found.is_array = OidIsValid(element);
    if (!is_readable(found.type))
      ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                      errmsg("JSON values are not read as type %s", format_type_be(type))));
    get_typlenbyvalalign(found.type, &found.length, &found.by_value, &found.alignment);
    Oid input;
    getTypeInputInfo(found.type, &input, &found.input_parameter);
    fmgr_info_cxt(input, &found.input, memory);
    return found;
  });
}

bool read_value(ColumnType &type, Datum jsonb, Datum &value) {
  Jsonb *json = call([&] { return DatumGetJsonbP(jsonb); });
  if (type.is_array)
    return read_array(type, json, value);
  JsonbValue scalar;
  if (!call([&] { return JsonbExtractScalar(&json->root, &scalar); })) {
    scalar.type = jbvBinary;
    scalar.val.binary.data = &json->root;
    scalar.val.binary.len = VARSIZE(json);
  }
  return read_scalar(type, scalar, value);
}

} // namespace cdp::pg
