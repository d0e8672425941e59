#include "identity/history.hpp"

#include <algorithm>

#include "pg/spi.hpp"

namespace cdp::identity {

namespace {

SetAside set_aside_from(const std::optional<std::string> &left_out) {
  return !left_out ? SetAside::no : *left_out == "removed" ? SetAside::removed : SetAside::blocked;
}

} // namespace

std::string rule_of(SetAside why) {
  return why == SetAside::no ? "" : why == SetAside::removed ? "removed_identifier" : "blocked";
}

void Places::expect(std::int64_t largest, std::int64_t number) {
  if (largest < 8 * number + 1024)
    dense_.assign(static_cast<std::size_t>(largest) + 1, kNowhere);
}

bool Places::add(std::int64_t id, std::size_t place) {
  if (id >= 0 && static_cast<std::size_t>(id) < dense_.size()) {
    auto &known = dense_[static_cast<std::size_t>(id)];
    if (known != kNowhere)
      return false;
    known = static_cast<std::uint32_t>(place);
    return true;
  }
  return sparse_.try_emplace(id, static_cast<std::uint32_t>(place)).second;
}

std::size_t Places::at(std::int64_t id) const {
  const auto place = find(id);
  if (place == kNowhere)
    throw Error(ERRCODE_DATA_CORRUPTED, "evidence names an identifier that does not exist",
                std::to_string(id));
  return place;
}

void History::add_identifiers(const pg::Rows &rows) {
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto type = types_.find(rows.text(i, 3));
    if (type == types_.end())
      throw Error(ERRCODE_DATA_CORRUPTED, "an identifier is of a type that does not exist", rows.text(i, 3));
    if (!by_id_.add(rows.bigint(i, 1), identifiers.size()))
      continue;
    const auto left_out = set_aside_from(rows.optional_text(i, 5));
    identifiers.push_back(
        {rows.bigint(i, 1), rows.bigint(i, 2), rows.timestamp(i, 4), type->second.index, left_out, left_out});
  }
}

void History::add_evidence(const pg::Rows &rows) {
  for (std::size_t i = 0; i < rows.size(); ++i)
    evidence.push_back({rows.bigint(i, 1), rows.timestamp(i, 2), rows.boolean(i, 3), rows.bigints(i, 4),
                        rows.is_null(i, 5) ? std::vector<std::int64_t>() : rows.bigints(i, 5),
                        rows.optional_text(i, 6).value_or("")});
}

void History::add_decisions(const pg::Rows &rows) {
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto kind = rows.text(i, 2);
    const auto seq = rows.bigint(i, 5); // 0: it is being decided now, after all there is
    const Decision decision{rows.bigint(i, 1), seq == 0 ? INT64_MAX : seq, rows.bigint(i, 3),
                            rows.is_null(i, 4) ? 0 : rows.bigint(i, 4)};
    if (kind == "remove_identifier")
      set_aside_.insert(decision.one);
    else
      (kind == "allow_link" ? allowed_ : kind == "forbid_link" ? forbidden_ : removed_).push_back(decision);
  }
  const auto order = [](const Decision &decision) { return std::pair(decision.decision_seq, decision.id); };
  std::sort(allowed_.begin(), allowed_.end(),
            [&](const auto &a, const auto &b) { return order(a) < order(b); });
  allowed_.erase(std::unique(allowed_.begin(), allowed_.end(),
                             [](const auto &a, const auto &b) { return a.id == b.id; }),
                 allowed_.end());
}

// What a rule blocks, as against what a person removed, follows from the rules alone.
void History::find_blocked(const std::vector<std::int64_t> &ids, const std::vector<std::string> &values) {
  std::vector<std::int64_t> asked;
  std::vector<std::string> texts, patterns;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    auto &known = identifiers[by_id_.at(ids[i])];
    const auto type = std::find_if(types_.begin(), types_.end(),
                                   [&](const auto &named) { return named.second.index == known.type; });
    known.left_out = blocked_reason(type->first, type->second, values[i]) ? SetAside::blocked : SetAside::no;
    for (const auto &pattern : type->second.blocked_patterns) {
      asked.push_back(ids[i]);
      texts.push_back(values[i]);
      patterns.push_back(pattern);
    }
  }
  if (asked.empty())
    return;
  static pg::Statement select(
      "SELECT w.id FROM unnest($1, $2, $3) AS w (id, value, pattern) WHERE w.value ~ w.pattern");
  auto rows = select.run(pg::Params().bigints(asked).texts(texts).texts(patterns));
  for (std::size_t i = 0; i < rows.size(); ++i)
    identifiers[by_id_.at(rows.bigint(i, 1))].left_out = SetAside::blocked;
}

void History::read_everything(const std::vector<std::string> &reblocked) {
  static pg::Statement known(
      "SELECT identifier_id, profile_id, type, first_seen_at, left_out FROM cdp.identifiers");
  static pg::Statement seen(
      "SELECT decision_seq, linked_at, is_explicit, identifiers, refused, rule FROM cdp.evidence");
  static pg::Statement decided("SELECT decision_id, kind, identifier_id, other_identifier_id, decision_seq "
                               "FROM cdp.identity_decisions WHERE revoked_at IS NULL ORDER BY decision_id");
  static pg::Statement values("SELECT identifier_id, value FROM cdp.identifiers WHERE type = ANY ($1)");
  static pg::Statement size(
      "SELECT coalesce(max(identifier_id), 0), (SELECT c.reltuples::pg_catalog.int8 "
      "FROM pg_catalog.pg_class AS c WHERE c.oid = 'cdp.identifiers'::pg_catalog.regclass) "
      "FROM cdp.identifiers");
  whole_ = true;
  {
    auto rows = size.run();
    by_id_.expect(rows.bigint(0, 1), std::max<std::int64_t>(rows.bigint(0, 2), 100000));
  }
  known.each({}, [&](const pg::Rows &rows) { add_identifiers(rows); });
  seen.each({}, [&](const pg::Rows &rows) { add_evidence(rows); });
  add_decisions(decided.run());
  std::sort(evidence.begin(), evidence.end(),
            [](const auto &a, const auto &b) { return a.decision_seq < b.decision_seq; });
  if (!reblocked.empty())
    values.each(pg::Params().texts(reblocked), [&](const pg::Rows &rows) {
      std::vector<std::int64_t> ids;
      std::vector<std::string> texts;
      for (std::size_t i = 0; i < rows.size(); ++i) {
        ids.push_back(rows.bigint(i, 1));
        texts.push_back(rows.text(i, 2));
      }
      find_blocked(ids, texts);
    });
  set_aside();
}

void History::read_people(const std::vector<std::int64_t> &profile_ids) {
  static pg::Statement known("SELECT identifier_id, profile_id, type, first_seen_at, left_out, value "
                             "FROM cdp.identifiers WHERE profile_id = ANY ($1)",
                             pg::few_keys);
  static pg::Statement seen(
      "SELECT e.decision_seq, e.linked_at, e.is_explicit, e.identifiers, e.refused, e.rule FROM ("
      "  SELECT DISTINCT m.decision_seq FROM cdp.identifiers AS i JOIN cdp.evidence_members AS m USING "
      "(identifier_id) "
      "  WHERE i.profile_id = ANY ($1)) AS m JOIN cdp.evidence AS e USING (decision_seq)",
      pg::few_keys);
  static pg::Statement decided(
      "SELECT DISTINCT d.decision_id, d.kind, d.identifier_id, d.other_identifier_id, d.decision_seq FROM "
      "cdp.identifiers AS i "
      "JOIN LATERAL (SELECT * FROM cdp.identity_decisions AS d WHERE d.identifier_id = i.identifier_id "
      "  AND d.revoked_at IS NULL UNION ALL SELECT * FROM cdp.identity_decisions AS d "
      "  WHERE d.other_identifier_id = i.identifier_id AND d.revoked_at IS NULL) AS d ON true "
      "WHERE i.profile_id = ANY ($1) ORDER BY d.decision_id",
      pg::few_keys);
  pg::Params people;
  people.bigints(profile_ids);
  auto rows = known.run(people);
  add_identifiers(rows);
  std::vector<std::int64_t> ids;
  std::vector<std::string> values;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    ids.push_back(rows.bigint(i, 1));
    values.push_back(rows.text(i, 6));
  }
  find_blocked(ids, values);
  add_evidence(seen.run(people));
  std::sort(evidence.begin(), evidence.end(),
            [](const auto &a, const auto &b) { return a.decision_seq < b.decision_seq; });
  evidence.erase(std::unique(evidence.begin(), evidence.end(),
                             [](const auto &a, const auto &b) { return a.decision_seq == b.decision_seq; }),
                 evidence.end());
  add_decisions(decided.run(people));
  set_aside();
}

void History::set_aside() {
  for (auto &known : identifiers)
    if (known.left_out == SetAside::removed)
      known.left_out = SetAside::no;
  for (auto id : set_aside_)
    if (knows(id))
      identifiers[index(id)].left_out = SetAside::removed;
}

void History::start(core::IdentityFold &fold) const {
  for (const auto &known : identifiers) {
    const auto node = fold.add(known.id); // a node each, by index
    if (known.left_out == SetAside::no)
      fold.hold(node, known.id, known.type, known.first_seen_at);
  }
  for (const auto &[id, seq, one, other] : removed_)
    fold.cut(one, other);
  for (const auto &[id, seq, one, other] : forbidden_)
    if (knows(one) && knows(other))
      fold.forbid(index(one), index(other), one, other);
}

void History::allow(core::IdentityFold &fold, const Decision &decision) const {
  if (knows(decision.one) && knows(decision.other) && at(decision.one).left_out == SetAside::no &&
      at(decision.other).left_out == SetAside::no)
    fold.unite(index(decision.one), index(decision.other));
}

void History::refuse_contradictions(core::IdentityFold &fold) const {
  for (const auto &[id, seq, one, other] : forbidden_)
    if (knows(one) && knows(other) && fold.find(index(one)) == fold.find(index(other)))
      throw Error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "people's decisions contradict each other",
                  "Decision " + std::to_string(id) + " keeps apart what other decisions make one person.",
                  "See cdp.identity_decisions; take one of them back with cdp.revoke_decision.");
}

void History::judge(core::IdentityFold &fold, std::size_t place,
                    std::vector<core::IdentityFold::Carried> &eligible, Outcome &outcome) const {
  const auto &one = evidence[place];
  eligible.clear();
  for (auto id : one.identifiers) {
    const auto node = index(id);
    if (const auto &known = identifiers[node]; known.left_out == SetAside::no)
      eligible.push_back({id, node, known.type});
  }
  const bool all = eligible.size() == one.identifiers.size();
  if (eligible.empty()) {
    const auto node = index(one.identifiers.front());
    eligible.push_back({one.identifiers.front(), node, identifiers[node].type});
  }
  const auto verdict = fold.decide(eligible, one.at, one.is_explicit);
  if (all && verdict.empty() && one.refused.empty())
    return;
  std::vector<LeftOut> left_out;
  for (auto id : one.identifiers)
    if (const auto why = at(id).left_out; why != SetAside::no && id != eligible.front().id)
      left_out.push_back({id, rule_of(why), "", {}});
  for (const auto &each : verdict)
    left_out.push_back({eligible[each.index].id, to_string(each.rule), "", {}});
  Outcome::Judged judged{place, {}, left_out.empty() ? "" : rule_of(left_out)};
  for (const auto &each : left_out)
    judged.refused.push_back(each.id);
  if (judged.refused != one.refused || judged.rule != one.rule)
    outcome.changed.push_back(std::move(judged));
}

bool History::is_whole(const Evidence &one) const {
  return std::all_of(one.identifiers.begin(), one.identifiers.end(), [&](auto id) { return knows(id); });
}

void History::apply_stored(core::IdentityFold &fold, const Evidence &one) const {
  std::int64_t first = 0;
  for (auto id : one.identifiers) {
    if (!knows(id) || std::find(one.refused.begin(), one.refused.end(), id) != one.refused.end())
      continue;
    if (first != 0)
      fold.unite(index(first), index(id));
    first = id;
  }
}

Outcome History::fold() const {
  core::IdentityFold fold(rules_of(types_));
  fold.expect(identifiers.size());
  start(fold);
  Outcome outcome;
  std::vector<core::IdentityFold::Carried> eligible;
  auto allowed = allowed_.begin();
  for (std::size_t i = 0; i < evidence.size(); ++i) {
    const auto &one = evidence[i];
    for (; allowed != allowed_.end() && allowed->decision_seq < one.decision_seq; ++allowed)
      allow(fold, *allowed);
    if ((i & 1023) == 0)
      pg::check_for_interrupts();
    if (whole_ || is_whole(one))
      judge(fold, i, eligible, outcome);
    else
      apply_stored(fold, one);
  }
  for (; allowed != allowed_.end(); ++allowed)
    allow(fold, *allowed);
  refuse_contradictions(fold);
  outcome.people.reserve(identifiers.size());
  for (std::size_t i = 0; i < identifiers.size(); ++i)
    outcome.people.push_back(fold.key(fold.find(i)));
  return outcome;
}

} // namespace cdp::identity
