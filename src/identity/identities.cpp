#include "identity/identities.hpp"

#include <algorithm>
#include <set>

#include "identity/types.hpp"

namespace cdp::identity {

namespace {

std::string refusal_text(const std::vector<RefusedIdentifier> &refused) {
  std::string text;
  for (const auto &one : refused)
    text += (text.empty() ? "" : "; ") + one.type + " \"" + one.value.substr(0, 100) + "\": " + one.reason;
  return text;
}

} // namespace

void Identities::read(std::vector<Candidate> &candidates) {
  std::set<std::string> names;
  for (const auto &candidate : candidates)
    if (candidate.fate == collect::Fate::open)
      for (const auto &raw : candidate.message.identifiers)
        names.insert(raw.type);
  types_ = find_types(names);
  carried_.resize(candidates.size());
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    auto &candidate = candidates[i];
    if (candidate.fate != collect::Fate::open)
      continue;
    auto &carried = carried_[i];
    for (const auto &raw : candidate.message.identifiers) {
      auto index = intern(raw, candidate, carried);
      if (index && std::find(carried.identifiers.begin(), carried.identifiers.end(), *index) ==
                       carried.identifiers.end())
        carried.identifiers.push_back(*index);
    }
    if (carried.identifiers.empty()) {
      candidate.quarantine({"no_identifier", "no usable identifier is left", refusal_text(carried.refused),
                            candidate.has_own_id ? candidate.message.message_id : ""});
      continue;
    }
    std::stable_sort(
        carried.identifiers.begin(), carried.identifiers.end(),
        [&](std::size_t a, std::size_t b) { return identifiers_[a].priority > identifiers_[b].priority; });
  }
}

const core::NormalizeResult &Identities::normalize(const core::RawIdentifier &raw,
                                                   const Candidate &candidate) {
  const auto &type = types_.at(raw.type);
  const auto &region = candidate.message.region.empty() ? type.default_region : candidate.message.region;
  auto [entry, is_new] = normalized_.try_emplace({raw.type, raw.value, region});
  if (is_new)
    entry->second = core::normalize(type.normalizer, raw.value, region);
  return entry->second;
}

std::optional<std::size_t> Identities::intern(const core::RawIdentifier &raw, const Candidate &candidate,
                                              Carried &carried) {
  const auto &result = normalize(raw, candidate);
  if (auto *refused = std::get_if<core::Refused>(&result)) {
    carried.refused.push_back({raw.type, raw.value, refused->reason});
    return std::nullopt;
  }
  const auto &value = std::get<core::Normalized>(result).value;
  auto [place, fresh] = by_value_.try_emplace({raw.type, value}, identifiers_.size());
  if (fresh) {
    auto &identifier = identifiers_.emplace_back();
    identifier.type = raw.type;
    identifier.priority = types_.at(raw.type).priority;
    identifier.value = value;
  }
  return place->second;
}

void Identities::note_first_sight(const Candidate &candidate) {
  for (const auto &raw : candidate.message.identifiers) {
    const auto *normal = std::get_if<core::Normalized>(&normalize(raw, candidate));
    if (!normal)
      continue;
    auto &identifier = identifiers_[by_value_.at({raw.type, normal->value})];
    if (!identifier.raw.empty())
      continue;
    identifier.raw = raw.value;
    identifier.first_seen_at = candidate.received_at;
  }
}

std::size_t Identities::node_of(std::int64_t profile_id) {
  auto [place, fresh] = node_by_profile_.try_emplace(profile_id, people_.size());
  if (fresh) {
    people_.add(profile_id);
    somebody_.push_back(false);
  }
  return place->second;
}

Joined Identities::join(const Carried &carried) {
  Joined joined;
  std::vector<std::size_t> people;
  for (auto index : carried.identifiers) {
    const auto person = people_.find(identifiers_[index].node);
    if (std::find(people.begin(), people.end(), person) == people.end())
      people.push_back(person);
  }
  for (auto person : people)
    people_.unite(people.front(), person);
  joined.person = people_.find(people.front());
  for (auto person : people) {
    if (person == joined.person)
      continue;
    joined.moves.emplace_back(people_.key(person), people_.key(joined.person));
    if (somebody_[person])
      joined.merged.push_back(person);
  }
  somebody_[joined.person] = true;
  return joined;
}

void store_moves(const std::vector<std::pair<std::int64_t, std::int64_t>> &moves) {
  if (moves.empty())
    return;
  std::vector<std::int64_t> from, to;
  for (const auto &[loser, winner] : moves) {
    from.push_back(loser);
    to.push_back(winner);
  }
  static pg::Statement update("UPDATE cdp.identifiers AS i SET profile_id = m.winner "
                              "FROM unnest($1, $2) AS m (loser, winner) WHERE i.profile_id = m.loser");
  pg::Params params;
  params.bigints(from).bigints(to);
  update.run(params);
}

void Identities::store_links(const std::vector<Candidate> &candidates,
                             const std::vector<std::int64_t> &decisions) const {
  std::map<std::pair<std::int64_t, std::int64_t>, std::size_t> links; // the first message that carried both
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    if (candidates[i].fate != collect::Fate::accepted)
      continue;
    const auto &carried = carried_[i].identifiers;
    for (std::size_t a = 0; a < carried.size(); ++a)
      for (std::size_t b = a + 1; b < carried.size(); ++b)
        links.try_emplace(std::minmax(identifiers_[carried[a]].id, identifiers_[carried[b]].id), i);
  }
  if (links.empty())
    return;
  std::vector<std::int64_t> one, other, seqs;
  std::vector<std::int32_t> sources;
  std::vector<Timestamp> linked;
  std::vector<std::string> messages;
  for (const auto &[pair, i] : links) {
    one.push_back(pair.first);
    other.push_back(pair.second);
    seqs.push_back(decisions[i]);
    sources.push_back(candidates[i].source_id);
    linked.push_back(candidates[i].received_at);
    messages.push_back(candidates[i].message.message_id);
  }
  static pg::Statement insert(
      "INSERT INTO cdp.links (identifier_id, other_identifier_id, decision_seq, source_id, "
      "linked_at, message_id) SELECT * FROM unnest($1, $2, $3, $4, $5, $6) "
      "ON CONFLICT DO NOTHING");
  pg::Params params;
  params.bigints(one).bigints(other).bigints(seqs).integers(sources).timestamps(linked).texts(messages);
  insert.run(params);
}

void Identities::store_refusals(const std::vector<Candidate> &candidates,
                                const std::vector<std::int64_t> &decisions) const {
  std::vector<std::int64_t> seqs;
  std::vector<std::int32_t> sources;
  std::vector<std::string> types, values, reasons, messages;
  std::vector<Timestamp> refused_at;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    if (candidates[i].fate != collect::Fate::accepted)
      continue;
    for (const auto &refused : carried_[i].refused) {
      seqs.push_back(decisions[i]);
      types.push_back(refused.type);
      values.push_back(refused.value);
      reasons.push_back(refused.reason);
      sources.push_back(candidates[i].source_id);
      messages.push_back(candidates[i].message.message_id);
      refused_at.push_back(candidates[i].received_at);
    }
  }
  if (seqs.empty())
    return;
  static pg::Statement insert(
      "INSERT INTO cdp.refusals (decision_seq, type, value, reason, source_id, message_id, "
      "refused_at) SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7)");
  pg::Params params;
  params.bigints(seqs).texts(types).texts(values).texts(reasons).integers(sources).texts(messages);
  params.timestamps(refused_at);
  insert.run(params);
}

} // namespace cdp::identity
