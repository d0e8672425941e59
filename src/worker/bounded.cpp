// Work on schedule that runs what somebody wrote, as a whole: within cdp.refresh_timeout.
#include "pg/function.hpp"
#include "pg/spi.hpp"
#include "pg/time_budget.hpp"

// cdp_internal.within_refresh_timeout(query text): runs it, and gives it up when its time is over.
CDP_FUNCTION(cdp_within_refresh_timeout) {
  using namespace cdp;
  const auto query = pg::text_argument(fcinfo, 0);
  pg::Session session;
  pg::within_budget(
      pg::refresh_timeout_ms, [&] { pg::run_once(query); }, "cdp.refresh_timeout");
  PG_RETURN_VOID();
}
