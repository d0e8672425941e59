#include "collect/months.hpp"

#include "pg/scan.hpp"

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

namespace {

// By an index: those that were moved to their months lie about in the table until the next VACUUM.
bool any_without_month() {
  const pg::Moment moment;
  pg::KeyScan others(moment, "cdp_months", "events_other", "events_other_occurred", {});
  bool any = !others.usable();
  if (!any)
    others.each({}, [&](const pg::Cells &) {
      any = true;
      return false;
    });
  return any;
}

} // namespace

bool months_wait() {
  static pg::Statement statement("SELECT cdp_internal.missing_months() <> '{}'");
  return any_without_month() && statement.run().boolean(0, 1);
}

} // namespace cdp::collect
