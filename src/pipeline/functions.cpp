// The doors: one message, a batch, and quarantine's second try.
#include <algorithm>

#include "identity/identities.hpp"
#include "pipeline/ingest.hpp"
#include "pipeline/kept.hpp"

#include "pg/function.hpp"

using namespace cdp;
using collect::Fate;

namespace {

std::string jsonb_argument(FunctionCallInfo fcinfo, int number) {
  return std::string(pg::jsonb_text(
      pg::call([&] { return static_cast<void *>(PG_DETOAST_DATUM(PG_GETARG_DATUM(number))); })));
}

Datum counts(FunctionCallInfo fcinfo, const pipeline::Outcome &outcome) {
  Datum values[3] = {Int64GetDatum(outcome.count(Fate::accepted)),
                     Int64GetDatum(outcome.count(Fate::duplicate)),
                     Int64GetDatum(outcome.count(Fate::quarantined))};
  // Of the function that was called last, whose OUT parameters never change: finding them takes longer than
  // to form a row.
  static Oid known = InvalidOid;
  static TupleDesc row = nullptr;
  return pg::call([&] {
    bool nulls[3] = {false, false, false};
    if (known != fcinfo->flinfo->fn_oid) {
      TupleDesc found;
      if (get_call_result_type(fcinfo, nullptr, &found) != TYPEFUNC_COMPOSITE || found->natts != 3)
        elog(ERROR, "a row type is needed");
      known = InvalidOid;
      MemoryContext before = MemoryContextSwitchTo(TopMemoryContext);
      row = CreateTupleDescCopy(BlessTupleDesc(found));
      MemoryContextSwitchTo(before);
      known = fcinfo->flinfo->fn_oid;
    }
    return HeapTupleGetDatum(heap_form_tuple(row, values, nulls));
  });
}

// Rows of attached tables that were in quarantine are these messages now.
void follow_attached(const pipeline::Outcome &outcome) {
  std::vector<std::string> ids;
  std::vector<std::int64_t> decisions;
  for (std::size_t i = 0; i < outcome.candidates.size(); ++i)
    if (outcome.candidates[i].fate == Fate::accepted) {
      ids.push_back(outcome.candidates[i].message.message_id);
      decisions.push_back(outcome.decisions[i]);
    }
  static pg::Statement update(
      "UPDATE cdp_internal.attached_rows AS r SET decisions = r.decisions || ARRAY(SELECT n.decision_seq "
      "FROM "
      "unnest($1, $2) AS n (message_id, decision_seq) WHERE n.message_id = ANY (r.message_ids) ORDER BY 1), "
      "message_ids = nullif(ARRAY(SELECT i FROM unnest(r.message_ids) AS i WHERE i <> ALL ($1)), '{}'), "
      "former = CASE WHEN NOT r.message_ids <@ $1 THEN r.former END "
      "WHERE r.message_ids && $1",
      pg::few_keys);
  if (!ids.empty())
    update.run(pg::Params().texts(ids).bigints(decisions));
}

// cdp.ingest(messages, source text, received_at timestamptz, write_key text, import text)
Datum ingest_call(FunctionCallInfo fcinfo, std::string (*text_of)(FunctionCallInfo, int)) {
  if (PG_ARGISNULL(0))
    throw Error(ERRCODE_NULL_VALUE_NOT_ALLOWED, "messages must not be null");
  auto source = pg::text_argument(fcinfo, 1);
  if (!PG_ARGISNULL(3)) {
    pg::Session session;
    source = collect::source_of_key(pg::text_argument(fcinfo, 3), source);
  }
  std::vector<collect::Incoming> lines;
  lines.push_back({source.empty() && PG_ARGISNULL(1) ? "default" : std::move(source),
                   PG_ARGISNULL(4) ? std::nullopt : std::optional(pg::text_argument(fcinfo, 4)),
                   PG_ARGISNULL(2) ? GetCurrentTransactionStartTimestamp() : PG_GETARG_TIMESTAMPTZ(2),
                   text_of(fcinfo, 0)});
  pipeline::Outcome outcome;
  {
    pg::Session session;
    outcome = pipeline::ingest(lines);
    collect::write_quarantine(outcome.candidates, lines);
  }
  return counts(fcinfo, outcome);
}

} // namespace

CDP_FUNCTION(cdp_ingest) {
  return ingest_call(fcinfo, jsonb_argument);
}

// Of text, or of bytes of any kind.
CDP_FUNCTION(cdp_ingest_raw) {
  return ingest_call(fcinfo, pg::text_argument);
}

// cdp_internal.accept(message jsonb, source text): one message of a friendly function; refuses with an error.
CDP_FUNCTION(cdp_accept) {
  const collect::Incoming line{pg::text_argument(fcinfo, 1), std::nullopt,
                               GetCurrentTransactionStartTimestamp(), jsonb_argument(fcinfo, 0)};
  pg::Session session;
  auto outcome = pipeline::ingest({line});
  if (outcome.candidates.size() != 1)
    throw Error(ERRCODE_INTERNAL_ERROR, "one message was expected");
  const auto &one = outcome.candidates.front();
  if (one.fate == Fate::suppressed)
    PG_RETURN_NULL();
  if (one.fate == Fate::quarantined)
    throw Error(
        ERRCODE_INVALID_PARAMETER_VALUE, "message refused: " + one.refusal.reason, one.refusal.detail,
        "Messages sent with cdp.ingest() or the inbox go to cdp.quarantine instead, and the rest goes on.");
  const auto person = one.fate == Fate::accepted ? outcome.profile_ids.front() : identity::find_person(one);
  if (person == 0)
    PG_RETURN_NULL();
  PG_RETURN_INT64(person);
}

// cdp_internal.retry_quarantined(ids bigint[]): tries these again, in order; a row each, with its fate now.
CDP_FUNCTION(cdp_retry_quarantined) {
  pg::Session session;
  static pg::Statement select(
      "SELECT quarantine_id, source, import, received_at, message, pg_catalog.to_json(hashed)::text, came_as "
      "FROM cdp.quarantine "
      "WHERE quarantine_id = ANY ($1) AND resolved_at IS NULL "
      "ORDER BY quarantine_id FOR UPDATE");
  pg::Params wanted;
  wanted.datum(INT8ARRAYOID, PG_GETARG_DATUM(0));
  auto rows = select.run(wanted);
  std::vector<collect::Incoming> lines;
  for (std::size_t i = 0; i < rows.size(); ++i)
    lines.push_back(pipeline::line_put_away(rows, i));
  auto outcome = pipeline::ingest(lines);

  follow_attached(outcome);

  // A line that holds a batch is resolved when all of it is; what is still refused keeps its row, with
  // today's reason.
  std::vector<std::int64_t> ids;
  std::vector<std::string> fates, codes, reasons, details;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    ids.push_back(rows.bigint(i, 1));
    fates.emplace_back("suppressed");
    for (auto *texts : {&codes, &reasons, &details})
      texts->emplace_back();
  }
  for (const auto &one : outcome.candidates) {
    const auto i = one.incoming;
    if (one.fate == Fate::quarantined) {
      fates[i] = "quarantined";
      codes[i] = one.refusal.code;
      reasons[i] = one.refusal.reason;
      details[i] = one.refusal.detail;
    } else if (one.fate == Fate::accepted && fates[i] != "quarantined") {
      fates[i] = "accepted";
    } else if (one.fate == Fate::duplicate && fates[i] == "suppressed") {
      fates[i] = "duplicate";
    }
  }
  std::vector<bool> has_any(rows.size());
  for (const auto &one : outcome.candidates)
    has_any[one.incoming] = true;
  for (std::size_t i = 0; i < rows.size(); ++i)
    if (!has_any[i]) // an empty line
      fates[i] = "duplicate";
  static pg::Statement update(
      "UPDATE cdp.quarantine AS q SET "
      "resolved_at = CASE WHEN n.fate <> 'quarantined' THEN pg_catalog.now() END, "
      "resolution = CASE WHEN n.fate <> 'quarantined' THEN n.fate END, "
      "message = CASE WHEN n.fate = 'suppressed' THEN '' ELSE q.message END, "
      "message_id = CASE WHEN n.fate <> 'suppressed' THEN q.message_id END, "
      "code = CASE WHEN n.fate = 'quarantined' THEN n.code ELSE q.code END, "
      "reason = CASE WHEN n.fate = 'quarantined' THEN n.reason ELSE q.reason END, "
      "detail = CASE n.fate WHEN 'quarantined' THEN n.detail WHEN 'suppressed' THEN NULL ELSE q.detail END "
      "FROM unnest($1, $2, $3, $4, $5) AS n (id, fate, code, reason, detail) WHERE q.quarantine_id = n.id",
      pg::few_keys);
  pg::Params params;
  params.bigints(ids).texts(fates).texts(codes).texts(reasons).texts(details);
  update.run(params);
  PG_RETURN_INT64(static_cast<std::int64_t>(ids.size()));
}
