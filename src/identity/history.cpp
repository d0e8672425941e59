#include "identity/history.hpp"

#include <algorithm>

#include "pg/spi.hpp"

namespace cdp::identity {

namespace {

std::string rule_from(const std::optional<std::string> &left_out) {
  return !left_out ? "" : *left_out == "removed" ? "removed_identifier" : *left_out;
}

} // namespace

void History::add_identifiers(const pg::Rows &rows) {
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto type = types_.find(rows.text(i, 3));
    if (type == types_.end())
      throw Error(ERRCODE_DATA_CORRUPTED, "an identifier is of a type that does not exist", rows.text(i, 3));
    if (!by_id_.try_emplace(rows.bigint(i, 1), identifiers.size()).second)
      continue;
    auto left_out = rule_from(rows.optional_text(i, 5));
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
    known.left_out = blocked_reason(type->first, type->second, values[i]) ? "blocked" : "";
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
    identifiers[by_id_.at(rows.bigint(i, 1))].left_out = "blocked";
}

void History::read_everything(const std::vector<std::string> &reblocked) {
  static pg::Statement known(
      "SELECT identifier_id, profile_id, type, first_seen_at, left_out FROM cdp.identifiers");
  static pg::Statement seen(
      "SELECT decision_seq, linked_at, is_explicit, identifiers, refused, rule FROM cdp.evidence");
  static pg::Statement decided("SELECT decision_id, kind, identifier_id, other_identifier_id, decision_seq "
                               "FROM cdp.identity_decisions WHERE revoked_at IS NULL ORDER BY decision_id");
  static pg::Statement values("SELECT identifier_id, value FROM cdp.identifiers WHERE type = ANY ($1)");
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
    if (known.left_out == "removed_identifier")
      known.left_out.clear();
  for (auto id : set_aside_)
    if (const auto known = by_id_.find(id); known != by_id_.end())
      identifiers[known->second].left_out = "removed_identifier";
}

void History::start(core::IdentityFold &fold) const {
  for (const auto &known : identifiers) {
    const auto node = fold.add(known.id); // a node each, by index
    if (known.left_out.empty())
      fold.hold(node, known.id, known.type, known.first_seen_at);
  }
  for (const auto &[id, seq, one, other] : removed_)
    fold.cut(one, other);
  for (const auto &[id, seq, one, other] : forbidden_)
    if (knows(one) && knows(other))
      fold.forbid(index(one), index(other), one, other);
}

void History::allow(core::IdentityFold &fold, const Decision &decision) const {
  if (knows(decision.one) && knows(decision.other) && at(decision.one).left_out.empty() &&
      at(decision.other).left_out.empty())
    fold.unite(index(decision.one), index(decision.other));
}

void History::refuse_contradictions(core::IdentityFold &fold) const {
  for (const auto &[id, seq, one, other] : forbidden_)
    if (knows(one) && knows(other) && fold.find(index(one)) == fold.find(index(other)))
      throw Error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "people's decisions contradict each other",
                  "Decision " + std::to_string(id) + " keeps apart what other decisions make one person.",
                  "See cdp.identity_decisions; take one of them back with cdp.revoke_decision.");
}

void History::judge(core::IdentityFold &fold, std::size_t place, Outcome &outcome) const {
  const auto &one = evidence[place];
  std::vector<core::IdentityFold::Carried> eligible;
  Outcome::Judged judged{place, {}, ""};
  std::vector<LeftOut> left_out;
  for (auto id : one.identifiers) {
    const auto &known = at(id);
    if (known.left_out.empty())
      eligible.push_back({id, index(id), known.type});
  }
  if (eligible.empty())
    eligible.push_back(
        {one.identifiers.front(), index(one.identifiers.front()), at(one.identifiers.front()).type});
  for (auto id : one.identifiers)
    if (const auto &known = at(id); !known.left_out.empty() && id != eligible.front().id)
      left_out.push_back({id, known.left_out, "", {}});
  for (auto &each : fold.decide(eligible, one.at, one.is_explicit))
    left_out.push_back({eligible[each.index].id, to_string(each.rule), "", {}});
  for (const auto &each : left_out)
    judged.refused.push_back(each.id);
  if (!left_out.empty())
    judged.rule = rule_of(left_out);
  if (judged.refused != one.refused || judged.rule != one.rule)
    outcome.changed.push_back(std::move(judged));
}

Outcome History::fold() const {
  core::IdentityFold fold(rules_of(types_));
  start(fold);
  Outcome outcome;
  auto allowed = allowed_.begin();
  for (std::size_t i = 0; i < evidence.size(); ++i) {
    const auto &one = evidence[i];
    for (; allowed != allowed_.end() && allowed->decision_seq < one.decision_seq; ++allowed)
      allow(fold, *allowed);
    if ((i & 1023) == 0)
      pg::check_for_interrupts();
    if (std::all_of(one.identifiers.begin(), one.identifiers.end(), [&](auto id) { return knows(id); })) {
      judge(fold, i, outcome);
      continue;
    }
    std::int64_t first = 0;
    for (auto id : one.identifiers) {
      if (!knows(id) || std::find(one.refused.begin(), one.refused.end(), id) != one.refused.end())
        continue;
      if (first != 0)
        fold.unite(index(first), index(id));
      first = id;
    }
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
