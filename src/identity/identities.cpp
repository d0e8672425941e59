#include "identity/identities.hpp"

#include <algorithm>
#include <set>

#include "identity/types.hpp"

namespace cdp::identity {

namespace {

std::string refusal_text(const std::vector<Refused> &refused) {
  std::string text;
  for (const auto &one : refused)
    text += (text.empty() ? "" : "; ") + one.type + " \"" + one.value.substr(0, 100) + "\": " + one.reason;
  return text;
}

// What is before the value holds no zero byte, and no value does.
void write_key(std::string &key, std::string_view type, std::string_view value, std::string_view region) {
  key.assign(type).push_back('\0');
  key.append(region).push_back('\0');
  key.append(value);
}

std::string key_of(std::string_view type, std::string_view value) {
  std::string key;
  key.reserve(type.size() + value.size() + 2);
  write_key(key, type, value, {});
  return key;
}

// Of a batch there are many identifiers, and few types.
std::set<std::string> names_of_types(const std::vector<Candidate> &candidates) {
  std::set<std::string> names;
  std::string_view last[2];
  for (const auto &candidate : candidates)
    if (candidate.fate == collect::Fate::open)
      for (const auto &raw : candidate.message.identifiers)
        if (raw.type != last[0] && raw.type != last[1]) {
          last[1] = last[0];
          last[0] = *names.insert(raw.type).first;
        }
  return names;
}

} // namespace

void Identities::expect(std::size_t candidates) {
  normalized_.reserve(2 * candidates);
  by_value_.reserve(2 * candidates);
  identifiers_.reserve(candidates / 2);
}

void Identities::know_types(const std::set<std::string> &names) {
  if (auto types = find_types(names); types != types_) {
    normalized_.clear(); // it knows of the others
    types_ = std::move(types);
  }
}

void Identities::read(std::vector<Candidate> &candidates) {
  know_types(names_of_types(candidates));
  const auto before_these = carried_.size();
  if (before_these == 0 && normalized_.bucket_count() < candidates.size())
    expect(candidates.size());
  find_pattern_blocked(candidates);
  carried_.resize(before_these + candidates.size());
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    auto &candidate = candidates[i];
    if (candidate.fate != collect::Fate::open)
      continue;
    auto &carried = carried_[before_these + i];
    const auto &raws = candidate.message.identifiers;
    carried.identifiers.reserve(raws.size());
    carried.spelt.reserve(raws.size());
    for (std::size_t own = 0; own < raws.size(); ++own) {
      const auto index = intern(raws[own].type, raws[own].value, candidate.message.region, carried.refused);
      if (!index)
        continue;
      carried.spelt.emplace_back(own, *index);
      if (auto &known = carried.identifiers; std::find(known.begin(), known.end(), *index) == known.end())
        known.push_back(*index);
    }
    if (carried.identifiers.empty()) {
      candidate.quarantine({"no_identifier", "no usable identifier is left", refusal_text(carried.refused),
                            candidate.has_own_id ? candidate.message.message_id : ""});
      continue;
    }
    put_in_order(carried.identifiers);
  }
}

bool Identities::read(const core::Outline &outline, std::vector<std::size_t> &named) {
  if (!types_)
    know_types({});
  // A new type is registered only once the text is known to be sound.
  for (const auto &raw : outline.identifiers)
    if (const auto type = types_->find(raw.type);
        type == types_->end() || !type->second.blocked_patterns.empty())
      return false;
  const auto before_these = static_cast<std::ptrdiff_t>(named.size());
  std::vector<Refused> refused; // whoever decides the line says so
  for (const auto &[type, value] : outline.identifiers)
    if (const auto index = intern(type, value, outline.region, refused);
        index && std::find(named.begin() + before_these, named.end(), *index) == named.end())
      named.push_back(*index);
  put_in_order({named.begin() + before_these, named.end()});
  return true;
}

void Identities::put_in_order(std::span<std::size_t> indexes) const {
  const auto before = [&](std::size_t a, std::size_t b) {
    return identifiers_[a].priority > identifiers_[b].priority;
  };
  if (!std::is_sorted(indexes.begin(), indexes.end(), before))
    std::stable_sort(indexes.begin(), indexes.end(), before);
}

std::vector<std::vector<collect::Name>> Identities::names(const std::vector<Candidate> &candidates) const {
  std::vector<std::vector<collect::Name>> names(candidates.size());
  for (std::size_t i = 0; i < candidates.size(); ++i)
    if (candidates[i].fate == collect::Fate::open)
      for (auto index : carried_[i].identifiers)
        names[i].emplace_back(identifiers_[index].type, identifiers_[index].value);
  return names;
}

void Identities::keep_strongest(const std::vector<Candidate> &candidates) {
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    auto &carried = carried_[i];
    if (candidates[i].fate != collect::Fate::open || candidates[i].rules->may_link ||
        carried.identifiers.size() < 2)
      continue;
    const auto strongest = carried.identifiers.front();
    for (auto index : carried.identifiers)
      if (const auto &one = identifiers_[index]; index != strongest)
        carried.refused.push_back({one.type, one.value, "source", "its source may not link identifiers"});
    carried.identifiers = {strongest};
    std::erase_if(carried.spelt, [&](const auto &spelt) { return spelt.second != strongest; });
  }
}

namespace {

// Of telephone numbers, which take longest, what came before is remembered from batch to batch.
core::NormalizeResult normal_of(core::Normalizer normalizer, std::string_view value,
                                std::string_view region) {
  if (normalizer != core::Normalizer::phone)
    return core::normalize(normalizer, value, region);
  constexpr std::size_t kMost = 50'000, kLongest = 50;
  static auto &known = *new std::unordered_map<std::string, core::NormalizeResult>;
  auto key = key_of(region, value);
  if (const auto one = known.find(key); one != known.end())
    return one->second;
  auto normal = core::normalize(normalizer, value, region);
  if (known.size() >= kMost)
    known.clear();
  if (value.size() <= kLongest)
    known.emplace(std::move(key), normal);
  return normal;
}

} // namespace

Identities::Spelling &Identities::normalize(std::string_view type_name, std::string_view value,
                                            std::string_view region) {
  static auto &key = *new std::string; // what it has allocated serves the next value
  write_key(key, type_name, value, region);
  if (const auto known = normalized_.find(std::string_view(key)); known != normalized_.end())
    return known->second;
  const auto &type = types_->find(type_name)->second;
  auto normal = normal_of(type.normalizer, value, region.empty() ? type.default_region : region);
  return normalized_.emplace(key, Spelling{&type, std::move(normal), std::nullopt}).first->second;
}

// Regular expressions are PostgreSQL's own: one query for all values of types that have any.
void Identities::find_pattern_blocked(const std::vector<Candidate> &candidates) {
  std::set<std::pair<std::string, std::string>> asked;
  if (std::all_of(types_->begin(), types_->end(),
                  [](const auto &named) { return named.second.blocked_patterns.empty(); }))
    return;
  for (const auto &candidate : candidates)
    if (candidate.fate == collect::Fate::open)
      for (const auto &raw : candidate.message.identifiers)
        if (!types_->at(raw.type).blocked_patterns.empty())
          if (const auto *normal = std::get_if<core::Normalized>(
                  &normalize(raw.type, raw.value, candidate.message.region).normal))
            asked.emplace(raw.type, normal->value);
  if (asked.empty())
    return;
  std::vector<std::string> types, values;
  for (const auto &[type, value] : asked) {
    types.push_back(type);
    values.push_back(value);
  }
  static pg::Statement select("SELECT w.type, w.value FROM unnest($1, $2) AS w (type, value) JOIN "
                              "cdp.identifier_types AS t USING (type) "
                              "WHERE w.value ~ ANY (t.blocked_patterns)");
  auto rows = select.run(pg::Params().texts(types).texts(values));
  for (std::size_t i = 0; i < rows.size(); ++i)
    pattern_blocked_.emplace(rows.text(i, 1), rows.text(i, 2));
}

std::optional<std::size_t> Identities::intern(std::string_view type_name, std::string_view raw,
                                              std::string_view region, std::vector<Refused> &refusals) {
  auto &spelling = normalize(type_name, raw, region);
  if (spelling.index)
    return spelling.index;
  const auto &type = *spelling.type;
  if (auto *refused = std::get_if<core::Refused>(&spelling.normal)) {
    // Junk is often not even well formed: say so, which is more useful than what is wrong with its form.
    const auto junk = blocked_reason(std::string(type_name), type, std::string(raw));
    refusals.push_back({std::string(type_name), std::string(raw), junk ? "blocked" : "invalid",
                        junk.value_or(refused->reason)});
    return std::nullopt;
  }
  const auto &value = std::get<core::Normalized>(spelling.normal).value;
  auto [place, fresh] = by_value_.try_emplace(key_of(type_name, value), identifiers_.size());
  if (!fresh)
    return spelling.index = place->second;
  auto blocked = blocked_reason(std::string(type_name), type, value);
  if (!blocked && pattern_blocked_.contains({std::string(type_name), value}))
    blocked = "it matches a blocked pattern of its type";
  if (blocked) {
    by_value_.erase(place);
    refusals.push_back({std::string(type_name), std::string(raw), "blocked", *blocked});
    return std::nullopt;
  }
  auto &identifier = identifiers_.emplace_back();
  identifier.type = type_name;
  identifier.type_index = type.index;
  identifier.priority = type.priority;
  identifier.value = value;
  identifier.name_hash = std::hash<std::string>()(place->first);
  return spelling.index = place->second;
}

void Identities::note_first_sight(const Candidate &candidate, const Carried &carried) {
  for (const auto &[own, index] : carried.spelt) {
    auto &identifier = identifiers_[index];
    if (!identifier.raw.empty())
      continue;
    identifier.raw = candidate.message.identifiers[own].value;
    if (const auto &type = types_->at(identifier.type); type.normalizer == core::Normalizer::phone)
      identifier.raw_region =
          candidate.message.region.empty() ? type.default_region : candidate.message.region;
    identifier.first_seen_at = candidate.received_at;
  }
}

std::size_t Identities::node_of(std::int64_t profile_id) {
  auto [place, fresh] = node_by_profile_.try_emplace(profile_id, fold_->size());
  if (fresh) {
    fold_->add(profile_id);
    somebody_.push_back(stored_people_.contains(profile_id));
  }
  return place->second;
}

void store_moves(const std::vector<std::pair<std::int64_t, std::int64_t>> &moves) {
  if (moves.empty())
    return;
  std::vector<std::int64_t> from, to;
  for (const auto &[loser, winner] : moves) {
    from.push_back(loser);
    to.push_back(winner);
  }
  static pg::Statement update(
      "WITH m AS MATERIALIZED (SELECT * FROM unnest($1, $2) AS m (loser, winner)), "
      "forbidden AS (UPDATE cdp.identity_decisions AS d SET "
      "  profile_id = coalesce((SELECT m.winner FROM m WHERE m.loser = d.profile_id), d.profile_id), "
      "  other_profile_id = coalesce((SELECT m.winner FROM m WHERE m.loser = d.other_profile_id), "
      "d.other_profile_id) "
      "  WHERE d.profile_id IS NOT NULL AND d.decision_id IN ("
      "    SELECT o.decision_id FROM m JOIN cdp.identity_decisions AS o ON o.profile_id = m.loser UNION ALL "
      "    SELECT o.decision_id FROM m JOIN cdp.identity_decisions AS o ON o.other_profile_id = m.loser)) "
      "UPDATE cdp.identifiers AS i SET profile_id = m.winner FROM m WHERE i.profile_id = m.loser",
      pg::few_keys);
  pg::Params params;
  params.bigints(from).bigints(to);
  update.run(params);
}

// A nobody has done nothing that a segment could ask for, so they may be with whom they joined from the
// start; all that happened to somebody is in the moves.
void Identities::store_newcomers() const {
  std::vector<std::int64_t> ids, people;
  for (const auto &one : identifiers_) {
    if (one.expected == 0)
      continue;
    auto person = one.id;
    for (auto next = added_.find(person); next != added_.end(); next = added_.find(person))
      person = next->second;
    if (person == one.expected)
      continue;
    ids.push_back(one.id);
    people.push_back(person);
  }
  if (ids.empty())
    return;
  static pg::Statement update("UPDATE cdp.identifiers AS i SET profile_id = n.person FROM unnest($1, $2) "
                              "AS n (id, person) WHERE i.identifier_id = n.id",
                              pg::few_keys);
  update.run(pg::Params().bigints(ids).bigints(people));
}

std::vector<std::int64_t> Identities::ids_of(const Carried &carried) const {
  std::vector<std::int64_t> ids;
  for (auto index : carried.identifiers)
    ids.push_back(identifiers_[index].id);
  return ids;
}

std::vector<std::int64_t> Identities::carried_ids(std::size_t candidate, std::int64_t owner) const {
  auto ids = ids_of(carried_[candidate]);
  if (ids.size() == 1 && ids.front() == owner)
    ids.clear();
  return ids;
}

Joined Identities::decide(const Candidate &candidate, std::size_t index, std::int64_t decision) {
  const auto &carried = carried_[index];
  const auto eligible = this->eligible(carried);
  std::vector<std::size_t> before;
  for (const auto &one : eligible)
    if (auto node = fold_->find(one.node); std::find(before.begin(), before.end(), node) == before.end())
      before.push_back(node);

  const auto left_out = judge(candidate, index, eligible, decision);
  Joined joined;
  joined.owner = owner_of(eligible);
  const auto known = by_id_.find(joined.owner);
  joined.person = fold_->find(known != by_id_.end() ? identifiers_[known->second].node
                                                    : node_of(profile_.at(joined.owner)));
  joined.joined = fold_->find(eligible.front().node);
  for (auto node : before) {
    const auto now = fold_->find(node);
    if (now == node)
      continue;
    const auto from = fold_->key(node), to = fold_->key(now);
    if (is_newcomer(from) && !somebody_[node] && !gathered_.contains(from)) {
      added_.emplace(from, to);
    } else {
      joined.moves.emplace_back(from, to);
      gathered_.insert(to);
    }
    if (somebody_[node])
      joined.merged.push_back(node);
    journal_.change(decision, somebody_[node] ? "merged" : "added", to, from, candidate.received_at);
    somebody_[now] = somebody_[now] || somebody_[node];
  }
  if (!somebody_[joined.person])
    journal_.change(decision, "created", fold_->key(joined.person), 0, candidate.received_at);
  somebody_[joined.person] = true;
  refuse(left_out, candidate, index, decision);
  return joined;
}

void Identities::store(const std::vector<Candidate> &candidates, const std::vector<std::int64_t> &decisions) {
  for (std::size_t i = 0; i < candidates.size(); ++i)
    if (candidates[i].fate == collect::Fate::accepted)
      for (const auto &refused : carried_[i].refused)
        journal_.refuse(refused, candidates[i], decisions[i]);
  journal_.store();
  store_users();
}

} // namespace cdp::identity
