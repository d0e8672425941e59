#include "pipeline/ingest.hpp"

#include <algorithm>

#include "collect/event_names.hpp"
#include "collect/months.hpp"
#include "identity/identities.hpp"
#include "pg/log_ahead.hpp"
#include "pipeline/computed.hpp"
#include "pipeline/facts.hpp"
#include "pipeline/imports.hpp"
#include "pipeline/kept.hpp"
#include "pipeline/ready.hpp"
#include "profile/people.hpp"
#include "segment/evaluation.hpp"

namespace cdp::pipeline {

namespace {

using collect::Candidate;
using collect::Fate;
using core::Timestamp;

// What can be decided at once. Inside a wave nobody who is already somebody is merged, so that a person's
// identifiers, as stored, are right for all their steps; a merge starts the next wave of the people in it.
struct Wave {
  std::vector<std::pair<std::int64_t, std::int64_t>> moves;
  std::vector<segment::Step> steps;
  std::vector<core::OpenTraits> open; // at each step, where golden traits follow computed ones
};

// Whose a message is, and which identifier owns it.
struct Decided {
  std::int64_t profile_id, owner;
};

// What a message changes about its person, besides its own event.
struct Change {
  bool everything, traits, identifiers;
};

// Reads at once what was said about the people about whom something is said that rules weigh against it.
void prepare_people(const std::vector<Candidate> &candidates, const identity::Identities &identities,
                    profile::People &people) {
  if (!people.may_need_claims())
    return;
  std::vector<std::int64_t> ids;
  for (std::size_t i = 0; i < candidates.size(); ++i)
    if (const auto &one = candidates[i]; one.fate != Fate::accepted)
      continue;
    else if (const bool says = one.traits && one.message.type == core::MessageType::identify;
             says || people.follow_computed())
      for (auto id : identities.people_of(i))
        if (people.needs_claims(id, says ? pg::jsonb_text(one.traits) : "{}"))
          ids.push_back(id);
  people.prepare(ids);
}

// Decides message by message, in memory, and keeps each person's steps for the segments.
class Decider {
public:
  Decider(identity::Identities &identities, profile::People &people, segment::Evaluation &evaluation)
      : identities_(identities), people_(people), evaluation_(evaluation), computed_(evaluation, people),
        wave_of_(identities.nodes()) {}

  // What a message says goes to its person; on a shared device that may be another one than its identifiers'.
  Decided decide(const Candidate &candidate, std::size_t index, std::int64_t decision) {
    auto joined = identities_.decide(candidate, index, decision);
    const auto profile_id = identities_.profile_id(joined.person);
    for (auto node : joined.merged) {
      people_.merge(identities_.profile_id(node), identities_.profile_id(joined.joined));
      people_.at(identities_.profile_id(joined.joined)).touched = true;
    }
    auto &person = people_.at(profile_id);
    Change change{!person.stored && !person.touched, false, false};
    auto &wave = wave_for(joined);
    // What was too old before this message is so from its own instant on.
    while (const auto at = people_.lapse(profile_id, candidate.received_at))
      if (evaluation_.any())
        put(wave, person, {profile_id, decision, *at, person.traits(), false, true, nullptr, false, false});
    person.touched = true;
    person.last_seen_at = std::max(person.last_seen_at, candidate.received_at);
    const bool says = candidate.message.type == core::MessageType::identify && candidate.traits;
    if (says)
      change.traits = people_.say(profile_id, {pg::jsonb_text(candidate.traits), candidate.occurred_at,
                                               decision, candidate.source_id});

    wave.moves.insert(wave.moves.end(), joined.moves.begin(), joined.moves.end());
    if (evaluation_.any()) {
      end_merged(joined, decision);
      if (joined.merged.empty() && !joined.moves.empty() && joined.joined != joined.person)
        follow_lists(joined, candidate.received_at, decision);
      change.everything = change.everything || !joined.merged.empty();
      change.identifiers = !joined.moves.empty();
      add_step(wave, joined.person, person, decision, change);
      if (says) {
        wave.steps.back().said = candidate.traits;
        wave.steps.back().said_at = candidate.occurred_at;
      }
    }
    return {profile_id, joined.owner};
  }

  // Stores who is who, wave by wave, and evaluates the segments as each person went along.
  void store() {
    identities_.store_newcomers();
    if (!evaluation_.any()) {
      std::vector<std::pair<std::int64_t, std::int64_t>> moves;
      for (const auto &wave : waves_)
        for (const auto &[from, to] : wave.moves)
          moves.emplace_back(from, identities_.current(from));
      identity::store_moves(moves);
      return;
    }
    for (auto &wave : waves_) {
      identity::store_moves(wave.moves);
      computed_.evaluate(std::move(wave.steps), std::move(wave.open));
    }
    computed_.finish();
  }

private:
  Wave &wave_for(const identity::Joined &joined) {
    auto number = std::max(wave_of_[joined.person], wave_of_[joined.joined]);
    for (auto node : joined.merged)
      number = std::max(number, wave_of_[node]);
    if (!joined.moves.empty()) // who is nobody yet may be on a list
      ++number;
    wave_of_[joined.person] = wave_of_[joined.joined] = number;
    if (waves_.size() <= number)
      waves_.resize(number + 1);
    return waves_[number];
  }

  // People who were merged end when their new person's next step begins.
  void end_merged(const identity::Joined &joined, std::int64_t decision) {
    if (joined.merged.empty())
      return;
    auto &into = people_.at(identities_.profile_id(joined.joined));
    for (auto node : joined.merged)
      evaluation_.end(identities_.profile_id(node), into.last_seen_at, decision);
    if (joined.joined != joined.person)
      add_step(waves_[wave_of_[joined.joined]], joined.joined, into, decision, {true, true, true});
  }

  // Identifiers that were nobody's join one person, and what the message says is another's: only lists
  // notice.
  void follow_lists(const identity::Joined &joined, Timestamp at, std::int64_t decision) {
    auto &into = people_.at(identities_.profile_id(joined.joined));
    if (into.stored || into.touched)
      put(waves_[wave_of_[joined.joined]], into,
          {identities_.profile_id(joined.joined), decision, std::max(into.last_seen_at, at), into.traits(),
           false, false, nullptr, true, false});
  }

  void add_step(Wave &wave, std::size_t node, profile::Person &person, std::int64_t decision, Change change) {
    put(wave, person,
        {identities_.profile_id(node), decision, person.last_seen_at, person.traits(), change.everything,
         change.traits, nullptr, change.identifiers});
  }

  void put(Wave &wave, profile::Person &person, segment::Step step) {
    wave.steps.push_back(std::move(step));
    if (computed_.followed())
      wave.open.push_back(person.open());
  }

  identity::Identities &identities_;
  profile::People &people_;
  segment::Evaluation &evaluation_;
  Computed computed_;
  std::vector<std::size_t> wave_of_; // a node each
  std::vector<Wave> waves_;
};

} // namespace

std::int64_t Outcome::count(Fate fate) const {
  return std::count_if(candidates.begin(), candidates.end(),
                       [&](const Candidate &one) { return one.fate == fate; });
}

// Everybody takes locks in this order: segments, sources, types, message keys, identifiers, profiles.
std::vector<Candidate> take_in(const std::vector<collect::Incoming> &lines,
                               identity::Identities &identities) {
  collect::Sources sources(lines);
  auto candidates = collect::read(lines, sources);
  collect::check_times(candidates);
  collect::find_sources(candidates, lines, sources);
  identities.read(candidates);
  if (sources.any_suppressed())
    collect::suppress(candidates, identities.names(candidates));
  collect::check_sources(candidates, lines);
  check_imports(candidates, lines);
  identities.keep_strongest(candidates);
  collect::claim_keys(candidates);
  pg::write_log_ahead();
  collect::note_counts(candidates, lines);
  return candidates;
}

namespace {

// Under the locks of all people concerned.
void decide_and_store(Outcome &outcome, const std::vector<collect::Incoming> &lines,
                      identity::Identities &identities, profile::People &people,
                      segment::Evaluation &evaluation, const profile::Secret &secret) {
  const auto &candidates = outcome.candidates;
  const auto decisions = outcome.decisions = draw_decisions(candidates, lines, identities);
  std::vector<std::int64_t> owners(candidates.size());
  std::vector<std::vector<std::int64_t>> carried(candidates.size());
  prepare_people(candidates, identities, people);
  Decider decider(identities, people, evaluation);
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    if (candidates[i].fate != Fate::accepted)
      continue;
    pg::check_for_interrupts();
    const auto [profile_id, owner] = decider.decide(candidates[i], i, decisions[i]);
    outcome.profile_ids[i] = profile_id;
    owners[i] = owner;
    carried[i] = identities.carried_ids(i, owner);
  }

  note_imports(candidates, lines, decisions);
  keep_messages(candidates, lines, decisions);
  identities.store(candidates, decisions);
  store_events(candidates, decisions, owners, carried);
  pg::write_log_ahead();
  collect::note_event_names(candidates);
  profile::store_assertions(candidates, decisions, owners, carried);
  if (evaluation.any())
    show_events(candidates, decisions, owners, evaluation);
  decider.store();
  people.store(secret);
  evaluation.store();
}

} // namespace

Outcome ingest(const std::vector<collect::Incoming> &lines) {
  pg::need_read_committed();
  const auto secret = make_ready();
  segment::Evaluation evaluation;

  Outcome outcome;
  identity::Identities identities;
  identities.use_reserved(lines);
  auto &candidates = outcome.candidates = take_in(lines, identities);
  outcome.profile_ids.resize(candidates.size());
  outcome.decisions.resize(candidates.size());
  if (outcome.count(Fate::accepted) == 0) {
    note_imports(candidates, lines, outcome.decisions);
    return outcome;
  }
  profile::People people;
  identities.settle(
      candidates, [&](const std::vector<std::int64_t> &ids) { return people.lock(ids); },
      [&] { decide_and_store(outcome, lines, identities, people, evaluation, secret); });
  return outcome;
}

} // namespace cdp::pipeline
