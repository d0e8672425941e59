#include "profile/people.hpp"

#include <algorithm>

#include "pg/jsonb_make.hpp"
#include "pg/row_update.hpp"

namespace cdp::profile {

namespace {

template <class People> std::vector<std::int64_t> ids_where(People &people, auto &&holds) {
  std::vector<std::int64_t> ids;
  for (auto &[id, person] : people)
    if (holds(person))
      ids.push_back(id);
  std::sort(ids.begin(), ids.end());
  return ids;
}

void *jsonb_of(const std::string &text) {
  static auto &spelling = *new std::string;
  auto *made = pg::make_jsonb(text, spelling);
  return made ? made : pg::parse_jsonb(text);
}

bool append_profiles(const std::vector<std::int64_t> &ids, const std::vector<pg_uuid_t> &public_ids,
                     const std::vector<std::string> &traits, const std::vector<std::string> &origins,
                     const std::vector<Timestamp> &seen, std::int32_t version) {
  pg::RowAppend rows(6);
  for (std::size_t i = 0; i < ids.size(); ++i)
    rows.add({pg::bigint_cell(ids[i]), pg::pointer_cell(&public_ids[i]),
              pg::pointer_cell(jsonb_of(traits[i])), pg::pointer_cell(jsonb_of(origins[i])),
              pg::bigint_cell(seen[i]), pg::integer_cell(version)});
  return rows.write("cdp", "profiles", {INT8OID, UUIDOID, JSONBOID, JSONBOID, TIMESTAMPTZOID, INT4OID});
}

// As SELECT … FOR UPDATE. False: SQL has to lock them.
bool lock_rows(std::vector<std::int64_t> ids, std::vector<StoredProfile> &found) {
  std::sort(ids.begin(), ids.end());
  pg::show_own_writes();
  const pg::Moment moment;
  pg::KeyLock rows(moment, "cdp", "profiles", "profiles_pkey",
                   {{"profile_id", INT8OID},
                    {"traits", JSONBOID},
                    {"trait_origins", JSONBOID},
                    {"last_seen_at", TIMESTAMPTZOID},
                    {"rules_version", INT4OID}});
  if (!rows.usable())
    return false;
  for (auto id : ids)
    rows.lock({pg::bigint_part(id)}, [&](const pg::Cells &row) {
      found.push_back({row.bigint(0), pg::keep_jsonb(row.text(1)), pg::keep_jsonb(row.text(2)),
                       row.timestamp(3), row.integer(4), row.place()});
    });
  return true;
}

void select_rows(const std::vector<std::int64_t> &ids, std::vector<StoredProfile> &found) {
  static pg::Statement select(
      "SELECT profile_id, traits, trait_origins, last_seen_at, rules_version, ctid FROM cdp.profiles "
      "WHERE profile_id = ANY ($1) ORDER BY profile_id FOR UPDATE",
      pg::few_keys);
  auto rows = select.run(pg::Params().bigints(ids));
  for (std::size_t i = 0; i < rows.size(); ++i)
    found.push_back({rows.bigint(i, 1), pg::keep_jsonb(rows.view(i, 2)), pg::keep_jsonb(rows.view(i, 3)),
                     rows.timestamp(i, 4), rows.integer(i, 5), rows.place(i, 6)});
}

} // namespace

void Person::start_anew() {
  folded_.emplace(fold_->rules());
  packed_ = false;
  texts_stale_ = true;
  version = fold_->version;
}

void Person::unpack() {
  if (!packed_)
    return;
  traits_ = pg::text_of_kept(traits_);
  origins_ = pg::text_of_kept(origins_);
  packed_ = false;
}

core::Traits &Person::take_apart() {
  unpack();
  if (!folded_)
    folded_.emplace(traits_, origins_, fold_->rules());
  texts_stale_ = true;
  version = fold_->version;
  return *folded_;
}

bool Person::needs_claims() {
  if (has_claims())
    return false;
  if (is_stale())
    return true;
  if (!fold_->rules().governs_any())
    return false;
  if (fold_->rules().has_computed())
    return true;
  unpack();
  return folded_ ? folded_->needs_claims() : core::Traits(traits_, origins_, fold_->rules()).needs_claims();
}

void Person::recall(const core::Assertion &said, std::vector<core::Misfit> &misfits) {
  if (is_anew_)
    take_apart().assert_all(said, misfits);
  else
    take_apart().recall(said);
}

void Person::load() {
  is_anew_ = is_stale();
  if (is_anew_)
    start_anew();
  loaded = true;
}

bool Person::assert_all(const core::Assertion &said, std::vector<core::Misfit> &misfits) {
  return take_apart().assert_all(said, misfits);
}

void Person::absorb(Person &other) {
  last_seen_at = std::max(last_seen_at, other.last_seen_at);
  as_of = std::max(as_of, other.as_of);
  due = std::min(due, other.due);
  other.unpack();
  if (other.changed() || other.origins_ != "{}")
    take_apart().absorb(other.take_apart());
}

const std::string &Person::traits() {
  unpack();
  if (texts_stale_) {
    folded_->settle(fold_->world, std::max(last_seen_at, as_of), computed_);
    traits_ = folded_->traits_json();
    origins_ = folded_->origins_json();
    texts_stale_ = false;
  }
  return traits_;
}

core::OpenTraits Person::open() {
  take_apart();
  traits();
  return folded_->open();
}

void Person::answer(core::ComputedValues values) {
  take_apart();
  computed_ = std::move(values);
}

const std::string &Person::origins() {
  traits();
  return origins_;
}

Timestamp Person::until() {
  traits();
  return folded_ && has_claims() ? folded_->until() : due;
}

std::vector<std::int64_t> People::lock(const std::vector<std::int64_t> &profile_ids) {
  std::vector<StoredProfile> rows;
  if (!lock_rows(profile_ids, rows))
    select_rows(profile_ids, rows);
  people_.clear();
  any_stale_ = false;
  std::vector<std::int64_t> found;
  for (auto &row : rows) {
    found.push_back(row.id);
    const auto &person = people_.emplace(row.id, Person(fold_, std::move(row))).first->second;
    any_stale_ = any_stale_ || person.is_stale();
  }
  if (fold_.rules().has_ages() || follow_computed() || any_stale_)
    read_lapses(found);
  return found;
}

void People::read_lapses(const std::vector<std::int64_t> &ids) {
  static pg::Statement select(
      "SELECT profile_id, lapses_at FROM cdp_internal.trait_lapses WHERE profile_id = ANY ($1)",
      pg::few_keys);
  auto rows = select.run(pg::Params().bigints(ids));
  for (std::size_t i = 0; i < rows.size(); ++i)
    at(rows.bigint(i, 1)).due = rows.timestamp(i, 2);
}

void People::prepare(const std::vector<std::int64_t> &profile_ids) {
  std::set<std::int64_t> wanted;
  for (auto id : profile_ids)
    if (const auto known = people_.find(id); known != people_.end() && !known->second.has_claims())
      wanted.insert(id);
  if (!wanted.empty())
    load({wanted.begin(), wanted.end()});
}

// As they are stored: nothing of this batch is, yet.
void People::load(const std::vector<std::int64_t> &ids) {
  std::vector<std::int64_t> stale;
  for (auto id : ids) {
    if (at(id).is_stale())
      stale.push_back(id);
    at(id).load();
  }
  forget_misfits(stale);
  read_assertions({ids},
                  [&](std::int64_t id, const core::Assertion &said) { at(id).recall(said, misfits_); });
}

// Other definitions may be in force now: what does not fit is found anew.
void People::forget_misfits(const std::vector<std::int64_t> &ids) {
  static pg::Statement erase(
      "DELETE FROM cdp.quarantined_traits AS q USING cdp.identifiers AS i JOIN cdp.assertions AS a USING "
      "(identifier_id) WHERE i.profile_id = ANY ($1) AND a.type = 'identify' AND q.decision_seq = "
      "a.decision_seq",
      pg::few_keys);
  if (!ids.empty())
    erase.run(pg::Params().bigints(ids));
}

bool People::needs_claims(std::int64_t profile_id, std::string_view traits) {
  const auto known = people_.find(profile_id);
  return known != people_.end() && !known->second.has_claims() &&
         (known->second.is_stale() || follow_computed() || core::Traits::needs_claims(traits, fold_.rules()));
}

bool People::say(std::int64_t profile_id, const core::Assertion &said) {
  if (may_need_claims() && needs_claims(profile_id, said.traits))
    prepare({profile_id});
  return at(profile_id).assert_all(said, misfits_);
}

std::optional<Timestamp> People::lapse(std::int64_t profile_id, Timestamp until) {
  auto &person = at(profile_id);
  const auto due = person.due;
  if (due > until)
    return std::nullopt;
  prepare({profile_id});
  person.as_of = std::max(person.as_of, due);
  person.decide_anew();
  person.due = person.until();
  return std::max(due, person.last_seen_at);
}

void People::merge(std::int64_t loser, std::int64_t winner) {
  auto &gone = at(loser), &into = at(winner);
  if (may_need_claims() && (gone.needs_claims() || into.needs_claims() || gone.weighs_claims()))
    prepare({loser, winner});
  into.absorb(gone);
  if (gone.stored)
    merged_.push_back(loser);
  people_.erase(loser);
}

void People::read_last_seen(const std::vector<std::int64_t> &ids) {
  static pg::Statement select(
      "SELECT i.profile_id, max(f.received_at) FROM cdp.identifiers AS i CROSS JOIN LATERAL ("
      "  SELECT e.received_at FROM cdp_internal.event_traces AS e WHERE e.identifier_id = i.identifier_id "
      "UNION ALL "
      "  SELECT a.received_at FROM cdp.assertions AS a WHERE a.identifier_id = i.identifier_id) AS f "
      "WHERE i.profile_id = ANY ($1) GROUP BY i.profile_id",
      pg::few_keys);
  auto rows = select.run(pg::Params().bigints(ids));
  for (std::size_t i = 0; i < rows.size(); ++i) {
    auto &person = at(rows.bigint(i, 1));
    person.last_seen_at = rows.timestamp(i, 2);
    person.touched = true;
  }
}

void People::refold(const std::set<std::int64_t> &before, const std::set<std::int64_t> &after,
                    Timestamp as_of) {
  auto old = std::move(people_);
  people_.clear();
  const std::vector<std::int64_t> ids(after.begin(), after.end());
  for (auto id : ids) {
    auto &person = at(id);
    person.start_anew();
    person.loaded = true;
    person.as_of = as_of;
    const auto known = old.find(id);
    person.stored = known != old.end() && known->second.stored;
    if (person.stored)
      person.place = known->second.place;
  }
  if (any_stale_)
    forget_misfits(ids);
  std::vector<core::Misfit> found;
  read_assertions({ids},
                  [&](std::int64_t id, const core::Assertion &said) { at(id).assert_all(said, found); });
  misfits_.insert(misfits_.end(), found.begin(), found.end());
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

void People::store(const Secret &secret) {
  if (!merged_.empty()) {
    static pg::Statement erase("DELETE FROM cdp.profiles WHERE profile_id = ANY ($1)", pg::few_keys);
    erase.run(pg::Params().bigints(merged_));
  }
  insert_new(secret);
  update_touched();
  store_misfits();
  store_notes();
}

void People::insert_new(const Secret &secret) {
  std::vector<std::int64_t> ids;
  for (const auto &[id, person] : people_)
    if (person.touched && !person.stored)
      ids.push_back(id);
  if (ids.empty())
    return;
  std::sort(ids.begin(), ids.end());
  const auto key = secret();
  std::vector<pg_uuid_t> public_ids;
  std::vector<std::string> traits, origins;
  std::vector<Timestamp> seen;
  for (auto id : ids) {
    auto &person = at(id);
    pg::ContentHash hash;
    hash.add(std::string_view(reinterpret_cast<const char *>(key.data), UUID_LEN)).add(id);
    public_ids.push_back(hash.finish());
    traits.push_back(person.traits());
    origins.push_back(person.origins());
    seen.push_back(person.last_seen_at);
  }
  if (append_profiles(ids, public_ids, traits, origins, seen, fold_.version))
    return;
  static pg::Statement insert(
      "INSERT INTO cdp.profiles (profile_id, public_id, traits, trait_origins, last_seen_at, rules_version) "
      "SELECT unnest($1), unnest($2), unnest($3)::pg_catalog.jsonb, unnest($4)::pg_catalog.jsonb, "
      "unnest($5), $6");
  pg::Params params;
  params.bigints(ids).uuids(public_ids).texts(traits).texts(origins).timestamps(seen).integer(fold_.version);
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
  if (const auto left = rewrite(ids); !left.empty())
    update(left);
}

// Where they lie, as they were locked. The ids of those that are left to SQL.
std::vector<std::int64_t> People::rewrite(const std::vector<std::int64_t> &ids) {
  pg::RowUpdate rows("cdp", "profiles",
                     {{"last_seen_at", TIMESTAMPTZOID},
                      {"rules_version", INT4OID},
                      {"traits", JSONBOID},
                      {"trait_origins", JSONBOID}});
  if (!rows.usable())
    return ids;
  std::vector<std::int64_t> left;
  for (auto id : ids) {
    pg::check_for_interrupts();
    auto &person = at(id);
    const auto changed = [&](const std::string &(Person::*text)()) -> std::optional<pg::Cell> {
      if (!person.changed())
        return std::nullopt;
      return pg::pointer_cell(jsonb_of((person.*text)()));
    };
    if (!rows.write(person.place, {pg::bigint_cell(person.last_seen_at), pg::integer_cell(person.version),
                                   changed(&Person::traits), changed(&Person::origins)}))
      left.push_back(id);
  }
  return left;
}

void People::update(const std::vector<std::int64_t> &ids) {
  std::vector<std::optional<std::string>> traits, origins;
  std::vector<Timestamp> seen;
  std::vector<std::int32_t> versions;
  for (auto id : ids) {
    auto &person = at(id);
    versions.push_back(person.version);
    traits.push_back(person.changed() ? std::optional(person.traits()) : std::nullopt);
    origins.push_back(person.changed() ? std::optional(person.origins()) : std::nullopt);
    seen.push_back(person.last_seen_at);
  }
  static pg::Statement update(
      "UPDATE cdp.profiles AS p SET last_seen_at = n.seen, rules_version = n.version, "
      "traits = coalesce(n.traits::pg_catalog.jsonb, p.traits), "
      "trait_origins = coalesce(n.origins::pg_catalog.jsonb, p.trait_origins) "
      "FROM unnest($1, $2, $3, $4, $5) AS n (id, traits, origins, seen, version) WHERE p.profile_id = n.id",
      pg::few_keys);
  pg::Params params;
  params.bigints(ids).optional_texts(traits).optional_texts(origins).timestamps(seen).integers(versions);
  update.run(params);
}

void People::store_misfits() const {
  if (misfits_.empty())
    return;
  std::vector<std::int64_t> seqs;
  std::vector<std::string> traits, values, codes, hints;
  for (const auto &one : misfits_) {
    seqs.push_back(one.decision_seq);
    traits.push_back(one.trait);
    values.push_back(one.value);
    codes.push_back(one.code);
    hints.push_back(one.hint);
  }
  static pg::Statement insert("INSERT INTO cdp.quarantined_traits (decision_seq, trait, value, code, hint) "
                              "SELECT unnest($1), unnest($2), "
                              "unnest($3)::pg_catalog.jsonb, unnest($4), unnest($5) ON CONFLICT DO NOTHING");
  insert.run(pg::Params().bigints(seqs).texts(traits).texts(values).texts(codes).texts(hints));
}

// What is kept beside those people who are folded from all claims: until when it stands, and what failed.
void People::store_notes() {
  auto gone = merged_;
  std::vector<std::int64_t> waiting, failed;
  std::vector<Timestamp> lapses;
  std::vector<std::string> traits, messages;
  for (auto id : ids_where(
           people_, [](const Person &one) { return one.touched && one.folded() && one.has_claims(); })) {
    auto &person = at(id);
    if (person.loaded)
      gone.push_back(id);
    if (const auto until = person.until(); until != core::kInfinity) {
      waiting.push_back(id);
      lapses.push_back(until);
    }
    for (const auto &[trait, governed] : person.folded()->governed())
      if (!governed.verdict.error.empty()) {
        failed.push_back(id);
        traits.push_back(trait);
        messages.push_back(governed.verdict.error);
      }
  }
  if (!gone.empty() && (fold_.rules().governs_any() || any_stale_)) {
    static pg::Statement forget("DELETE FROM cdp_internal.trait_lapses WHERE profile_id = ANY ($1)",
                                pg::few_keys);
    static pg::Statement forgive("DELETE FROM cdp.survivorship_errors WHERE profile_id = ANY ($1)",
                                 pg::few_keys);
    forget.run(pg::Params().bigints(gone));
    forgive.run(pg::Params().bigints(gone));
  }
  if (!waiting.empty()) {
    static pg::Statement wait(
        "INSERT INTO cdp_internal.trait_lapses (profile_id, lapses_at) SELECT unnest($1), unnest($2)");
    wait.run(pg::Params().bigints(waiting).timestamps(lapses));
  }
  if (!failed.empty()) {
    static pg::Statement note(
        "INSERT INTO cdp.survivorship_errors (profile_id, trait, message) SELECT unnest($1), "
        "unnest($2), unnest($3)");
    note.run(pg::Params().bigints(failed).texts(traits).texts(messages));
  }
}

} // namespace cdp::profile
