// Which line of a COPY, or row of an INSERT, a line of the inbox is: counted where the statement keeps the
// function, so that another statement begins anew.
#include "pg/function.hpp"

// cdp.line_number(): 1, 2, 3, … within one statement.
CDP_FUNCTION(cdp_line_number) {
  auto *&kept = fcinfo->flinfo->fn_extra;
  if (!kept)
    kept =
        cdp::pg::call([&] { return MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(std::int64_t)); });
  PG_RETURN_INT64(++*static_cast<std::int64_t *>(kept));
}
