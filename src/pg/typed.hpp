// JSON values as a column's type has them. A value that does not fit is none, and no error: one person's must
// not keep everybody else's from being read.
#pragma once
#include "pg/guard.hpp"

namespace cdp::pg {

// A type that a JSON value can become, looked up once a query; lives in the memory of whoever asks.
struct ColumnType {
  Oid type; // of an array the type of its elements
  std::int32_t modifier;
  bool is_array;
  std::int16_t length;
  bool by_value;
  char alignment;
  FmgrInfo input;
  Oid input_parameter;
};

// Fails for a type whose values are not read here. May throw PgError.
ColumnType column_type(Oid type, std::int32_t modifier, MemoryContext memory);

// False: the value does not fit, or is JSON's null. May throw PgError, of other things than the value.
bool read_value(ColumnType &type, Datum jsonb, Datum &value);

} // namespace cdp::pg
