// Which errors nobody may go on after.
#pragma once
#include "pg/pg.hpp"

namespace cdp::pg {

// Whether the error must end the statement, whatever a subtransaction would like to do about it.
bool is_end(const ErrorData &error);

} // namespace cdp::pg
