#include "profile/people.hpp"

#include <algorithm>

namespace cdp::profile {

Person Person::anew() {
  Person person;
  person.folded();
  return person;
}

core::Traits &Person::folded() {
  if (!folded_)
    folded_.emplace(traits_, origins_);
  texts_stale_ = true;
  return *folded_;
}

bool Person::assert_all(std::string_view traits, Timestamp asserted_at, std::int64_t decision_seq) {
  return folded().assert_all(traits, asserted_at, decision_seq);
}

void Person::absorb(Person &other) {
  last_seen_at = std::max(last_seen_at, other.last_seen_at);
  if (other.origins() != "{}")
    folded().absorb(other.folded());
}

const std::string &Person::traits() {
  if (texts_stale_) {
    traits_ = folded_->traits_json();
    origins_ = folded_->origins_json();
    texts_stale_ = false;
  }
  return traits_;
}

const std::string &Person::origins() {
  traits();
  return origins_;
}

std::vector<std::int64_t> People::lock(const std::vector<std::int64_t> &profile_ids) {
  static pg::Statement select(
      "SELECT profile_id, traits::text, trait_origins::text, last_seen_at FROM cdp.profiles "
      "WHERE profile_id = ANY ($1) ORDER BY profile_id FOR UPDATE",
      pg::few_keys);
  auto rows = select.run(pg::Params().bigints(profile_ids));
  people_.clear();
  std::vector<std::int64_t> found;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    found.push_back(rows.bigint(i, 1));
    people_.emplace(rows.bigint(i, 1), Person(rows.text(i, 2), rows.text(i, 3), rows.timestamp(i, 4)));
  }
  return found;
}

void People::merge(std::int64_t loser, std::int64_t winner) {
  auto &gone = people_[loser];
  people_[winner].absorb(gone);
  if (gone.stored)
    merged_.push_back(loser);
  people_.erase(loser);
}

void People::fold_assertions(const std::vector<std::int64_t> &ids) {
  static pg::Statement select(
      "SELECT i.profile_id, a.traits::text, a.asserted_at, a.decision_seq FROM cdp.identifiers AS i "
      "JOIN cdp.assertions AS a USING (identifier_id) WHERE i.profile_id = ANY ($1) AND a.type = 'identify' "
      "AND a.traits IS NOT NULL",
      pg::few_keys);
  select.each(pg::Params().bigints(ids), [&](const pg::Rows &rows) {
    for (std::size_t i = 0; i < rows.size(); ++i)
      people_[rows.bigint(i, 1)].assert_all(rows.text(i, 2), rows.timestamp(i, 3), rows.bigint(i, 4));
  });
}

void People::read_last_seen(const std::vector<std::int64_t> &ids) {
  static pg::Statement select(
      "SELECT i.profile_id, max(f.received_at) FROM cdp.identifiers AS i CROSS JOIN LATERAL ("
      "  SELECT e.received_at FROM cdp.event_records AS e WHERE e.identifier_id = i.identifier_id UNION ALL "
      "  SELECT a.received_at FROM cdp.assertions AS a WHERE a.identifier_id = i.identifier_id) AS f "
      "WHERE i.profile_id = ANY ($1) GROUP BY i.profile_id",
      pg::few_keys);
  auto rows = select.run(pg::Params().bigints(ids));
  for (std::size_t i = 0; i < rows.size(); ++i) {
    auto &person = people_[rows.bigint(i, 1)];
    person.last_seen_at = rows.timestamp(i, 2);
    person.touched = true;
  }
}

void People::refold(const std::set<std::int64_t> &before, const std::set<std::int64_t> &after) {
  auto old = std::move(people_);
  people_.clear();
  const std::vector<std::int64_t> ids(after.begin(), after.end());
  for (auto id : ids) {
    auto &person = people_[id] = Person::anew();
    const auto known = old.find(id);
    person.stored = known != old.end() && known->second.stored;
  }
  fold_assertions(ids);
  read_last_seen(ids);
  for (const auto *set : {&before, &after})
    for (auto id : *set) {
      const auto known = old.find(id);
      const auto now = people_.find(id);
      if (now != people_.end() && now->second.touched)
        continue;
      if (known != old.end() && known->second.stored &&
          std::find(merged_.begin(), merged_.end(), id) == merged_.end())
        merged_.push_back(id);
      people_.erase(id);
    }
}

std::vector<std::int64_t> People::touched() const {
  std::vector<std::int64_t> ids;
  for (const auto &[id, person] : people_)
    if (person.touched)
      ids.push_back(id);
  std::sort(ids.begin(), ids.end());
  return ids;
}

void People::store(const pg_uuid_t &secret) {
  if (!merged_.empty()) {
    static pg::Statement erase("DELETE FROM cdp.profiles WHERE profile_id = ANY ($1)", pg::few_keys);
    erase.run(pg::Params().bigints(merged_));
  }
  insert_new(secret);
  update_touched();
}

void People::insert_new(const pg_uuid_t &secret) {
  std::vector<std::int64_t> ids;
  for (const auto &[id, person] : people_)
    if (person.touched && !person.stored)
      ids.push_back(id);
  if (ids.empty())
    return;
  std::sort(ids.begin(), ids.end());
  std::vector<pg_uuid_t> public_ids;
  std::vector<std::string> traits, origins;
  std::vector<Timestamp> seen;
  for (auto id : ids) {
    auto &person = people_[id];
    pg::ContentHash hash;
    hash.add(std::string_view(reinterpret_cast<const char *>(secret.data), UUID_LEN)).add(id);
    public_ids.push_back(hash.finish());
    traits.push_back(person.traits());
    origins.push_back(person.origins());
    seen.push_back(person.last_seen_at);
  }
  static pg::Statement insert(
      "INSERT INTO cdp.profiles (profile_id, public_id, traits, trait_origins, last_seen_at) "
      "SELECT unnest($1), unnest($2), unnest($3)::pg_catalog.jsonb, unnest($4)::pg_catalog.jsonb, "
      "unnest($5)");
  pg::Params params;
  params.bigints(ids).uuids(public_ids).texts(traits).texts(origins).timestamps(seen);
  insert.run(params);
}

void People::update_touched() {
  std::vector<std::int64_t> ids;
  for (const auto &[id, person] : people_)
    if (person.touched && person.stored)
      ids.push_back(id);
  if (ids.empty())
    return;
  std::sort(ids.begin(), ids.end());
  std::vector<std::optional<std::string>> traits, origins;
  std::vector<Timestamp> seen;
  for (auto id : ids) {
    auto &person = people_[id];
    traits.push_back(person.changed() ? std::optional(person.traits()) : std::nullopt);
    origins.push_back(person.changed() ? std::optional(person.origins()) : std::nullopt);
    seen.push_back(person.last_seen_at);
  }
  static pg::Statement update(
      "UPDATE cdp.profiles AS p SET last_seen_at = n.seen, "
      "traits = coalesce(n.traits::pg_catalog.jsonb, p.traits), "
      "trait_origins = coalesce(n.origins::pg_catalog.jsonb, p.trait_origins) "
      "FROM unnest($1, $2, $3, $4) AS n (id, traits, origins, seen) WHERE p.profile_id = n.id",
      pg::few_keys);
  pg::Params params;
  params.bigints(ids).optional_texts(traits).optional_texts(origins).timestamps(seen);
  update.run(params);
}

void store_assertions(const std::vector<collect::Candidate> &candidates,
                      const std::vector<std::int64_t> &decisions, const std::vector<std::int64_t> &owners,
                      const std::vector<std::optional<std::string>> &carried) {
  std::vector<std::int64_t> seqs, identifiers;
  std::vector<std::int32_t> sources;
  std::vector<std::string> types, messages;
  std::vector<std::optional<std::string>> groups;
  std::vector<Timestamp> asserted, received;
  std::vector<void *> traits, contexts, extras;
  std::vector<std::optional<std::string>> others;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    const auto &one = candidates[i];
    const auto type = one.message.type;
    if (one.fate != collect::Fate::accepted || collect::is_event(type))
      continue;
    seqs.push_back(decisions[i]);
    identifiers.push_back(owners[i]);
    sources.push_back(one.source_id);
    types.emplace_back(core::to_string(type));
    const bool has_group = type == core::MessageType::group;
    groups.push_back(has_group ? std::optional(one.message.group_id) : std::nullopt);
    asserted.push_back(one.occurred_at);
    received.push_back(one.received_at);
    messages.push_back(one.message.message_id);
    traits.push_back(one.traits);
    contexts.push_back(one.context);
    extras.push_back(one.extra);
    others.push_back(carried[i]);
  }
  if (seqs.empty())
    return;
  static pg::Statement insert(
      "INSERT INTO cdp.assertions (decision_seq, identifier_id, source_id, type, group_id, "
      "asserted_at, received_at, message_id, traits, context, extra, carried) "
      "SELECT unnest($1), unnest($2), unnest($3), unnest($4), unnest($5), unnest($6), unnest($7), "
      "unnest($8), "
      "unnest($9), unnest($10), unnest($11), unnest($12)::pg_catalog.int8[]");
  pg::Params params;
  params.bigints(seqs).bigints(identifiers).integers(sources).texts(types).optional_texts(groups);
  params.timestamps(asserted)
      .timestamps(received)
      .texts(messages)
      .jsonbs(traits)
      .jsonbs(contexts)
      .jsonbs(extras)
      .optional_texts(others);
  insert.run(params);
}

} // namespace cdp::profile
