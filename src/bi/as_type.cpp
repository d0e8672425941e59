// cdp_internal.as_type(value jsonb, like anyelement, modifier integer): the value of a typed column.
#include "pg/typed.hpp"

#include "pg/function.hpp"

CDP_FUNCTION(cdp_as_type) {
  using namespace cdp;
  auto *kept = static_cast<pg::ColumnType *>(fcinfo->flinfo->fn_extra);
  if (!kept) {
    const Oid type = pg::call([&] { return get_fn_expr_argtype(fcinfo->flinfo, 1); });
    const auto modifier = PG_ARGISNULL(2) ? -1 : PG_GETARG_INT32(2);
    const auto found = pg::column_type(type, modifier, fcinfo->flinfo->fn_mcxt);
    kept = pg::call([&] {
      return static_cast<pg::ColumnType *>(
          MemoryContextAlloc(fcinfo->flinfo->fn_mcxt, sizeof(pg::ColumnType)));
    });
    *kept = found;
    fcinfo->flinfo->fn_extra = kept;
  }
  Datum value = 0;
  if (!PG_ARGISNULL(0) && pg::read_value(*kept, PG_GETARG_DATUM(0), value))
    return value;
  PG_RETURN_NULL();
}
