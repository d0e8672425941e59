#include <algorithm>
#include <set>
#include <unordered_map>

#include "identity/identities.hpp"
#include "pg/append_rows.hpp"
#include "pg/scan.hpp"
#include "pg/sequence.hpp"

namespace cdp::identity {

namespace {

using Order = std::vector<std::size_t>;

// An identifier as stored, and whoever is on it when it is a device.
constexpr char kStored[] =
    "i.identifier_id, i.profile_id, i.left_out, i.user_on_device_id, "
    "CASE WHEN i.user_on_device_id IS NOT NULL THEN (SELECT u.profile_id FROM "
    "cdp.identifiers AS u WHERE u.identifier_id = i.user_on_device_id) END, i.first_seen_at ";

pg::Rows select_identifiers(const Order &which, const std::vector<Identifier> &identifiers) {
  std::vector<std::string> types, values;
  std::vector<std::int32_t> places;
  for (auto index : which) {
    types.push_back(identifiers[index].type);
    values.push_back(identifiers[index].value);
    places.push_back(static_cast<std::int32_t>(index));
  }
  static const std::string sql =
      std::string("SELECT w.place, ") + kStored +
      "FROM unnest($1, $2, $3) AS w (type, value, place) JOIN cdp.identifiers AS i USING (type, value)";
  static pg::Statement select(sql.c_str(), pg::few_keys);
  pg::Params params;
  params.texts(types).texts(values).integers(places);
  return select.run(params);
}

StoredIdentifier stored_in(const pg::Rows &rows, std::size_t row, std::size_t index, int column) {
  const auto number = [&](int at) { return rows.is_null(row, at) ? 0 : rows.bigint(row, at); };
  return {index,
          rows.bigint(row, column),
          rows.bigint(row, column + 1),
          rows.optional_text(row, column + 2).value_or(""),
          number(column + 3),
          number(column + 4),
          rows.timestamp(row, column + 5)};
}

// Finds identifiers by their indexes, as the statements below do.
class Finder {
public:
  bool usable() const { return usable_; } // all indexes that were needed

  void find(std::size_t index, const std::string &type, const std::string &value) {
    pg::check_for_interrupts();
    if (auto *rows = open(by_value_, "identifiers_type_value_key"))
      rows->each({pg::text_part(type), pg::text_part(value)},
                 [&](const pg::Cells &row) { return note(index, row); });
  }
  void find(std::size_t index, std::int64_t id) {
    pg::check_for_interrupts();
    if (auto *rows = open(by_id_, "identifiers_pkey"))
      rows->each({pg::bigint_part(id)}, [&](const pg::Cells &row) { return note(index, row); });
  }
  const std::vector<StoredIdentifier> &finish() {
    for (auto &one : found_)
      if (one.user_on_device != 0)
        if (auto *rows = open(by_id_, "identifiers_pkey"))
          rows->each({pg::bigint_part(one.user_on_device)}, [&](const pg::Cells &row) {
            one.user_profile_id = row.bigint(1);
            return false;
          });
    return found_;
  }

private:
  static constexpr std::initializer_list<pg::ScannedTable::Column> kColumns = {
      {"identifier_id", INT8OID},
      {"profile_id", INT8OID},
      {"left_out", TEXTOID},
      {"user_on_device_id", INT8OID},
      {"first_seen_at", TIMESTAMPTZOID}};

  // When it is needed first: most calls ask one of them alone.
  pg::KeyScan *open(std::optional<pg::KeyScan> &rows, const char *index) {
    if (usable_ && !rows)
      usable_ = rows.emplace(moment_, "cdp", "identifiers", index, kColumns).usable();
    return usable_ ? &*rows : nullptr;
  }

  bool note(std::size_t index, const pg::Cells &row) {
    found_.push_back({index, row.bigint(0), row.bigint(1), std::string(row.is_null(2) ? "" : row.text(2)),
                      row.is_null(3) ? 0 : row.bigint(3), 0, row.timestamp(4)});
    return false;
  }

  const pg::Moment moment_;
  std::optional<pg::KeyScan> by_value_, by_id_;
  bool usable_ = true;
  std::vector<StoredIdentifier> found_;
};

constexpr std::initializer_list<Oid> kWritten = {INT8OID, INT8OID, TIMESTAMPTZOID, TEXTOID, TEXTOID,
                                                 TEXTOID, TEXTOID, TEXTOID,        INT8OID};

pg::RowAppend rows_of(const Order &sorted, const std::vector<Identifier> &identifiers) {
  pg::RowAppend rows(static_cast<int>(kWritten.size()));
  for (auto index : sorted) {
    const auto &one = identifiers[index];
    const bool differs = one.raw != one.value;
    rows.add({pg::bigint_cell(one.id), pg::bigint_cell(one.expected), pg::bigint_cell(one.first_seen_at),
              pg::text_cell(one.type), pg::text_cell(one.value),
              differs ? pg::text_cell(one.raw) : pg::null_cell(),
              differs && !one.raw_region.empty() ? pg::text_cell(one.raw_region) : pg::null_cell(),
              pg::null_cell(), pg::null_cell()});
  }
  return rows;
}

// False: somebody else writes one of them at this moment, or SQL has to.
bool append_identifiers(const Order &sorted, const std::vector<Identifier> &identifiers) {
  auto rows = rows_of(sorted, identifiers);
  pg::Failure failure;
  bool written = false;
  return pg::subtransaction([&] { written = rows.write("cdp", "identifiers", kWritten); }, failure) &&
         written;
}

// Of these ids, which were inserted.
std::vector<bool> are_there(const std::vector<std::int64_t> &drawn) {
  static pg::Statement ours("SELECT identifier_id FROM cdp.identifiers WHERE identifier_id = ANY ($1)",
                            pg::few_keys);
  auto rows = ours.run(pg::Params().bigints(drawn));
  std::set<std::int64_t> inserted;
  for (std::size_t i = 0; i < rows.size(); ++i)
    inserted.insert(rows.bigint(i, 1));
  std::vector<bool> there;
  for (auto id : drawn)
    there.push_back(inserted.contains(id));
  return there;
}

// False: SQL has to look.
bool find_by_keys(const std::function<void(const StoredIdentifier &)> &take,
                  const std::function<void(Finder &)> &ask) {
  pg::show_own_writes();
  Finder finder;
  ask(finder);
  const auto &found = finder.finish();
  if (!finder.usable())
    return false;
  for (const auto &stored : found)
    take(stored);
  return true;
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

// Identifiers of accepted messages, in order of appearance, which is the order of ids.
Order Identities::needed(const std::vector<Candidate> &candidates) {
  Order needed;
  std::vector<bool> taken(identifiers_.size());
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    if (candidates[i].fate != collect::Fate::accepted)
      continue;
    note_first_sight(candidates[i], carried_[i]);
    for (auto index : carried_[i].identifiers)
      if (!taken[index]) {
        taken[index] = true;
        identifiers_[index].first_line = candidates[i].incoming;
        needed.push_back(index);
      }
  }
  return needed;
}

// Permanent ids for newcomers, in the order in which the messages named them.
void Identities::draw_ids(const Order &missing) {
  std::unordered_map<std::size_t, std::size_t> used; // of those that are reserved for a line
  Order others;
  for (auto index : missing) {
    auto &one = identifiers_[index];
    if (!lines_ || used[one.first_line] == (*lines_)[one.first_line].reserved.size())
      others.push_back(index);
    else
      one.id = (*lines_)[one.first_line].reserved[used[one.first_line]++];
  }
  const auto drawn = pg::next_values("cdp", "identifiers_identifier_id_seq", others.size());
  for (std::size_t i = 0; i < others.size(); ++i)
    identifiers_[others[i]].id = drawn[i];
}

void Identities::name(const std::vector<Candidate> &candidates) {
  auto missing = needed(candidates);
  if (!missing.empty())
    find_existing(missing);
  if (missing.empty())
    return;
  draw_ids(missing);
  for (auto index : missing)
    identifiers_[index].expected = identifiers_[index].id;
  insert_missing(missing);
}

void Identities::see_again() const {
  static pg::Statement update("UPDATE cdp.identifiers AS i SET first_seen_at = n.at FROM unnest($1, $2) AS n "
                              "(id, at) WHERE i.identifier_id = n.id AND i.first_seen_at = 'infinity'",
                              pg::few_keys);
  pg::Params params;
  add_first_sights(params);
  update.run(params);
}

void Identities::add_first_sights(pg::Params &params) const {
  std::vector<std::int64_t> ids;
  std::vector<Timestamp> at;
  for (const auto &one : identifiers_)
    if (one.id != 0 && !one.raw.empty()) {
      ids.push_back(one.id);
      at.push_back(one.first_seen_at);
    }
  params.bigints(ids).timestamps(at);
}

bool Identities::is_personal(std::size_t candidate) const {
  const auto &first = identifiers_[carried_[candidate].identifiers.front()];
  return types_->at(first.type).rule.sharing == core::Sharing::personal;
}

void Identities::settle(const std::vector<Candidate> &candidates, const LockProfiles &lock,
                        const std::function<void()> &rest) {
  auto needed = this->needed(candidates);
  if (needed.empty())
    return rest();
  read_at_ = pg::transactions_ended();
  find_existing(needed); // leaves those that nobody has yet
  if (!needed.empty()) {
    draw_ids(needed);
    expect_people(candidates);
    insert_missing(needed);
  }
  lock_people(lock, [&] {
    prepare(candidates);
    rest();
  });
}

void Identities::lock_people(const LockProfiles &lock, const std::function<void()> &rest) {
  auto people = people_now();
  if (people.empty())
    return rest();
  // Calls by the thousand in one transaction rather have a MultiXact each than memory.
  constexpr int kMost = 100;
  const bool within = pg::count_in_transaction() <= kMost;
  // A merge that commits while we wait may give an id out of order: let all locks go and take the whole set
  // anew.
  while (!pg::try_in_subtransaction([&] {
    const bool complete = lock_whole(people, lock, stored_people_);
    if (const auto now = pg::transactions_ended(); now != read_at_) { // else nobody can have moved
      read_people();
      read_at_ = now;
    }
    auto current = people_now();
    const bool stable =
        complete && std::includes(people.begin(), people.end(), current.begin(), current.end());
    people = std::move(current);
    if (stable && within)
      rest();
    return stable;
  }))
    pg::check_for_interrupts();
  if (!within)
    rest();
}

void Identities::find_existing(Order &missing) {
  const auto found = [&](const StoredIdentifier &stored) {
    by_id_[stored.id] = stored.index;
    note_stored(stored);
  };
  auto sorted = missing; // neighbours share a page
  std::sort(sorted.begin(), sorted.end(), [&](std::size_t a, std::size_t b) {
    const auto &one = identifiers_[a], &other = identifiers_[b];
    return one.type_index != other.type_index ? one.type_index < other.type_index : one.value < other.value;
  });
  if (!find_by_keys(found, [&](Finder &finder) {
        for (auto index : sorted)
          finder.find(index, identifiers_[index].type, identifiers_[index].value);
      })) {
    auto rows = select_identifiers(missing, identifiers_);
    for (std::size_t i = 0; i < rows.size(); ++i)
      found(stored_in(rows, i, static_cast<std::size_t>(rows.integer(i, 1)), 2));
  }
  std::erase_if(missing, [&](std::size_t index) { return identifiers_[index].id != 0; });
}

// Most newcomers end up with the person of the first message that names them. Their rows are written with
// that person, as nobody sees them before we commit; those for whom it comes out otherwise are written again.
void Identities::expect_people(const std::vector<Candidate> &candidates) {
  std::set<std::int64_t> known; // people with an identifier that says who they are, as far as the batch shows
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    if (candidates[i].fate != collect::Fate::accepted)
      continue;
    const auto person = expect_person(carried_[i], known);
    for (auto index : carried_[i].identifiers)
      if (auto &one = identifiers_[index]; one.expected == 0 && !profile_.contains(one.id))
        one.expected = person;
  }
}

// That of the first identifier that has one, but for devices of somebody else who is known.
std::int64_t Identities::expect_person(const Carried &carried, std::set<std::int64_t> &known) const {
  const auto is_personal = [&](std::size_t index) {
    return types_->at(identifiers_[index].type).rule.sharing == core::Sharing::personal;
  };
  const auto &all = carried.identifiers;
  const bool personal = std::any_of(all.begin(), all.end(), is_personal);
  std::int64_t person = 0, smallest = 0;
  for (auto index : all) {
    const auto &one = identifiers_[index];
    const auto stored = profile_.find(one.id);
    const auto its = stored != profile_.end() ? stored->second : one.expected;
    if (its == 0 && (smallest == 0 || one.id < smallest))
      smallest = one.id;
    if (person == 0 && (is_personal(index) || !personal || !known.contains(its)))
      person = its;
  }
  if (person == 0)
    person = smallest;
  if (personal)
    known.insert(person);
  return person;
}

bool Identities::is_newcomer(std::int64_t id) const {
  const auto known = by_id_.find(id);
  return known != by_id_.end() && identifiers_[known->second].expected != 0;
}

void Identities::insert_missing(const Order &missing) {
  Order sorted = missing; // two callers that insert the same values wait for each other in one direction only
  std::sort(sorted.begin(), sorted.end(), [&](std::size_t a, std::size_t b) {
    return std::tie(identifiers_[a].type, identifiers_[a].value) <
           std::tie(identifiers_[b].type, identifiers_[b].value);
  });
  // Many are written a page at a time, unless somebody else is writing one of them.
  constexpr std::size_t many = 20;
  if (sorted.size() >= many) {
    if (append_identifiers(sorted, identifiers_))
      return;
  } else if (const auto written = rows_of(sorted, identifiers_)
                                      .write_new("cdp", "identifiers", "identifiers_type_value_key", kWritten,
                                                 pg::RowAppend::Looked::just_now)) {
    return find_lost(sorted, *written);
  }
  std::vector<std::int64_t> ids, people;
  std::vector<std::string> types, values;
  std::vector<std::optional<std::string>> raws, regions;
  std::vector<Timestamp> seen;
  for (auto index : sorted) {
    const auto &identifier = identifiers_[index];
    ids.push_back(identifier.id);
    people.push_back(identifier.expected);
    types.push_back(identifier.type);
    values.push_back(identifier.value);
    raws.push_back(identifier.raw == identifier.value ? std::nullopt : std::optional(identifier.raw));
    regions.push_back(!raws.back() || identifier.raw_region.empty() ? std::nullopt
                                                                    : std::optional(identifier.raw_region));
    seen.push_back(identifier.first_seen_at);
  }
  static pg::Statement insert(
      "INSERT INTO cdp.identifiers (identifier_id, type, profile_id, value, raw_value, "
      "raw_region, first_seen_at) SELECT unnest($1), unnest($2), unnest($7), unnest($3), unnest($4), "
      "unnest($5), "
      "unnest($6) ON CONFLICT (type, value) DO NOTHING");
  pg::Params params;
  params.bigints(ids)
      .texts(types)
      .texts(values)
      .optional_texts(raws)
      .optional_texts(regions)
      .timestamps(seen)
      .bigints(people);
  if (insert.run(params).size() < ids.size())
    find_lost(sorted, are_there(ids));
}

// Somebody else inserted some of these while we looked: theirs count.
void Identities::find_lost(const Order &wanted, const std::vector<bool> &written) {
  Order lost;
  for (std::size_t i = 0; i < wanted.size(); ++i)
    if (!written[i]) {
      auto &one = identifiers_[wanted[i]];
      one.id = one.expected = 0;
      lost.push_back(wanted[i]);
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

void Identities::note_stored(const StoredIdentifier &stored) {
  auto &identifier = identifiers_[stored.index];
  identifier.id = stored.id;
  profile_[identifier.id] = stored.profile_id;
  identifier.left_out = stored.left_out.empty()        ? ""
                        : stored.left_out == "removed" ? "removed_identifier"
                                                       : "blocked";
  identifier.user_on_device = stored.user_on_device;
  identifier.unseen = stored.first_seen_at == core::kInfinity;
  if (identifier.user_on_device != 0)
    profile_[identifier.user_on_device] = stored.user_profile_id;
}

// Whose the batch's identifiers are, and whoever is on their devices, as read last.
std::vector<std::int64_t> Identities::people_now() const {
  std::vector<std::int64_t> people;
  for (const auto &[id, index] : by_id_) {
    people.push_back(profile_.at(id));
    if (auto user = identifiers_[index].user_on_device; user != 0)
      people.push_back(profile_.at(user));
  }
  std::sort(people.begin(), people.end());
  people.erase(std::unique(people.begin(), people.end()), people.end());
  return people;
}

std::vector<std::int64_t> Identities::people_of(std::size_t candidate) const {
  std::vector<std::int64_t> people;
  for (auto index : carried_[candidate].identifiers)
    if (const auto known = profile_.find(identifiers_[index].id); known != profile_.end())
      people.push_back(known->second);
  return people;
}

std::uint64_t Identities::seen(std::size_t index) const {
  auto hash = name_hash(index);
  if (identifiers_[index].expected == 0) // else it is ours
    for (auto person : people_met(index))
      hash = hash * 0x9e3779b97f4a7c15 + static_cast<std::uint64_t>(person);
  return hash;
}

void Identities::meet(Order which) {
  if (!which.empty())
    find_existing(which);
}

std::vector<std::int64_t> Identities::people_met(std::size_t index) const {
  std::vector<std::int64_t> people;
  const auto &one = identifiers_[index];
  if (const auto known = profile_.find(one.id); known != profile_.end())
    people.push_back(known->second);
  if (one.user_on_device != 0)
    people.push_back(profile_.at(one.user_on_device));
  return people;
}

void Identities::read_people() {
  if (find_by_keys([&](const StoredIdentifier &stored) { note_stored(stored); },
                   [&](Finder &finder) {
                     for (const auto &[id, index] : by_id_)
                       finder.find(index, id);
                   }))
    return;
  static const std::string sql =
      std::string("SELECT ") + kStored + "FROM cdp.identifiers AS i WHERE i.identifier_id = ANY ($1)";
  static pg::Statement select(sql.c_str(), pg::few_keys);
  std::vector<std::int64_t> ids;
  for (const auto &[id, index] : by_id_)
    ids.push_back(id);
  auto rows = select.run(pg::Params().bigints(ids));
  for (std::size_t i = 0; i < rows.size(); ++i)
    note_stored(stored_in(rows, i, by_id_.at(rows.bigint(i, 1)), 1));
}

} // namespace cdp::identity
