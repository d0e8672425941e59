// One fold decides what is left together with what is new: a row that says again what it said before leaves
// no trace in who is who.
#include "pipeline/withdraw.hpp"

#include <algorithm>

#include "collect/event_names.hpp"
#include "identity/identities.hpp"
#include "identity/refold.hpp"
#include "pg/function.hpp"
#include "pipeline/computed.hpp"
#include "pipeline/facts.hpp"
#include "pipeline/kept.hpp"
#include "pipeline/ready.hpp"
#include "profile/people.hpp"
#include "segment/evaluation.hpp"

namespace cdp::pipeline {

namespace {

using collect::Candidate;
using collect::Fate;
using core::Timestamp;
using Ids = std::vector<std::int64_t>;

// Identifiers that these messages named, or that own what they said.
std::set<std::int64_t> identifiers_of(const Ids &decisions) {
  static pg::Statement select(
      "SELECT DISTINCT unnest(f.identifier_id || f.carried) FROM ("
      "  SELECT r.identifier_id, r.carried FROM cdp_internal.event_traces AS r WHERE r.event_id = ANY ($1) "
      "UNION ALL "
      "  SELECT a.identifier_id, a.carried FROM cdp.assertions AS a WHERE a.decision_seq = ANY ($1)) AS f",
      pg::few_keys);
  std::set<std::int64_t> ids;
  if (decisions.empty())
    return ids;
  auto rows = select.run(pg::Params().bigints(decisions));
  for (std::size_t i = 0; i < rows.size(); ++i)
    ids.insert(rows.bigint(i, 1));
  return ids;
}

std::int64_t draw_decision() {
  static pg::Statement draw("SELECT pg_catalog.nextval('cdp.decision_seq')");
  return draw.run().bigint(0, 1);
}

class Exchanger {
public:
  Exchanger(const Ids &withdrawn, const std::vector<collect::Incoming> &lines, const std::string &reason)
      : withdrawn_(withdrawn), lines_(lines), reason_(reason), secret_(make_ready()) {
    candidates() = take_in(lines, identities_);
    identities_.name(candidates());
    result_.outcome.profile_ids.resize(candidates().size());
    result_.outcome.decisions.resize(candidates().size());
  }

  Exchange run() {
    decide();
    if (result_.taken == 0 && result_.outcome.count(Fate::accepted) == 0)
      return std::move(result_);
    store();
    return std::move(result_);
  }

private:
  std::vector<Candidate> &candidates() { return result_.outcome.candidates; }
  bool is_accepted(std::size_t i) { return candidates()[i].fate == Fate::accepted; }

  void decide();
  void take_out();
  void add_evidence();
  bool is_complete();
  void store();
  void log_refusals();
  void store_facts();
  void note_stored_later();
  std::int64_t first_of(std::size_t i, const Ids &refused);
  void prune_evidence();
  void judge(std::int64_t decision, Timestamp at);

  const Ids &withdrawn_;
  const std::vector<collect::Incoming> &lines_;
  const std::string &reason_;
  const profile::Secret secret_;
  segment::Evaluation evaluation_;
  profile::People people_;
  identity::Identities identities_;
  std::optional<identity::Refold> refold_;
  Exchange result_;
  std::set<std::int64_t> touched_;            // identifiers whose people are decided anew
  std::set<std::int64_t> taken_from_;         // those that what was taken out named
  std::vector<std::string> whole_;            // sets of identifiers all of whose messages are evidence
  std::map<std::int64_t, std::string> homes_; // evidence that repeats became, and its identifiers
};

// All or nothing: what is found on the way that more people are concerned, or more messages are evidence,
// begins anew.
void Exchanger::decide() {
  touched_ = identifiers_of(withdrawn_);
  for (std::size_t i = 0; i < candidates().size(); ++i)
    if (is_accepted(i))
      for (auto id : identities_.ids(i))
        touched_.insert(id);
  if (touched_.empty())
    return;
  const auto types = *identity::find_types({});
  while (!refold_.emplace(types).run(
      touched_, [&](const Ids &ids) { return people_.lock(ids); },
      [&] {
        take_out();
        identities_.see_again();
        result_.outcome.decisions = draw_decisions(candidates());
        add_evidence();
      },
      [&] { return is_complete(); }))
    pg::check_for_interrupts();
}

void Exchanger::take_out() {
  static pg::Statement take(
      "SELECT taken, identifiers, homes, home_sets FROM cdp_internal.take_out($1, $2, $3, $4, $5)");
  homes_.clear();
  taken_from_.clear();
  if (withdrawn_.empty())
    return;
  pg::Params params;
  params.bigints(withdrawn_).text(reason_).texts(whole_);
  identities_.add_first_sights(params);
  auto rows = take.run(params);
  result_.taken = rows.bigint(0, 1);
  for (auto id : rows.bigints(0, 2))
    taken_from_.insert(id);
  const auto homes = rows.bigints(0, 3);
  static pg::Statement list("SELECT unnest($1)");
  pg::Params sets;
  sets.datum(TEXTARRAYOID, rows.datum(0, 4));
  auto names = list.run(sets);
  for (std::size_t i = 0; i < homes.size(); ++i)
    homes_[homes[i]] = names.text(i, 1);
}

// Every message is evidence while it is decided; the repeats among them are pruned afterwards.
void Exchanger::add_evidence() {
  identity::Journal journal;
  for (std::size_t i = 0; i < candidates().size(); ++i)
    if (const auto ids = is_accepted(i) ? identities_.ids(i) : Ids(); ids.size() > 1)
      journal.add_evidence(candidates()[i], result_.outcome.decisions[i], ids, {});
  journal.store();
}

// A message that repeats refused evidence is evidence, too: see Identities::judge.
bool Exchanger::is_complete() {
  bool complete = true;
  for (auto id : taken_from_)
    complete = !touched_.insert(id).second && complete;
  for (const auto &[decision, verdict] : refold_->verdicts())
    if (const auto home = homes_.find(decision);
        home != homes_.end() && !verdict.rule.empty() && !identity::is_lasting(verdict.rule) &&
        std::find(whole_.begin(), whole_.end(), home->second) == whole_.end()) {
      whole_.push_back(home->second);
      complete = false;
    }
  return complete;
}

void Exchanger::store() {
  const auto decision = result_.decision = draw_decision();
  Timestamp at = GetCurrentTransactionStartTimestamp();
  refold_->include_everybody();
  for (auto id : refold_->before()) // nobody's instants go back
    at = std::max(at, people_.at(id).last_seen_at);
  log_refusals();
  refold_->store(decision, at, reason_);
  prune_evidence();
  store_facts();
  note_stored_later();
  judge(decision, at);
}

void Exchanger::log_refusals() {
  std::vector<identity::Identities::Left> left_out(candidates().size());
  const auto verdicts = refold_->verdicts();
  for (std::size_t i = 0; i < candidates().size(); ++i) {
    const auto found = verdicts.find(result_.outcome.decisions[i]);
    if (found == verdicts.end())
      continue;
    const auto &[evidence, refused, rule, rules] = found->second;
    const auto person = refold_->person_of(first_of(i, refused));
    for (std::size_t each = 0; each < refused.size(); ++each)
      if (refold_->person_of(refused[each]) != person) // else one person by another message
        left_out[i].emplace_back(refused[each], rules[each]);
  }
  identities_.log_refusals(candidates(), result_.outcome.decisions, left_out);
}

// The first identifier of a message that takes part.
std::int64_t Exchanger::first_of(std::size_t i, const Ids &refused) {
  for (auto id : identities_.ids(i))
    if (std::find(refused.begin(), refused.end(), id) == refused.end())
      return id;
  return identities_.ids(i).front();
}

void Exchanger::prune_evidence() {
  static pg::Statement prune(
      "WITH repeat AS (DELETE FROM cdp.evidence AS e WHERE e.decision_seq = ANY ($1) "
      "  AND coalesce(e.rule, 'sharing') IN ('sharing', 'removed_identifier', 'blocked') AND EXISTS ("
      "    SELECT FROM cdp.evidence AS o WHERE o.identifiers = e.identifiers AND o.decision_seq < "
      "e.decision_seq "
      "    AND NOT o.is_explicit AND coalesce(o.rule, 'sharing') IN ('sharing', 'removed_identifier', "
      "'blocked')) "
      "  RETURNING e.decision_seq, e.identifiers) "
      "DELETE FROM cdp.evidence_members AS m USING (SELECT r.decision_seq, unnest(r.identifiers) AS id FROM "
      "repeat AS r) AS r "
      "WHERE m.identifier_id = r.id AND m.decision_seq = r.decision_seq",
      pg::few_keys);
  Ids decisions;
  for (std::size_t i = 0; i < candidates().size(); ++i)
    if (is_accepted(i) && identities_.ids(i).size() > 1 && !identities_.must_decide(candidates()[i], i))
      decisions.push_back(result_.outcome.decisions[i]);
  if (!decisions.empty())
    prune.run(pg::Params().bigints(decisions));
}

void Exchanger::store_facts() {
  static pg::Statement find("SELECT cdp_internal.owner_of(c.ids::pg_catalog.int8[], c.seq) "
                            "FROM unnest($1, $2) WITH ORDINALITY AS c (ids, seq, place) ORDER BY c.place");
  auto &decisions = result_.outcome.decisions;
  Ids owners(candidates().size()), asked;
  std::vector<std::vector<std::int64_t>> carried(candidates().size());
  std::vector<std::string> sets;
  for (std::size_t i = 0; i < candidates().size(); ++i)
    if (is_accepted(i)) {
      const auto ids = identities_.ids(i);
      if (identities_.is_personal(i) && refold_->takes_part(ids.front())) {
        owners[i] = ids.front();
        continue;
      }
      sets.push_back(identity::array_text(ids));
      asked.push_back(decisions[i]);
    }
  if (!asked.empty()) {
    auto rows = find.run(pg::Params().texts(sets).bigints(asked));
    for (std::size_t i = 0, row = 0; i < candidates().size(); ++i)
      if (is_accepted(i) && owners[i] == 0)
        owners[i] = rows.bigint(row++, 1);
  }
  for (std::size_t i = 0; i < candidates().size(); ++i)
    if (is_accepted(i)) {
      carried[i] = identities_.carried_ids(i, owners[i]);
      refold_->include(owners[i]);
      result_.outcome.profile_ids[i] = refold_->person_of(owners[i]);
    }
  keep_messages(candidates(), lines_, decisions);
  store_events(candidates(), decisions, owners, carried);
  collect::note_event_names(candidates());
  profile::store_assertions(candidates(), decisions, owners, carried);
  if (evaluation_.any())
    show_events(candidates(), decisions, owners, evaluation_);
}

void Exchanger::note_stored_later() {
  static pg::Statement note("INSERT INTO cdp_internal.stored_later (decision_seq) SELECT unnest($1)");
  Ids later;
  for (std::size_t i = 0; i < candidates().size(); ++i)
    if (is_accepted(i) && candidates()[i].received_at < GetCurrentTransactionStartTimestamp())
      later.push_back(result_.outcome.decisions[i]);
  if (!later.empty())
    note.run(pg::Params().bigints(later));
}

void Exchanger::judge(std::int64_t decision, Timestamp at) {
  people_.refold(refold_->before(), refold_->after(), at);
  const auto touched = people_.touched();
  identity::Journal journal;
  for (auto id : touched)
    if (!people_.at(id).stored && !refold_->split_off().contains(id))
      journal.change(decision, "created", id, 0, at, {}, reason_);
  auto ended = refold_->split_off(); // whom nothing is said about any more; who was nobody is no news
  for (auto id : people_.ended())
    ended.insert(id);
  for (auto id : ended)
    if (refold_->after().contains(id) && !std::binary_search(touched.begin(), touched.end(), id))
      journal.change(decision, "ended", id, 0, at, {}, reason_);
  journal.store();
  std::vector<segment::Step> steps;
  for (auto id : touched)
    steps.push_back({id, decision, at, people_.at(id).traits()});
  for (auto id : people_.ended())
    evaluation_.end(id, at, decision);
  Computed computed(evaluation_, people_);
  computed.evaluate(std::move(steps));
  computed.finish();
  people_.store(secret_);
  evaluation_.store();
}

} // namespace

Exchange exchange(const std::vector<std::int64_t> &withdrawn, const std::vector<collect::Incoming> &lines,
                  const std::string &reason) {
  pg::need_read_committed();
  return Exchanger(withdrawn, lines, reason).run();
}

} // namespace cdp::pipeline

namespace {

std::vector<std::int64_t> ids_argument(FunctionCallInfo fcinfo, int number) {
  using namespace cdp;
  static pg::Statement list(
      "SELECT DISTINCT u.id FROM unnest($1) AS u (id) WHERE u.id IS NOT NULL ORDER BY u.id");
  std::vector<std::int64_t> ids;
  if (PG_ARGISNULL(number))
    return ids;
  pg::Params params;
  params.datum(INT8ARRAYOID, PG_GETARG_DATUM(number));
  auto rows = list.run(params);
  for (std::size_t i = 0; i < rows.size(); ++i)
    ids.push_back(rows.bigint(i, 1));
  return ids;
}

std::vector<cdp::collect::Incoming> lines_arguments(FunctionCallInfo fcinfo) {
  using namespace cdp;
  static pg::Statement list(
      "SELECT l.source, l.import, l.at, l.message, l.known_by "
      "FROM unnest($1, $2, $3, $4, $5) WITH ORDINALITY AS l (source, import, message, at, known_by, place) "
      "ORDER BY l.place");
  std::vector<collect::Incoming> lines;
  if (PG_ARGISNULL(3))
    return lines;
  pg::Params params;
  params.datum(TEXTARRAYOID, PG_GETARG_DATUM(1)).datum(TEXTARRAYOID, PG_GETARG_DATUM(2));
  params.datum(TEXTARRAYOID, PG_GETARG_DATUM(3)).datum(TIMESTAMPTZARRAYOID, PG_GETARG_DATUM(4));
  params.datum(TEXTARRAYOID, PG_GETARG_DATUM(6));
  auto rows = list.run(params);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    lines.push_back({rows.text(i, 1), rows.optional_text(i, 2), rows.timestamp(i, 3), rows.text(i, 4)});
    const auto known_by = rows.optional_text(i, 5).value_or("content");
    lines.back().known_by = known_by == "id"       ? collect::KnownBy::id
                            : known_by == "own id" ? collect::KnownBy::own_id
                                                   : collect::KnownBy::content;
  }
  return lines;
}

const char *name_of(cdp::collect::Fate fate) {
  using cdp::collect::Fate;
  return fate == Fate::accepted     ? "accepted"
         : fate == Fate::duplicate  ? "duplicate"
         : fate == Fate::suppressed ? "suppressed"
                                    : "quarantined";
}

void put_outcome(ReturnSetInfo *result, const cdp::pipeline::Outcome &outcome) {
  using namespace cdp;
  for (std::size_t i = 0; i < outcome.candidates.size(); ++i) {
    const auto &one = outcome.candidates[i];
    const auto &id = one.message.message_id.empty() ? one.refusal.message_id : one.message.message_id;
    const auto decision = outcome.decisions[i];
    pg::call([&] {
      Datum values[4] = {Int32GetDatum(static_cast<std::int32_t>(one.incoming) + 1),
                         CStringGetTextDatum(name_of(one.fate)), Int64GetDatum(decision),
                         CStringGetTextDatum(id.c_str())};
      bool nulls[4] = {false, false, decision == 0, id.empty()};
      tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
    });
  }
}

} // namespace

// cdp_internal.withdraw(decision_seqs bigint[], reason text): how many were taken out.
CDP_FUNCTION(cdp_withdraw) {
  using namespace cdp;
  pg::Session session;
  PG_RETURN_INT64(pipeline::exchange(ids_argument(fcinfo, 0), {}, pg::text_argument(fcinfo, 1)).taken);
}

// cdp_internal.exchange(withdrawn bigint[], sources text[], imports text[], messages text[], received_at
// timestamptz[], reason text, known_by text[]): (place, fate, decision_seq, message_id) a message.
CDP_FUNCTION(cdp_exchange) {
  using namespace cdp;
  pg::call([&] { InitMaterializedSRF(fcinfo, 0); });
  pg::Session session;
  const auto withdrawn = ids_argument(fcinfo, 0);
  const auto lines = lines_arguments(fcinfo);
  auto outcome = withdrawn.empty()
                     ? pipeline::ingest(lines)
                     : pipeline::exchange(withdrawn, lines, pg::text_argument(fcinfo, 5)).outcome;
  collect::write_quarantine(outcome.candidates, lines);
  put_outcome(reinterpret_cast<ReturnSetInfo *>(fcinfo->resultinfo), outcome);
  PG_RETURN_NULL();
}
