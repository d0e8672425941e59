// Time zones as PostgreSQL has them. May throw PgError.
#pragma once
#include "core/timestamp.hpp"

#include "pg/guard.hpp"

namespace cdp::pg {

// The instant at which clocks in the zone show what `local` says as if it were UTC: timestamp AT TIME ZONE
// zone.
core::Timestamp at_time_zone(core::Timestamp local, const std::string &zone);

} // namespace cdp::pg
