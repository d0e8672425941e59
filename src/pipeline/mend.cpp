#include "pipeline/mend.hpp"

#include <algorithm>

#include "identity/refold.hpp"
#include "pg/function.hpp"
#include "pipeline/computed.hpp"
#include "pipeline/ready.hpp"
#include "profile/people.hpp"
#include "segment/evaluation.hpp"

namespace cdp::pipeline {

namespace {

std::int64_t draw_decision() {
  static pg::Statement draw("SELECT pg_catalog.nextval('cdp.decision_seq')");
  return draw.run().bigint(0, 1);
}

// Identifiers about which nothing is said any more are nobody from now on.
void note_ended(const std::set<std::int64_t> &after, const std::vector<std::int64_t> &people,
                std::int64_t decision, core::Timestamp at, const std::string &reason) {
  identity::Journal journal;
  for (auto id : after)
    if (!std::binary_search(people.begin(), people.end(), id))
      journal.change(decision, "ended", id, 0, at, {}, reason);
  journal.store();
}

std::string write_decisions(const std::string &decisions) {
  static pg::Statement write("SELECT cdp_internal.write_decisions($1::pg_catalog.jsonb)::text");
  return decisions.empty() ? "" : write.run(pg::Params().text(decisions)).text(0, 1);
}

// Every decision of one call has its number.
void number_decisions(const std::string &made, std::int64_t decision) {
  static pg::Statement number("UPDATE cdp.identity_decisions SET decision_seq = $2 "
                              "WHERE decision_id = ANY ($1::pg_catalog.int8[])");
  if (!made.empty())
    number.run(pg::Params().text(made).bigint(decision));
}

} // namespace

std::int64_t mend(const std::set<std::int64_t> &identifiers, const std::string &reason, bool all,
                  const std::function<void()> &prepare, const std::function<void(std::int64_t)> &numbered) {
  pg::need_read_committed();
  const auto secret = make_ready();
  segment::Evaluation evaluation;
  profile::People people;
  identity::Refold refold(*identity::find_types({}));
  core::Timestamp at = GetCurrentTransactionStartTimestamp();
  refold.run(
      identifiers, [&](const std::vector<std::int64_t> &ids) { return people.lock(ids); }, prepare);

  const auto decision = draw_decision();
  numbered(decision);
  if (!all && !refold.changes())
    return decision;
  if (all)
    refold.include_everybody();
  for (auto id : refold.before()) // nobody's instants go back
    at = std::max(at, people.at(id).last_seen_at);
  refold.store(decision, at, reason);
  people.refold(refold.before(), refold.after(), at);
  note_ended(refold.after(), people.touched(), decision, at, reason);
  std::vector<segment::Step> steps;
  for (auto id : people.touched())
    steps.push_back({id, decision, at, people.at(id).traits()});
  for (auto id : people.ended())
    evaluation.end(id, at, decision);
  Computed computed(evaluation, people);
  computed.evaluate(std::move(steps));
  computed.finish();
  people.store(secret);
  evaluation.store();
  return decision;
}

namespace {

// The person's steps, up to now: by other rules from now on, or as they were when a value was too old.
void fold_person(profile::People &people, std::int64_t id, bool was_stale, std::int64_t decision,
                 core::Timestamp now, std::vector<segment::Step> &steps,
                 std::vector<core::OpenTraits> &open) {
  auto &person = people.at(id);
  const auto step = [&](core::Timestamp from) {
    person.touched = true;
    steps.push_back({id, decision, from, person.traits()});
    steps.back().identifiers_changed = false;
    if (people.follow_computed())
      open.push_back(person.open());
  };
  if (was_stale) {
    person.as_of = now;
    step(std::max(now, person.last_seen_at));
  } else {
    while (const auto at = people.lapse(id, now))
      step(*at);
  }
}

} // namespace

std::int64_t fold_anew(const std::vector<std::int64_t> &profile_ids) {
  pg::need_read_committed();
  const auto secret = make_ready();
  segment::Evaluation evaluation;
  profile::People people;
  const auto found = people.lock(profile_ids);
  const auto now = GetCurrentTransactionStartTimestamp();
  std::vector<std::int64_t> wanted;
  std::set<std::int64_t> stale;
  for (auto id : found) {
    if (people.at(id).is_stale())
      stale.insert(id);
    if (stale.contains(id) || people.at(id).due <= now)
      wanted.push_back(id);
  }
  if (wanted.empty())
    return 0;
  const auto decision = draw_decision();
  std::vector<segment::Step> steps;
  std::vector<core::OpenTraits> open;
  people.prepare(wanted);
  for (auto id : wanted) {
    pg::check_for_interrupts();
    fold_person(people, id, stale.contains(id), decision, now, steps, open);
  }
  Computed computed(evaluation, people);
  computed.evaluate(std::move(steps), std::move(open));
  computed.finish();
  people.store(secret);
  evaluation.store();
  return static_cast<std::int64_t>(wanted.size());
}

} // namespace cdp::pipeline

namespace {

std::set<std::int64_t> set_of_ids(FunctionCallInfo fcinfo, int number) {
  const auto ids = cdp::pg::bigints_argument(fcinfo, number);
  return {ids.begin(), ids.end()};
}

// Whom the rules, as they are applied now, would have otherwise than they are stored.
std::set<std::int64_t> people_to_mend() {
  using namespace cdp;
  const auto types = *identity::find_types({});
  std::vector<std::string> names;
  for (const auto &[name, type] : types)
    names.push_back(name);
  identity::History history(types);
  history.read_everything(names);
  const auto outcome = history.fold();
  std::set<std::int64_t> people;
  for (std::size_t i = 0; i < history.identifiers.size(); ++i)
    if (const auto &known = history.identifiers[i];
        known.profile_id != outcome.people[i] || known.left_out != known.stored_left_out)
      people.insert(known.profile_id);
  for (const auto &judged : outcome.changed)
    for (auto id : history.evidence[judged.evidence].identifiers)
      people.insert(history.at(id).profile_id);
  // Who was last on a device shared by policy latest, or shared so until now.
  static pg::Statement devices(
      "SELECT i.profile_id FROM cdp.identifiers AS i JOIN cdp.identifier_types AS t USING (type) "
      "WHERE t.sharing = 'latest' AND i.left_out IS NULL AND i.user_on_device_id IS DISTINCT FROM "
      "cdp_internal.user_on_device(i.identifier_id, 9223372036854775807) "
      "OR t.sharing IS DISTINCT FROM 'latest' AND i.user_on_device_id IS NOT NULL");
  auto rows = devices.run();
  for (std::size_t i = 0; i < rows.size(); ++i)
    people.insert(rows.bigint(i, 1));
  return people;
}

} // namespace

// cdp_internal.plan_mending(): queues the people that the rules have otherwise than they are stored; how
// many.
CDP_FUNCTION(cdp_plan_mending) {
  using namespace cdp;
  pg::Session session;
  const auto found = people_to_mend();
  const std::vector<std::int64_t> people(found.begin(), found.end());
  static pg::Statement insert(
      "INSERT INTO cdp.identity_queue (profile_id) SELECT unnest($1) ON CONFLICT DO NOTHING");
  insert.run(pg::Params().bigints(people));
  PG_RETURN_INT64(static_cast<std::int64_t>(people.size()));
}

// cdp_internal.decide_anew(identifiers bigint[], reason text, everything boolean, decisions text)
CDP_FUNCTION(cdp_decide_anew) {
  using namespace cdp;
  pg::Session session;
  // Decisions are written when their people are locked: messages that move people write to the same rows.
  const auto decisions = PG_ARGISNULL(3) ? "" : pg::text_argument(fcinfo, 3);
  std::string made;
  PG_RETURN_INT64(pipeline::mend(
      set_of_ids(fcinfo, 0), PG_ARGISNULL(1) ? "" : pg::text_argument(fcinfo, 1), PG_GETARG_BOOL(2),
      [&] { made = pipeline::write_decisions(decisions); },
      [&](std::int64_t decision) { pipeline::number_decisions(made, decision); }));
}

// cdp_internal.fold_anew(profile_ids bigint[]): those whose golden traits are not what they should be; how
// many.
CDP_FUNCTION(cdp_fold_anew) {
  using namespace cdp;
  pg::Session session;
  const auto ids = set_of_ids(fcinfo, 0);
  PG_RETURN_INT64(pipeline::fold_anew({ids.begin(), ids.end()}));
}
