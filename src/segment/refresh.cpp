#include "segment/refresh.hpp"

#include "pg/spi.hpp"

namespace cdp::segment {

void refresh(const std::vector<Judge *> &judges, Broken broken) {
  static pg::Statement note(
      "INSERT INTO cdp.segment_costs AS r (segment_id, refreshed_at, milliseconds, people, events, "
      "changed, "
      "together) SELECT u.id, now(), round($3 / 1000.0, 1), $4, CASE WHEN u.timelines = 1 THEN $5 END, $6, "
      "cardinality($1) FROM unnest($1::int4[], $2::int4[]) AS u (id, timelines) "
      "ON CONFLICT (segment_id) DO UPDATE SET refreshed_at = excluded.refreshed_at, milliseconds = "
      "excluded.milliseconds, people = excluded.people, events = excluded.events, changed = "
      "excluded.changed, "
      "together = excluded.together");
  const auto begin = GetCurrentTimestamp();
  const auto effort = evaluate_everybody(judges, GetCurrentTransactionStartTimestamp(), broken);
  std::vector<std::int32_t> segments, timelines;
  for (const Judge *judge : judges) {
    segments.push_back(judge->segment_id());
    timelines.push_back(judge->uses_timelines());
  }
  pg::Session session;
  note.run(pg::Params()
               .integers(segments)
               .integers(timelines)
               .bigint(GetCurrentTimestamp() - begin)
               .bigint(effort.people)
               .bigint(effort.events)
               .bigint(effort.changed));
}

} // namespace cdp::segment
