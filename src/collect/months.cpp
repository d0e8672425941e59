#include "collect/months.hpp"

#include <chrono>

#include "collect/inbox.hpp"
#include "pg/function.hpp"
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

namespace {

constexpr std::int64_t kSampledPages = 300;

// Of pages here and there. A long line tells no more than another, and would take memory.
std::vector<Incoming> sample_inbox(std::int64_t pages) {
  static pg::Statement statement("SELECT source, received_at, message FROM cdp.inbox "
                                 "TABLESAMPLE SYSTEM (least(100, 100.0 * $1 / $2)) "
                                 "WHERE octet_length(message) < 8192");
  const auto rows = statement.run(pg::Params().bigint(kSampledPages).bigint(pages));
  std::vector<Incoming> lines;
  for (std::size_t i = 0; i < rows.size(); ++i)
    lines.push_back({rows.text(i, 1), std::nullopt, rows.timestamp(i, 2), rows.text(i, 3)});
  return lines;
}

} // namespace

std::vector<Timestamp> times_that_wait() {
  using std::chrono::steady_clock;
  using namespace std::chrono_literals;
  constexpr std::int64_t kMany = 200; // pages: fewer are soon decided
  static steady_clock::time_point pauses_until;
  if (!lines_wait() || steady_clock::now() < pauses_until)
    return {};
  static pg::Statement size("SELECT pg_relation_size('cdp.inbox') / current_setting('block_size')::bigint");
  const auto pages = size.run().bigint(0, 1);
  if (pages < kMany)
    return {};
  pauses_until = steady_clock::now() + 10s;
  const auto lines = sample_inbox(pages);
  auto candidates = read(lines, Sources(lines));
  check_times(candidates);
  std::vector<Timestamp> times;
  for (const auto &one : candidates)
    if (one.fate == Fate::open && is_event(one.message.type))
      times.push_back(one.occurred_at);
  return times;
}

} // namespace cdp::collect

// cdp_internal.times_that_wait(): when events of lines that wait occurred, if it is time to look.
CDP_FUNCTION(cdp_times_that_wait) {
  std::vector<cdp::core::Timestamp> times;
  {
    cdp::pg::Session session;
    times = cdp::collect::times_that_wait();
  }
  return cdp::pg::timestamps_result(times);
}
