// The inbox: its oldest lines are decided, and deleted in the same transaction.
#include <algorithm>
#include <chrono>

#include "pipeline/ingest.hpp"

#include "pg/function.hpp"

using namespace cdp;

namespace {

using std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr std::int64_t kMostBytes = 32 << 20; // of lines decided at once

// A line costs less in a large batch. But whoever waits for a person waits for a batch: none is larger than
// what takes half a second at the pace of the one before.
class BatchSize {
public:
  std::int32_t of(std::int32_t most) const { return std::min(most, size_); }
  void learn(std::size_t lines, steady_clock::duration took) {
    if (lines < static_cast<std::size_t>(kFewest))
      return; // its pace is that of what is done once a batch
    const auto fit = 500ms * static_cast<std::int64_t>(lines) / std::max<steady_clock::duration>(took, 1ms);
    size_ = static_cast<std::int32_t>(std::clamp<std::int64_t>(fit, kFewest, kMost));
  }

private:
  static constexpr std::int32_t kFewest = 1000, kMost = 100'000;
  std::int32_t size_ = kFewest;
};

struct Oldest {
  std::vector<collect::Incoming> lines;
  std::vector<ItemPointerData> places;
};

Oldest read_oldest(std::int32_t most) {
  static pg::Statement select(
      "SELECT ctid, source, import, received_at, coalesce(message, ''), line FROM ("
      "  SELECT i.*, coalesce(pg_catalog.octet_length(message), 0) AS bytes,"
      "    pg_catalog.sum(coalesce(pg_catalog.octet_length(message), 0)) OVER (ORDER "
      "BY inbox_id ROWS UNBOUNDED PRECEDING) AS bytes_so_far"
      "  FROM (SELECT ctid, * FROM cdp.inbox ORDER BY inbox_id LIMIT $1) AS i) AS line "
      "WHERE bytes_so_far - bytes < $2 ORDER BY inbox_id");
  auto rows = select.run(pg::Params().integer(most).bigint(kMostBytes));
  Oldest oldest;
  oldest.lines.reserve(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    oldest.places.push_back(*reinterpret_cast<ItemPointer>(DatumGetPointer(rows.datum(i, 1))));
    oldest.lines.push_back(
        {rows.text(i, 2), rows.optional_text(i, 3), rows.timestamp(i, 4), rows.text(i, 5)});
    if (!rows.is_null(i, 6))
      oldest.lines.back().line = rows.bigint(i, 6);
  }
  return oldest;
}

// Where they were read: else an index would be searched for each.
void erase(const std::vector<ItemPointerData> &places) {
  static pg::Statement statement("DELETE FROM cdp.inbox WHERE ctid = ANY ($1)");
  std::vector<Datum> values(places.size());
  for (std::size_t i = 0; i < places.size(); ++i)
    values[i] = PointerGetDatum(&places[i]);
  pg::Params params;
  params.datum(TIDARRAYOID, pg::call([&] {
                 return PointerGetDatum(construct_array(values.data(), static_cast<int>(values.size()),
                                                        TIDOID, sizeof(ItemPointerData), false,
                                                        TYPALIGN_SHORT));
               }));
  if (statement.run(params).size() != places.size())
    throw Error(ERRCODE_T_R_SERIALIZATION_FAILURE, "a line of the inbox was changed while it was decided", "",
                "It is decided again as it is now.");
}

} // namespace

// cdp_internal.drain_inbox(most integer): decides the oldest lines of the inbox; how many.
CDP_FUNCTION(cdp_drain_inbox) {
  static BatchSize size;
  const auto began = steady_clock::now();
  pg::Session session;
  pg::run_once("SELECT cdp_internal.take_turn('cdp.inbox')");
  const auto oldest = read_oldest(size.of(PG_GETARG_INT32(0)));
  if (oldest.lines.empty())
    PG_RETURN_INT64(0);
  auto outcome = pipeline::ingest(oldest.lines);
  collect::write_quarantine(outcome.candidates, oldest.lines);
  erase(oldest.places);
  size.learn(oldest.lines.size(), steady_clock::now() - began);
  PG_RETURN_INT64(static_cast<std::int64_t>(oldest.lines.size()));
}
