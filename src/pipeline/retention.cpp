// Events that go, or come back, under the locks of their people, who are judged again by those that are
// there.
#include "pg/function.hpp"
#include "pipeline/mend.hpp"

#include "pg/spi.hpp"

namespace {

using namespace cdp;

struct Move {
  std::vector<std::int64_t> identifiers, events;
  core::Timestamp since, until;
  std::optional<std::string> archive;
  bool back;
};

std::int64_t write(const Move &move) {
  static pg::Statement take("SELECT cdp_internal.take_events($1, $2, $3, $4, $5)");
  static pg::Statement put("SELECT cdp_internal.put_events($1, $2, $3)");
  pg::Params params;
  params.bigints(move.identifiers).bigints(move.events);
  if (move.back)
    return put.run(params.text(*move.archive)).bigint(0, 1);
  params.timestamp(move.since).timestamp(move.until).optional_text(move.archive);
  return take.run(params).bigint(0, 1);
}

} // namespace

// cdp_internal.move_events(identifiers bigint[], events bigint[], since timestamptz, until timestamptz,
// archive text, back boolean, reason text): how many were moved.
CDP_FUNCTION(cdp_move_events) {
  pg::Session session;
  const Move move{pg::bigints_argument(fcinfo, 0),
                  pg::bigints_argument(fcinfo, 1),
                  PG_GETARG_TIMESTAMPTZ(2),
                  PG_GETARG_TIMESTAMPTZ(3),
                  PG_ARGISNULL(4) ? std::nullopt : std::optional(pg::text_argument(fcinfo, 4)),
                  PG_GETARG_BOOL(5)};
  std::int64_t moved = 0;
  pipeline::mend(
      {move.identifiers.begin(), move.identifiers.end()}, pg::text_argument(fcinfo, 6), true,
      [&] { moved = write(move); }, [](std::int64_t) {});
  PG_RETURN_INT64(moved);
}
