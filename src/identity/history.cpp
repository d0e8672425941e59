#include "identity/history.hpp"

#include <algorithm>

#include "pg/scan.hpp"
#include "pg/spi.hpp"

namespace cdp::identity {

namespace {

SetAside set_aside_from(std::string_view left_out) {
  return left_out == "removed" ? SetAside::removed : SetAside::blocked;
}

// Types by name, for millions of names of a few types: most differ in their length.
class TypeNames {
public:
  explicit TypeNames(const Types &types) {
    for (const auto &[name, type] : types)
      names_.emplace_back(name, type.index);
  }
  std::uint32_t index(std::string_view name) const {
    for (const auto &[known, index] : names_)
      if (known == name)
        return index;
    throw Error(ERRCODE_DATA_CORRUPTED, "an identifier is of a type that does not exist", std::string(name));
  }

private:
  std::vector<std::pair<std::string_view, std::uint32_t>> names_;
};

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

void Places::refuse(std::int64_t id) {
  throw Error(ERRCODE_DATA_CORRUPTED, "evidence names an identifier that does not exist", std::to_string(id));
}

std::int64_t *IdLists::add(std::size_t size) {
  if (size > left_) {
    const auto block = blocks_.empty() ? kFirst : std::min(2 * blocks_.back().size(), kLargest);
    left_ = std::max(size, block);
    next_ = blocks_.emplace_back(left_).data();
  }
  left_ -= size;
  return std::exchange(next_, next_ + size);
}

void History::add_identifier(std::int64_t id, std::int64_t profile_id, core::Timestamp first_seen_at,
                             std::uint32_t type, SetAside left_out) {
  if (by_id_.add(id, identifiers.size()))
    identifiers.push_back({id, profile_id, first_seen_at, type, left_out, left_out});
}

void History::add_identifiers(const pg::Rows &rows) {
  const TypeNames names(types_);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto left_out = rows.optional_text(i, 5);
    add_identifier(rows.bigint(i, 1), rows.bigint(i, 2), rows.timestamp(i, 4), names.index(rows.text(i, 3)),
                   left_out ? set_aside_from(*left_out) : SetAside::no);
  }
}

void History::scan_identifiers(const pg::Moment &moment) {
  enum { id, profile_id, first_seen_at, type, left_out };
  pg::TableScan scan(moment, "cdp", "identifiers",
                     {{"identifier_id", INT8OID},
                      {"profile_id", INT8OID},
                      {"first_seen_at", TIMESTAMPTZOID},
                      {"type", TEXTOID},
                      {"left_out", TEXTOID}});
  expect_identifiers(scan.expected_rows());
  const TypeNames names(types_);
  scan.each([&](const pg::Cells &row) {
    add_identifier(row.bigint(id), row.bigint(profile_id), row.timestamp(first_seen_at),
                   names.index(row.text(type)),
                   row.is_null(left_out) ? SetAside::no : set_aside_from(row.text(left_out)));
  });
}

void History::expect_identifiers(std::size_t about) {
  static pg::Statement largest("SELECT coalesce(max(identifier_id), 0) FROM cdp.identifiers");
  by_id_.expect(largest.run().bigint(0, 1), static_cast<std::int64_t>(std::max<std::size_t>(about, 100000)));
  identifiers.reserve(about + about / 8);
}

Ids History::keep(Ids ids) {
  auto *kept = ids_.add(ids.size());
  std::copy(ids.begin(), ids.end(), kept);
  return {kept, ids.size()};
}

std::string_view History::keep_rule(std::string_view rule) {
  const auto known = rules_.find(rule);
  return known != rules_.end() ? *known : *rules_.emplace(rule).first;
}

void History::add_evidence(const pg::Rows &rows) {
  for (std::size_t i = 0; i < rows.size(); ++i)
    evidence.push_back({rows.bigint(i, 1), rows.timestamp(i, 2), keep(rows.bigints(i, 4)),
                        rows.is_null(i, 5) ? Ids() : keep(rows.bigints(i, 5)),
                        keep_rule(rows.optional_text(i, 6).value_or("")), rows.boolean(i, 3)});
}

void History::scan_evidence(const pg::Moment &moment) {
  enum { decision_seq, linked_at, is_explicit, carried, refused, rule };
  pg::TableScan scan(moment, "cdp", "evidence",
                     {{"decision_seq", INT8OID},
                      {"linked_at", TIMESTAMPTZOID},
                      {"is_explicit", BOOLOID},
                      {"identifiers", INT8ARRAYOID},
                      {"refused", INT8ARRAYOID},
                      {"rule", TEXTOID}});
  evidence.reserve(scan.expected_rows() + scan.expected_rows() / 8);
  const auto list = [&](const pg::Cells &row, int column) {
    const auto size = row.count_bigints(column);
    auto *kept = ids_.add(size);
    row.copy_bigints(column, kept);
    return Ids(kept, size);
  };
  scan.each([&](const pg::Cells &row) {
    evidence.push_back({row.bigint(decision_seq), row.timestamp(linked_at), list(row, carried),
                        row.is_null(refused) ? Ids() : list(row, refused),
                        row.is_null(rule) ? std::string_view() : keep_rule(row.text(rule)),
                        row.boolean(is_explicit)});
  });
}

// Evidence lies in order as it was written, but for some that found room further up: only that is sorted.
void History::sort_evidence() {
  const auto earlier = [](const auto &a, const auto &b) { return a.decision_seq < b.decision_seq; };
  std::vector<Evidence> late;
  auto end = evidence.begin();
  for (const auto &one : evidence)
    if (end != evidence.begin() && earlier(one, end[-1]))
      late.push_back(one);
    else
      *end++ = one;
  std::sort(late.begin(), late.end(), earlier);
  std::copy(late.begin(), late.end(), end);
  if (!late.empty())
    std::inplace_merge(evidence.begin(), end, evidence.end(), earlier);
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

void History::block_anew(const std::vector<std::string> &types) {
  static pg::Statement values("SELECT identifier_id, value FROM cdp.identifiers WHERE type = ANY ($1)");
  values.each(pg::Params().texts(types), [&](const pg::Rows &rows) {
    std::vector<std::int64_t> ids;
    std::vector<std::string> texts;
    for (std::size_t i = 0; i < rows.size(); ++i)
      if (knows(rows.bigint(i, 1))) { // not one that came since
        ids.push_back(rows.bigint(i, 1));
        texts.push_back(rows.text(i, 2));
      }
    find_blocked(ids, texts);
  });
}

void History::read_everything(const std::vector<std::string> &reblocked) {
  static pg::Statement decided("SELECT decision_id, kind, identifier_id, other_identifier_id, decision_seq "
                               "FROM cdp.identity_decisions WHERE revoked_at IS NULL ORDER BY decision_id");
  whole_ = true;
  {
    const pg::Moment moment; // one for both: evidence names identifiers that were there before it
    scan_identifiers(moment);
    scan_evidence(moment);
  }
  sort_evidence();
  add_decisions(decided.run());
  if (!reblocked.empty())
    block_anew(reblocked);
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
  sort_evidence();
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
                    std::vector<core::IdentityFold::Carried> &room, Outcome &outcome) const {
  const auto &one = evidence[place];
  room.resize(std::max(room.size(), one.identifiers.size()));
  std::size_t number = 0;
  const auto take = [&](std::int64_t id, std::size_t node) {
    room[number++] = {id, node, identifiers[node].type};
  };
  for (auto id : one.identifiers)
    if (const auto node = index(id); identifiers[node].left_out == SetAside::no)
      take(id, node);
  const bool all = number == one.identifiers.size();
  if (number == 0)
    take(one.identifiers.front(), index(one.identifiers.front()));
  const std::span<const core::IdentityFold::Carried> eligible(room.data(), number);
  const auto verdict = fold.decide(eligible, one.at, one.is_explicit);
  if (all && verdict.empty() && one.refused.empty())
    return;
  std::vector<LeftOut> left_out;
  for (auto id : one.identifiers)
    if (const auto why = at(id).left_out; why != SetAside::no && id != eligible.front().id)
      left_out.push_back({id, rule_of(why), "", {}});
  for (const auto &each : verdict)
    left_out.push_back({eligible[each.index].id, to_string(each.rule), "", {}});
  Outcome::Judged judged{place, {}, left_out.empty() ? "" : rule_of(left_out), {}};
  for (const auto &each : left_out) {
    judged.refused.push_back(each.id);
    judged.rules.push_back(each.rule);
  }
  if (!std::ranges::equal(judged.refused, one.refused) || judged.rule != one.rule)
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

// Memory is what a fold waits for: the next decisions' places, then identifiers, then people are sent for
// while this one is at work.
void History::look_ahead(const core::IdentityFold &fold, std::size_t place) const {
  const auto with = [&](std::size_t ahead, const auto &take) {
    if (place + ahead < evidence.size())
      for (auto id : evidence[place + ahead].identifiers)
        take(id);
  };
  with(24, [&](std::int64_t id) { by_id_.expect_soon(id); });
  with(12, [&](std::int64_t id) {
    if (const auto node = by_id_.look(id)) {
      core::prefetch(&identifiers[*node]);
      fold.announce(*node);
    }
  });
  with(4, [&](std::int64_t id) {
    if (const auto node = by_id_.look(id))
      fold.announce_again(*node);
  });
}

Outcome History::fold() const {
  core::IdentityFold fold(rules_of(types_));
  fold.expect(identifiers.size());
  start(fold);
  Outcome outcome;
  std::vector<core::IdentityFold::Carried> room;
  auto allowed = allowed_.begin();
  for (std::size_t i = 0; i < evidence.size(); ++i) {
    const auto &one = evidence[i];
    for (; allowed != allowed_.end() && allowed->decision_seq < one.decision_seq; ++allowed)
      allow(fold, *allowed);
    if ((i & 1023) == 0)
      pg::check_for_interrupts();
    look_ahead(fold, i);
    if (whole_ || is_whole(one))
      judge(fold, i, room, outcome);
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
