#include <algorithm>
#include <set>

#include "identity/identities.hpp"

namespace cdp::identity {

namespace {

using Order = std::vector<std::size_t>;

// Permanent ids for newcomers, in the order in which the messages named them.
void draw_ids(const Order &missing, std::vector<Identifier> &identifiers) {
  static pg::Statement draw("SELECT pg_catalog.nextval('cdp.identifiers_identifier_id_seq') "
                            "FROM pg_catalog.generate_series(1, $1)");
  auto rows = draw.run(pg::Params().integer(static_cast<std::int32_t>(missing.size())));
  for (std::size_t i = 0; i < missing.size(); ++i)
    identifiers[missing[i]].id = rows.bigint(i, 1);
}

pg::Rows select_identifiers(const Order &which, const std::vector<Identifier> &identifiers) {
  std::vector<std::string> types, values;
  std::vector<std::int32_t> places;
  for (auto index : which) {
    types.push_back(identifiers[index].type);
    values.push_back(identifiers[index].value);
    places.push_back(static_cast<std::int32_t>(index));
  }
  static pg::Statement select("SELECT w.place, i.identifier_id, i.profile_id "
                              "FROM unnest($1, $2, $3) AS w (type, value, place) "
                              "JOIN cdp.identifiers AS i USING (type, value)",
                              pg::few_keys);
  pg::Params params;
  params.texts(types).texts(values).integers(places);
  return select.run(params);
}

} // namespace

// Of people that have no profile row, as nothing was ever said about them, the identifier row that names
// them.
bool lock_whole(const std::vector<std::int64_t> &people, const LockProfiles &lock,
                std::set<std::int64_t> &stored) {
  const auto found = lock(people);
  stored = {found.begin(), found.end()};
  std::vector<std::int64_t> without;
  std::copy_if(people.begin(), people.end(), std::back_inserter(without),
               [&](std::int64_t id) { return !stored.contains(id); });
  if (without.empty())
    return true;
  static pg::Statement rows("SELECT FROM cdp.identifiers WHERE identifier_id = ANY ($1) "
                            "ORDER BY identifier_id FOR NO KEY UPDATE",
                            pg::few_keys);
  static pg::Statement appeared("SELECT EXISTS (SELECT FROM cdp.profiles WHERE profile_id = ANY ($1))",
                                pg::few_keys);
  rows.run(pg::Params().bigints(without));
  return !appeared.run(pg::Params().bigints(without)).boolean(0, 1);
}

void Identities::settle(const std::vector<Candidate> &candidates, const LockProfiles &lock) {
  Order needed; // in order of appearance, which is the order of ids
  std::vector<bool> taken(identifiers_.size());
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    if (candidates[i].fate != collect::Fate::accepted)
      continue;
    note_first_sight(candidates[i]);
    for (auto index : carried_[i].identifiers)
      if (!taken[index]) {
        taken[index] = true;
        needed.push_back(index);
      }
  }
  if (needed.empty())
    return;
  find_existing(needed); // leaves those that nobody has yet
  insert_missing(needed);
  lock_people(lock);
  prepare(candidates);
}

void Identities::lock_people(const LockProfiles &lock) {
  auto people = read_people();
  // A merge that commits while we wait may give an id out of order: let all locks go and take the whole set
  // anew.
  while (!people.empty() && !pg::try_in_subtransaction([&] {
    const bool complete = lock_whole(people, lock, stored_people_);
    auto now = read_people();
    const bool stable = complete && std::includes(people.begin(), people.end(), now.begin(), now.end());
    people = std::move(now);
    return stable;
  }))
    pg::check_for_interrupts();
}

void Identities::find_existing(Order &missing) {
  auto rows = select_identifiers(missing, identifiers_);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto index = static_cast<std::size_t>(rows.integer(i, 1));
    identifiers_[index].id = rows.bigint(i, 2);
    by_id_[identifiers_[index].id] = index;
    profile_[identifiers_[index].id] = rows.bigint(i, 3);
  }
  std::erase_if(missing, [&](std::size_t index) { return identifiers_[index].id != 0; });
}

void Identities::insert_missing(const Order &missing) {
  if (missing.empty())
    return;
  draw_ids(missing, identifiers_);
  Order sorted = missing; // two callers that insert the same values wait for each other in one direction only
  std::sort(sorted.begin(), sorted.end(), [&](std::size_t a, std::size_t b) {
    return std::tie(identifiers_[a].type, identifiers_[a].value) <
           std::tie(identifiers_[b].type, identifiers_[b].value);
  });
  std::vector<std::int64_t> ids;
  std::vector<std::string> types, values;
  std::vector<std::optional<std::string>> raws, regions;
  std::vector<Timestamp> seen;
  std::unordered_map<std::int64_t, std::size_t> waiting;
  for (auto index : sorted) {
    const auto &identifier = identifiers_[index];
    ids.push_back(identifier.id);
    types.push_back(identifier.type);
    values.push_back(identifier.value);
    raws.push_back(identifier.raw == identifier.value ? std::nullopt : std::optional(identifier.raw));
    regions.push_back(!raws.back() || identifier.raw_region.empty() ? std::nullopt
                                                                    : std::optional(identifier.raw_region));
    seen.push_back(identifier.first_seen_at);
    waiting.emplace(identifier.id, index);
  }
  static pg::Statement insert(
      "INSERT INTO cdp.identifiers (identifier_id, type, profile_id, value, raw_value, "
      "raw_region, first_seen_at) SELECT n.id, n.type, n.id, n.value, n.raw, n.region, n.seen "
      "FROM unnest($1, $2, $3, $4, $5, $6) AS n (id, type, value, raw, region, seen) "
      "ON CONFLICT DO NOTHING RETURNING identifier_id");
  pg::Params params;
  params.bigints(ids).texts(types).texts(values).optional_texts(raws).optional_texts(regions).timestamps(
      seen);
  auto rows = insert.run(params);
  for (std::size_t i = 0; i < rows.size(); ++i)
    waiting.erase(rows.bigint(i, 1));
  Order lost; // somebody else inserted these while we looked
  for (const auto &[id, index] : waiting) {
    identifiers_[index].id = 0;
    lost.push_back(index);
  }
  if (lost.empty())
    return;
  find_existing(lost);
  if (!lost.empty())
    throw Error(ERRCODE_T_R_SERIALIZATION_FAILURE, "an identifier was removed while it was being read",
                identifiers_[lost.front()].value, "Try the call again.");
}

std::int64_t Identities::look_up(std::size_t candidate) {
  Order wanted = carried_[candidate].identifiers;
  find_existing(wanted);
  for (auto index : carried_[candidate].identifiers)
    if (auto known = profile_.find(identifiers_[index].id); known != profile_.end())
      return known->second;
  return 0;
}

std::int64_t find_person(const Candidate &candidate) {
  std::vector<Candidate> one{candidate};
  one.front().fate = collect::Fate::open;
  Identities identities;
  identities.read(one);
  return one.front().fate == collect::Fate::open ? identities.look_up(0) : 0;
}

// Where the batch's identifiers are now, and whoever is on their devices.
std::vector<std::int64_t> Identities::read_people() {
  static pg::Statement select(
      "SELECT i.identifier_id, i.profile_id, i.left_out, i.user_on_device_id, "
      "CASE WHEN i.user_on_device_id IS NOT NULL THEN (SELECT u.profile_id FROM cdp.identifiers AS u "
      "WHERE u.identifier_id = i.user_on_device_id) END "
      "FROM cdp.identifiers AS i WHERE i.identifier_id = ANY ($1)",
      pg::few_keys);
  std::vector<std::int64_t> ids;
  for (const auto &[id, index] : by_id_)
    ids.push_back(id);
  std::set<std::int64_t> people;
  auto rows = select.run(pg::Params().bigints(ids));
  for (std::size_t i = 0; i < rows.size(); ++i) {
    auto &identifier = identifiers_[by_id_.at(rows.bigint(i, 1))];
    people.insert(profile_[identifier.id] = rows.bigint(i, 2));
    identifier.left_out = rows.is_null(i, 3)             ? ""
                          : rows.text(i, 3) == "removed" ? "removed_identifier"
                                                         : "blocked";
    identifier.user_on_device = rows.is_null(i, 4) ? 0 : rows.bigint(i, 4);
    if (identifier.user_on_device != 0)
      people.insert(profile_[identifier.user_on_device] = rows.bigint(i, 5));
  }
  return {people.begin(), people.end()};
}

} // namespace cdp::identity
