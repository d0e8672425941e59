#include "collect/months.hpp"

namespace cdp::collect {

int max_event_age = 18'263; // 50 years: what clocks that were never set say is older
int max_event_lead = 366;

void check_times(std::vector<Candidate> &candidates) {
  for (auto &one : candidates) {
    if (one.fate != Fate::open)
      continue;
    const auto refuse = [&](const char *reason) {
      one.quarantine({"absurd_time", reason, core::format_iso8601(one.occurred_at),
                      one.has_own_id ? one.message.message_id : ""});
    };
    if (one.occurred_at < one.received_at - max_event_age * core::kMicrosPerDay)
      refuse("it happened too long before it was received, see cdp.max_event_age");
    else if (one.occurred_at > one.received_at + max_event_lead * core::kMicrosPerDay)
      refuse("it happened too long after it was received, see cdp.max_event_lead");
  }
}

bool months_wait() {
  static pg::Statement statement("SELECT CASE WHEN EXISTS (SELECT FROM cdp_months.events_other) THEN "
                                 "cdp_internal.missing_months(50000) <> '{}' "
                                 "ELSE false END");
  return statement.run().boolean(0, 1);
}

} // namespace cdp::collect
