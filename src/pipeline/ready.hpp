// What must be there before the first message, and is made at first use rather than by the install script.
#pragma once
#include "pg/spi.hpp"

namespace cdp::pipeline {

// Keeps the segments' definitions as they are until commit, makes the database ready at first use, and
// returns what finds its secret for public ids, which only new people need.
std::function<pg_uuid_t()> make_ready();

} // namespace cdp::pipeline
