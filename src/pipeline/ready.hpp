// What must be there before the first message, and is made at first use rather than by the install script.
#pragma once
#include "pg/spi.hpp"

namespace cdp::pipeline {

// Keeps the segments' definitions as they are until commit, makes the database ready at first use, and
// returns its secret for public ids.
pg_uuid_t make_ready();

} // namespace cdp::pipeline
