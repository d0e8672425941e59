#include "identity/refold.hpp"

#include <algorithm>

#include "pg/spi.hpp"

namespace cdp::identity {

namespace {

std::vector<std::int64_t> list(const std::set<std::int64_t> &ids) {
  return {ids.begin(), ids.end()};
}

std::set<std::int64_t> people_of(const std::set<std::int64_t> &identifiers) {
  static pg::Statement select(
      "SELECT DISTINCT profile_id FROM cdp.identifiers WHERE identifier_id = ANY ($1)", pg::few_keys);
  std::set<std::int64_t> people;
  auto rows = select.run(pg::Params().bigints(list(identifiers)));
  for (std::size_t i = 0; i < rows.size(); ++i)
    people.insert(rows.bigint(i, 1));
  return people;
}

} // namespace

bool Refold::run(const std::set<std::int64_t> &identifiers, const LockProfiles &lock,
                 const std::function<void()> &prepare, const std::function<bool()> &accepts) {
  bool accepted = true;
  auto core = asked_ = identifiers;
  load(core); // without locks: whom to lock first
  // All locks or none: whoever else has to be locked may come earlier in the order of ids.
  while (!pg::try_in_subtransaction([&] {
    const auto locked = people_;
    if (!lock_whole(list(locked), lock, stored_))
      return false;
    prepare();
    load(core);
    if (!std::includes(locked.begin(), locked.end(), people_.begin(), people_.end()))
      return false;
    outcome_ = history_->fold();
    const auto drawn_in = changed_neighbours();
    core.insert(drawn_in.begin(), drawn_in.end());
    if (!drawn_in.empty())
      return false;
    accepted = !accepts || accepts();
    return accepted;
  })) {
    if (!accepted)
      return false;
    pg::check_for_interrupts();
  }
  find_changes();
  return true;
}

// Reads the people of the core with all their evidence, then their neighbours. Says who to lock.
void Refold::load(const std::set<std::int64_t> &core) {
  core_ = people_of(core);
  history_ = std::make_unique<History>(types_);
  history_->read_people(list(core_));
  std::set<std::int64_t> others;
  for (const auto &one : history_->evidence)
    for (auto id : one.identifiers)
      if (!history_->knows(id))
        others.insert(id);
  for (const auto &decision : history_->allowed())
    for (auto id : {decision.one, decision.other})
      if (!history_->knows(id))
        others.insert(id);
  people_ = core_;
  if (others.empty())
    return;
  const auto neighbours = people_of(others);
  history_->read_people(list(neighbours));
  people_.insert(neighbours.begin(), neighbours.end());
}

// Identifiers of people outside the core who come out otherwise than they are stored.
std::set<std::int64_t> Refold::changed_neighbours() const {
  std::map<std::int64_t, std::set<std::int64_t>> stored_of, found_of; // found person -> stored, and back
  for (std::size_t i = 0; i < history_->identifiers.size(); ++i) {
    const auto stored = history_->identifiers[i].profile_id, found = outcome_.people[i];
    stored_of[found].insert(stored);
    found_of[stored].insert(found);
  }
  std::set<std::int64_t> changed;
  const auto note = [&](std::int64_t profile) {
    if (!core_.contains(profile))
      changed.insert(profile);
  };
  for (const auto &[stored, found] : found_of)
    if (found.size() > 1 || *found.begin() != stored || stored_of.at(*found.begin()).size() > 1)
      note(stored);
  for (const auto &known : history_->identifiers)
    if (known.left_out != known.stored_left_out)
      note(known.profile_id);
  const auto rules = rules_of(types_);
  for (const auto &judged : outcome_.changed) {
    const auto &ids = history_->evidence[judged.evidence].identifiers;
    const bool touches_core = std::any_of(
        ids.begin(), ids.end(), [&](auto id) { return core_.contains(history_->at(id).profile_id); });
    for (auto id : ids) // another may be the last on a shared device
      if (const auto &known = history_->at(id);
          !touches_core || rules[known.type].sharing == core::Sharing::latest)
        note(known.profile_id);
  }
  return changed; // a profile id is an identifier's
}

void Refold::find_changes() {
  moved_.clear();
  flagged_.clear();
  for (std::size_t i = 0; i < history_->identifiers.size(); ++i) {
    const auto &known = history_->identifiers[i];
    if (known.profile_id != outcome_.people[i]) {
      moved_.push_back(i);
      before_.insert(known.profile_id);
      after_.insert(outcome_.people[i]);
    }
    if (known.left_out != known.stored_left_out) {
      flagged_.push_back(i);
      before_.insert(known.profile_id);
      after_.insert(outcome_.people[i]);
    }
  }
  // A person who lost identifiers is there as before, with less; one who gained some, too.
  for (std::size_t i = 0; i < history_->identifiers.size(); ++i) {
    const auto &known = history_->identifiers[i];
    if (before_.contains(known.profile_id))
      after_.insert(outcome_.people[i]);
    if (after_.contains(outcome_.people[i]))
      before_.insert(known.profile_id);
  }
}

void Refold::include_everybody() {
  for (std::size_t i = 0; i < history_->identifiers.size(); ++i)
    if (core_.contains(history_->identifiers[i].profile_id)) {
      before_.insert(history_->identifiers[i].profile_id);
      after_.insert(outcome_.people[i]);
    }
}

void Refold::include(std::int64_t identifier) {
  const auto i = history_->index(identifier);
  before_.insert(history_->identifiers[i].profile_id);
  after_.insert(outcome_.people[i]);
}

std::map<std::int64_t, Outcome::Judged> Refold::verdicts() const {
  std::map<std::int64_t, Outcome::Judged> verdicts;
  for (const auto &judged : outcome_.changed)
    verdicts[history_->evidence[judged.evidence].decision_seq] = judged;
  return verdicts;
}

void Refold::log_moves(Journal &journal, std::int64_t decision, Timestamp at, const std::string &reason) {
  std::map<std::pair<std::int64_t, std::int64_t>, std::vector<std::int64_t>> moves; // from, to
  std::set<std::int64_t> left_behind; // people some of whose identifiers stay or go elsewhere
  std::map<std::int64_t, std::int64_t> goes_to;
  for (std::size_t i = 0; i < history_->identifiers.size(); ++i) {
    const auto &known = history_->identifiers[i];
    const auto [place, first] = goes_to.emplace(known.profile_id, outcome_.people[i]);
    if (!first && place->second != outcome_.people[i])
      left_behind.insert(known.profile_id);
  }
  for (auto i : moved_)
    moves[{history_->identifiers[i].profile_id, outcome_.people[i]}].push_back(history_->identifiers[i].id);
  for (auto &[way, ids] : moves)
    std::sort(ids.begin(), ids.end());
  for (const auto &[way, ids] : moves)
    if (left_behind.contains(way.first)) {
      split_off_.insert(way.second);
      journal.change(decision, "split", way.second, way.first, at, ids, reason);
    } else { // who was nobody joins; who was somebody ends
      journal.change(decision, stored_.contains(way.first) ? "merged" : "added", way.second, way.first, at,
                     {}, reason);
    }
  for (const auto &judged : outcome_.changed) {
    const auto &one = history_->evidence[judged.evidence];
    const auto about = "decision " + std::to_string(one.decision_seq) +
                       (judged.rule.empty() ? "" : ": " + judged.rule) +
                       (reason.empty() ? "" : "; " + reason);
    journal.change(decision, judged.refused.empty() ? "linked" : "refused",
                   outcome_.people[history_->index(one.identifiers.front())], 0, at,
                   {one.identifiers.begin(), one.identifiers.end()}, about);
  }
}

void Refold::store(std::int64_t decision, Timestamp at, const std::string &reason) {
  Journal journal;
  log_moves(journal, decision, at, reason);
  journal.store();
  store_people();
  store_evidence();
  store_owners();
}

void Refold::store_people() const {
  std::vector<std::int64_t> ids, profiles;
  std::vector<std::optional<std::string>> left_out;
  std::set<std::size_t> touched(moved_.begin(), moved_.end());
  touched.insert(flagged_.begin(), flagged_.end());
  for (auto i : touched) {
    const auto &known = history_->identifiers[i];
    ids.push_back(known.id);
    profiles.push_back(outcome_.people[i]);
    left_out.push_back(known.left_out == SetAside::no        ? std::nullopt
                       : known.left_out == SetAside::blocked ? std::optional<std::string>("blocked")
                                                             : std::optional<std::string>("removed"));
  }
  if (!ids.empty()) {
    static pg::Statement update(
        "UPDATE cdp.identifiers AS i SET profile_id = n.profile, left_out = n.left_out "
        "FROM unnest($1, $2, $3) AS n (id, profile, left_out) WHERE i.identifier_id = n.id",
        pg::few_keys);
    update.run(pg::Params().bigints(ids).bigints(profiles).optional_texts(left_out));
  }
  // Whose forbidden links are, for those who ask by person.
  static pg::Statement forbidden(
      "UPDATE cdp.identity_decisions AS d SET profile_id = a.profile_id, other_profile_id = b.profile_id "
      "FROM cdp.identifiers AS a, cdp.identifiers AS b WHERE d.kind = 'forbid_link' AND d.revoked_at IS NULL "
      "AND a.identifier_id = d.identifier_id AND b.identifier_id = d.other_identifier_id "
      "AND d.decision_id IN (SELECT o.decision_id FROM cdp.identity_decisions AS o WHERE o.profile_id = ANY "
      "($1) "
      "UNION SELECT o.decision_id FROM cdp.identity_decisions AS o WHERE o.other_profile_id = ANY ($1)) "
      "AND (d.profile_id, d.other_profile_id) IS DISTINCT FROM (a.profile_id, b.profile_id)",
      pg::few_keys);
  forbidden.run(pg::Params().bigints(list(before_)));
}

void Refold::store_evidence() const {
  if (outcome_.changed.empty())
    return;
  std::vector<std::int64_t> decisions;
  std::vector<std::optional<std::string>> refused, rules;
  for (const auto &judged : outcome_.changed) {
    decisions.push_back(history_->evidence[judged.evidence].decision_seq);
    refused.push_back(optional_array(judged.refused));
    rules.push_back(judged.refused.empty() ? std::nullopt : std::optional(judged.rule));
  }
  static pg::Statement update(
      "UPDATE cdp.evidence AS e SET refused = n.refused::pg_catalog.int8[], rule = n.rule "
      "FROM unnest($1, $2, $3) AS n (seq, refused, rule) WHERE e.decision_seq = n.seq",
      pg::few_keys);
  update.run(pg::Params().bigints(decisions).optional_texts(refused).optional_texts(rules));
}

void Refold::store_owners() {
  static pg::Statement find(
      "SELECT DISTINCT i.identifier_id FROM cdp.identifiers AS i JOIN cdp.identifier_types AS t USING (type) "
      "WHERE i.identifier_id = ANY ($1) AND (t.sharing = 'latest' OR i.user_on_device_id IS NOT NULL)",
      pg::few_keys);
  static pg::Statement give("SELECT was, owner FROM cdp_internal.store_owners($1, $2, $3)");
  std::vector<std::int64_t> core, changed, devices;
  for (const auto &known : history_->identifiers)
    if (core_.contains(known.profile_id))
      core.push_back(known.id);
  for (const auto &judged : outcome_.changed) // a decision against a link counts for who was last on it
    core.insert(core.end(), history_->evidence[judged.evidence].identifiers.begin(),
                history_->evidence[judged.evidence].identifiers.end());
  for (auto i : flagged_)
    changed.push_back(history_->identifiers[i].id);
  auto rows = find.run(pg::Params().bigints(core));
  for (std::size_t i = 0; i < rows.size(); ++i)
    devices.push_back(rows.bigint(i, 1));
  if (changed.empty() && devices.empty())
    return;
  auto given = give.run(pg::Params().bigints(changed).bigints(devices).bigints(list(asked_)));
  for (std::size_t i = 0; i < given.size(); ++i)
    for (int column : {1, 2}) {
      const auto id = given.bigint(i, column);
      before_.insert(history_->at(id).profile_id);
      after_.insert(outcome_.people[history_->index(id)]);
    }
}

} // namespace cdp::identity
