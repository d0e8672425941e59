// Messages that were kept, taken anew: withdrawn and decided again, as their sources are set up now.
#include "pg/function.hpp"
#include "pipeline/kept.hpp"
#include "pipeline/withdraw.hpp"

using namespace cdp;

namespace {

struct Kept {
  std::vector<std::int64_t> decisions;
  std::vector<collect::Incoming> lines;
};

Kept kept_of(const std::vector<std::int64_t> &decisions) {
  static pg::Statement select("SELECT k.decision_seq, s.source, k.import, k.received_at, k.message, "
                              "pg_catalog.to_json(k.hashed)::text, k.came_as, k.message_id "
                              "FROM cdp.kept_messages AS k JOIN cdp.sources AS s USING (source_id) "
                              "WHERE k.decision_seq = ANY ($1) ORDER BY k.decision_seq",
                              pg::few_keys);
  auto rows = select.run(pg::Params().bigints(decisions));
  Kept kept;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    kept.decisions.push_back(rows.bigint(i, 1));
    auto &line = kept.lines.emplace_back(pipeline::line_put_away(rows, i));
    line.message_id = rows.text(i, 8);
    line.known_by = collect::KnownBy::again;
  }
  return kept;
}

// What is no more, or waits in quarantine now, may come again.
void settle(const Kept &kept, const pipeline::Outcome &outcome) {
  std::vector<std::int64_t> decided(kept.lines.size());
  std::vector<std::string> sources, message_ids;
  for (std::size_t i = 0; i < outcome.candidates.size(); ++i)
    decided[outcome.candidates[i].incoming] = outcome.decisions[i];
  for (const auto &line : kept.lines) {
    sources.push_back(line.source);
    message_ids.push_back(*line.message_id);
  }
  static pg::Statement statement("SELECT cdp_internal.settle_reprocessed($1, $2, $3, $4)");
  statement.run(pg::Params().bigints(kept.decisions).bigints(decided).texts(sources).texts(message_ids));
}

// Retention, or whoever detaches a month, may have had their people's locks first: then only traces of events
// were there to be taken, which do not come back this way.
bool took_traces(const Kept &kept) {
  static pg::Statement statement(
      "SELECT EXISTS (SELECT FROM cdp.withdrawn_messages AS m WHERE m.decision_seq = ANY ($1) "
      "AND m.kind = 'event' AND NOT EXISTS (SELECT FROM cdp.withdrawn_events AS e "
      "WHERE e.event_id = m.decision_seq))",
      pg::few_keys);
  return statement.run(pg::Params().bigints(kept.decisions)).boolean(0, 1);
}

} // namespace

// cdp_internal.reprocess(decision_seqs bigint[], reason text): how many were accepted again.
CDP_FUNCTION(cdp_reprocess) {
  pg::Session session;
  const auto kept = kept_of(pg::bigints_argument(fcinfo, 0));
  if (kept.lines.empty())
    PG_RETURN_INT64(0);
  const auto exchange = pipeline::exchange(kept.decisions, kept.lines, pg::text_argument(fcinfo, 1));
  if (exchange.taken != static_cast<std::int64_t>(kept.decisions.size()) || took_traces(kept))
    throw Error(ERRCODE_T_R_SERIALIZATION_FAILURE,
                "a message was withdrawn, or its event removed, while it was taken anew", "",
                "What is left is taken anew as it is now.");
  collect::write_quarantine(exchange.outcome.candidates, kept.lines);
  settle(kept, exchange.outcome);
  PG_RETURN_INT64(exchange.outcome.count(collect::Fate::accepted));
}
