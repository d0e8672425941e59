// Merge protection in a batch: what the rules need to know is read at once, then messages are decided in
// memory.
#include <algorithm>

#include "identity/identities.hpp"
#include "pg/scan.hpp"

namespace cdp::identity {

namespace {

using FoldCarried = core::IdentityFold::Carried;

// More identifiers than this are not read to decide about a person; then the rules' own limits bound it.
constexpr std::int32_t kFew = 64;

std::string sentence(const LeftOut &left_out) {
  if (left_out.rule == "unique")
    return "one person would have two values of " + left_out.type + ", which is unique";
  if (left_out.rule == "limit")
    return "one person would have more values of " + left_out.type + " than its limit allows";
  if (left_out.rule == "sharing")
    return "the device is known as somebody else's";
  if (left_out.rule == "forbidden_link")
    return "a person decided that these are two people";
  if (left_out.rule == "removed_link")
    return "a person removed this link";
  return left_out.rule == "blocked" ? "its value is blocked" : "a person took it out of who is who";
}

// Under the locks of the batch, so that a decision about its people is seen.
bool any_cuts() {
  if (!pg::any_page("cdp", "identity_decisions"))
    return false;
  static pg::Statement any("SELECT EXISTS (SELECT FROM cdp.identity_decisions WHERE kind = 'remove_link' "
                           "AND revoked_at IS NULL)");
  return any.run().boolean(0, 1);
}

} // namespace

std::vector<FoldCarried> Identities::eligible(const Carried &carried) const {
  std::vector<FoldCarried> eligible;
  for (auto index : carried.identifiers)
    if (const auto &one = identifiers_[index]; one.left_out.empty())
      eligible.push_back({one.id, one.node, one.type_index});
  if (eligible.empty()) {
    const auto &one = identifiers_[carried.identifiers.front()];
    eligible.push_back({one.id, one.node, one.type_index});
  }
  return eligible;
}

void Identities::prepare(const std::vector<Candidate> &candidates) {
  fold_ = std::make_unique<core::IdentityFold>(rules_of(*types_));
  for (std::size_t i = 0; i < identifiers_.size(); ++i) {
    auto &identifier = identifiers_[i];
    if (identifier.id == 0)
      continue;
    by_id_[identifier.id] = i;
    const auto stored = profile_.find(identifier.id);
    const bool known = stored != profile_.end();
    identifier.node = node_of(known ? stored->second : identifier.id);
    if (identifier.user_on_device != 0) // the person who may own the message, too
      node_of(profile_.at(identifier.user_on_device));
    if (!known)
      fold_->hold(identifier.node, identifier.id, identifier.type_index, identifier.first_seen_at);
  }
  if (std::any_of(identifiers_.begin(), identifiers_.end(), [](const auto &one) { return one.unseen; }))
    see_again();
  read_kept(candidates);
  read_protection(candidates);
}

bool Identities::must_decide(const Candidate &candidate, std::size_t index) const {
  if (candidate.message.type == core::MessageType::alias)
    return true;
  for (auto one : carried_[index].identifiers) {
    const auto &rule = types_->at(identifiers_[one].type).rule;
    if (rule.within > 0 || rule.sharing == core::Sharing::latest)
      return true;
  }
  return false;
}

namespace {

using Set = std::vector<std::int64_t>;

// What was left out of evidence of these identifiers that would be decided the same way again: see
// core::IdentityFold::decide. Nothing: there is none.
struct Kept {
  std::size_t place; // of the set
  Set refused;
};

void select_kept(const std::vector<Set> &sets, std::vector<Kept> &found) {
  static pg::Statement select(
      "SELECT a.place, e.refused::text FROM unnest($1) WITH ORDINALITY AS a (identifiers, place) "
      "CROSS JOIN LATERAL (SELECT e.refused FROM cdp.evidence AS e "
      "  WHERE e.identifiers = a.identifiers::pg_catalog.int8[] AND NOT e.is_explicit "
      "  AND coalesce(e.rule, 'sharing') IN ('sharing', 'removed_identifier', 'blocked') LIMIT 1) AS e",
      pg::few_keys);
  std::vector<std::string> asked;
  for (const auto &set : sets)
    asked.push_back(array_text(set));
  auto rows = select.run(pg::Params().texts(asked));
  for (std::size_t i = 0; i < rows.size(); ++i)
    found.push_back({static_cast<std::size_t>(rows.bigint(i, 1)) - 1, array_from(rows.optional_text(i, 2))});
}

Set bigints(const pg::Cells &row, int column) {
  if (row.is_null(column))
    return {};
  Set ids(row.count_bigints(column));
  row.copy_bigints(column, ids.data());
  return ids;
}

// False: SQL has to look.
bool find_kept(const std::vector<Set> &sets, std::vector<Kept> &found) {
  pg::show_own_writes();
  const pg::Moment moment;
  pg::KeyScan evidence(moment, "cdp", "evidence", "evidence_identifiers",
                       {{"identifiers", INT8ARRAYOID},
                        {"refused", INT8ARRAYOID},
                        {"rule", TEXTOID},
                        {"is_explicit", BOOLOID}});
  if (!evidence.usable())
    return false;
  for (std::size_t i = 0; i < sets.size(); ++i) {
    pg::check_for_interrupts();
    evidence.each({pg::bigints_part(sets[i])}, [&](const pg::Cells &row) {
      if (bigints(row, 0) != sets[i] || row.boolean(3) ||
          (!row.is_null(2) && !is_lasting(std::string(row.text(2)))))
        return true;
      found.push_back({i, bigints(row, 1)});
      return false;
    });
  }
  return true;
}

} // namespace

void Identities::read_kept(const std::vector<Candidate> &candidates) {
  std::vector<Set> sets;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    if (candidates[i].fate != collect::Fate::accepted || carried_[i].identifiers.size() < 2)
      continue;
    auto ids = ids_of(carried_[i]);
    const bool all_known =
        std::all_of(ids.begin(), ids.end(), [&](auto id) { return profile_.contains(id); });
    if (all_known && kept_.try_emplace(ids).second)
      sets.push_back(std::move(ids));
  }
  if (sets.empty())
    return;
  std::vector<Kept> kept;
  if (!find_kept(sets, kept))
    select_kept(sets, kept);
  std::vector<bool> found(sets.size());
  for (const auto &[place, refused] : kept) {
    found[place] = true;
    for (auto id : refused) {
      const auto &why = identifiers_[by_id_.at(id)].left_out;
      kept_[sets[place]].push_back({id, why.empty() ? "sharing" : why, "", {}});
    }
  }
  for (std::size_t i = 0; i < sets.size(); ++i)
    if (!found[i])
      kept_.erase(sets[i]);
}

// People that a message may join, and everything in the way of it.
void Identities::read_protection(const std::vector<Candidate> &candidates) {
  std::vector<std::vector<FoldCarried>> joins;
  std::set<std::pair<std::int64_t, std::int64_t>> pairs;
  std::optional<bool> cuts;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    if (candidates[i].fate != collect::Fate::accepted || carried_[i].identifiers.size() < 2)
      continue;
    const auto ids = ids_of(carried_[i]);
    if (kept_.contains(ids) && !must_decide(candidates[i], i))
      continue;
    if (!cuts)
      cuts = any_cuts();
    for (std::size_t a = 0; *cuts && a < ids.size(); ++a)
      for (std::size_t b = a + 1; b < ids.size(); ++b)
        pairs.insert(std::minmax(ids[a], ids[b]));
    auto carried = eligible(carried_[i]);
    if (std::any_of(carried.begin(), carried.end(),
                    [&](const auto &other) { return other.node != carried.front().node; }))
      joins.push_back(std::move(carried));
  }
  if (!pairs.empty())
    read_cuts(pairs);
  const auto people = people_to_read(joins);
  if (people.empty())
    return;
  read_values(people);
  read_forbidden(people);
}

// Of people whom the batch may join, but those who meet only devices that nobody had and that join anybody
// alone: these bring no values, and whether the person is known matters only to a device that never joins
// one.
std::vector<std::int64_t>
Identities::people_to_read(const std::vector<std::vector<FoldCarried>> &joins) const {
  core::UnionFind together;
  for (std::size_t node = 0; node < nodes(); ++node)
    together.add(static_cast<std::int64_t>(node));
  for (const auto &join : joins)
    for (const auto &one : join)
      together.unite(together.find(join.front().node), together.find(one.node));
  std::unordered_map<std::size_t, std::set<std::int64_t>> met; // stored people, by root
  std::set<std::size_t> judged;
  for (const auto &join : joins)
    for (const auto &one : join) {
      const auto root = together.find(one.node);
      const auto &rule = fold_->rule(one.type);
      const auto stored = profile_.find(one.id);
      const bool is_new = stored == profile_.end();
      if (!is_new)
        met[root].insert(stored->second);
      if (met[root].size() > 1 || rule.sharing == core::Sharing::none ||
          (is_new && (rule.limited() || rule.sharing == core::Sharing::personal)))
        judged.insert(root);
    }
  std::set<std::int64_t> people;
  for (auto root : judged)
    people.merge(met[root]);
  return {people.begin(), people.end()};
}

void Identities::read_cuts(const std::set<std::pair<std::int64_t, std::int64_t>> &pairs) {
  std::vector<std::int64_t> ones, others;
  for (const auto &[one, other] : pairs) {
    ones.push_back(one);
    others.push_back(other);
  }
  static pg::Statement select(
      "SELECT d.identifier_id, d.other_identifier_id FROM unnest($1, $2) AS p (one, other) "
      "JOIN cdp.identity_decisions AS d ON d.identifier_id = p.one AND d.other_identifier_id = p.other "
      "WHERE d.kind = 'remove_link' AND d.revoked_at IS NULL",
      pg::few_keys);
  auto rows = select.run(pg::Params().bigints(ones).bigints(others));
  for (std::size_t i = 0; i < rows.size(); ++i)
    fold_->cut(rows.bigint(i, 1), rows.bigint(i, 2));
}

// A person's identifiers, as far as rules ask for them: all of a few; of many, no more of a type than its
// limit. The batch's own, which are written with the person expected, are not theirs yet.
void Identities::read_values(const std::vector<std::int64_t> &people) {
  static pg::Statement few(
      "SELECT p.id, v.identifier_id, v.type, v.first_seen_at FROM unnest($1, $2) AS p (id, new) "
      "CROSS JOIN LATERAL (SELECT i.identifier_id, i.type, i.first_seen_at FROM cdp.identifiers AS i "
      "WHERE i.profile_id = p.id LIMIT p.new + $3) AS v",
      pg::few_keys);
  static pg::Statement many(
      "SELECT p.id, v.identifier_id, t.type, v.first_seen_at FROM unnest($1, $2) AS p (id, new) "
      "CROSS JOIN unnest($3, $4) AS t (type, most) CROSS JOIN LATERAL "
      "(SELECT i.identifier_id, i.first_seen_at FROM cdp.identifiers AS i WHERE i.profile_id = p.id "
      "AND i.type = t.type ORDER BY i.first_seen_at DESC LIMIT p.new + t.most) AS v",
      pg::few_keys);
  std::unordered_map<std::int64_t, std::int32_t> expected;
  for (const auto &one : identifiers_)
    if (one.expected != 0)
      ++expected[one.expected];
  const auto numbers = [&](const std::vector<std::int64_t> &of) {
    std::vector<std::int32_t> found;
    for (auto person : of)
      found.push_back(expected[person]);
    return found;
  };
  const auto hold = [&](const pg::Rows &rows, std::size_t i) {
    const auto type = types_->find(rows.text(i, 3));
    if (type != types_->end())
      fold_->hold(node_of(rows.bigint(i, 1)), rows.bigint(i, 2), type->second.index, rows.timestamp(i, 4));
  };
  auto rows = few.run(pg::Params().bigints(people).integers(numbers(people)).integer(kFew + 1));
  std::map<std::int64_t, std::vector<std::size_t>> stored;
  for (std::size_t i = 0; i < rows.size(); ++i)
    if (!is_newcomer(rows.bigint(i, 2)))
      stored[rows.bigint(i, 1)].push_back(i);
  std::vector<std::int64_t> large;
  for (const auto &[person, places] : stored) {
    if (places.size() > kFew)
      large.push_back(person);
    else
      for (auto i : places)
        hold(rows, i);
  }
  if (large.empty())
    return;
  std::vector<std::string> names;
  std::vector<std::int32_t> most;
  for (const auto &[name, type] : *types_)
    if (type.rule.limited() || type.rule.sharing == core::Sharing::personal) {
      names.push_back(name);
      most.push_back(std::max(type.rule.most(), 1));
    }
  auto more = many.run(pg::Params().bigints(large).integers(numbers(large)).texts(names).integers(most));
  std::map<std::pair<std::int64_t, std::string>, std::int32_t> taken;
  for (std::size_t i = 0; i < more.size(); ++i) {
    if (is_newcomer(more.bigint(i, 2)))
      continue;
    const auto type = more.text(i, 3);
    const auto limit = std::max(types_->at(type).rule.most(), 1);
    if (++taken[{more.bigint(i, 1), type}] <= limit)
      hold(more, i);
  }
}

void Identities::read_forbidden(const std::vector<std::int64_t> &people) {
  static pg::Statement select(
      "SELECT d.profile_id, d.other_profile_id, d.identifier_id, d.other_identifier_id "
      "FROM cdp.identity_decisions AS d "
      "WHERE d.profile_id = ANY ($1) AND d.kind = 'forbid_link' AND d.revoked_at IS NULL",
      pg::few_keys);
  auto rows = select.run(pg::Params().bigints(people));
  for (std::size_t i = 0; i < rows.size(); ++i)
    if (std::binary_search(people.begin(), people.end(), rows.bigint(i, 2)))
      fold_->forbid(node_of(rows.bigint(i, 1)), node_of(rows.bigint(i, 2)), rows.bigint(i, 3),
                    rows.bigint(i, 4));
}

std::vector<LeftOut> Identities::decide_anew(const Carried &carried, const Candidate &candidate,
                                             const std::vector<FoldCarried> &eligible) {
  std::vector<LeftOut> left_out;
  for (auto index : carried.identifiers)
    if (const auto &one = identifiers_[index]; !one.left_out.empty() && one.id != eligible.front().id)
      left_out.push_back({one.id, one.left_out, one.type, {}});
  const bool is_explicit = candidate.message.type == core::MessageType::alias;
  for (auto &one : fold_->decide(eligible, candidate.received_at, is_explicit)) {
    const auto type = std::find_if(types_->begin(), types_->end(),
                                   [&](const auto &named) { return named.second.index == one.type; });
    left_out.push_back({eligible[one.index].id, to_string(one.rule), type->first, std::move(one.conflicts)});
  }
  return left_out;
}

std::vector<LeftOut> Identities::judge(const Candidate &candidate, std::size_t index,
                                       const std::vector<FoldCarried> &eligible, std::int64_t decision) {
  auto ids = ids_of(carried_[index]);
  if (ids.size() < 2)
    return {};
  const auto known = kept_.find(ids);
  if (known != kept_.end() && !must_decide(candidate, index))
    return known->second;

  auto left_out = decide_anew(carried_[index], candidate, eligible);
  note_users(left_out, eligible);
  const bool is_explicit = candidate.message.type == core::MessageType::alias;
  const bool lasts =
      std::all_of(left_out.begin(), left_out.end(), [](const LeftOut &one) { return is_lasting(one.rule); });
  const bool timed = std::any_of(eligible.begin(), eligible.end(), [&](const auto &one) {
    return fold_->rule(one.type).within > 0 || fold_->rule(one.type).sharing == core::Sharing::latest;
  });
  if (is_explicit || timed || !lasts || known == kept_.end())
    journal_.add_evidence(candidate, decision, ids, left_out);
  if (is_explicit || timed || !lasts)
    return left_out;
  for (auto &one : left_out)
    one.conflicts.clear(); // the same text whether it is met for the first time or again
  return kept_[std::move(ids)] = left_out;
}

// Who was last on the devices shared by policy latest: the person of a message that names one. A person's
// decision against the link holds here, too.
void Identities::note_users(const std::vector<LeftOut> &left_out, const std::vector<FoldCarried> &eligible) {
  const auto &owner = eligible.front();
  if (fold_->rule(owner.type).sharing != core::Sharing::personal)
    return;
  for (const auto &device : eligible) {
    if (fold_->rule(device.type).sharing != core::Sharing::latest)
      continue;
    const bool is_left_out = std::any_of(left_out.begin(), left_out.end(),
                                         [&](const LeftOut &one) { return one.id == device.id; });
    if (is_left_out && (rule_of(left_out) == "forbidden_link" || rule_of(left_out) == "removed_link"))
      continue;
    auto &user = identifiers_[by_id_.at(device.id)].user_on_device;
    if (user != owner.id)
      user = users_[device.id] = owner.id;
  }
}

// What a message says belongs to its first identifier, or to who was last on its device.
std::int64_t Identities::owner_of(const std::vector<FoldCarried> &eligible) const {
  for (const auto &one : eligible)
    if (fold_->rule(one.type).sharing == core::Sharing::personal)
      return eligible.front().id;
  for (const auto &one : eligible)
    if (auto user = identifiers_[by_id_.at(one.id)].user_on_device;
        user != 0 && fold_->rule(one.type).sharing == core::Sharing::latest)
      return user;
  return eligible.front().id;
}

void Identities::refuse(const std::vector<LeftOut> &left_out, const Candidate &candidate, std::size_t index,
                        std::int64_t decision) {
  if (left_out.empty())
    return;
  const auto person = fold_->find(eligible(carried_[index]).front().node);
  for (const auto &one : left_out) {
    const auto &identifier = identifiers_[by_id_.at(one.id)];
    if (fold_->find(identifier.node) != person) // else one person by another message
      journal_.refuse(
          {identifier.type, identifier.value, one.rule, sentence(one), identifier.id, one.conflicts},
          candidate, decision);
  }
}

void Identities::log_refusals(const std::vector<Candidate> &candidates,
                              const std::vector<std::int64_t> &decisions, const std::vector<Left> &left_out) {
  std::unordered_map<std::int64_t, std::size_t> index;
  for (std::size_t i = 0; i < identifiers_.size(); ++i)
    index[identifiers_[i].id] = i;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    if (candidates[i].fate != collect::Fate::accepted)
      continue;
    for (const auto &refused : carried_[i].refused)
      journal_.refuse(refused, candidates[i], decisions[i]);
    for (const auto &[id, rule] : left_out[i]) {
      const auto &one = identifiers_[index.at(id)];
      journal_.refuse({one.type, one.value, rule, sentence({id, rule, one.type, {}}), id, {}}, candidates[i],
                      decisions[i]);
    }
  }
  journal_.store();
}

void Identities::store_users() {
  if (users_.empty())
    return;
  std::vector<std::int64_t> devices, users;
  for (const auto &[device, user] : users_) {
    devices.push_back(device);
    users.push_back(user);
  }
  static pg::Statement update("UPDATE cdp.identifiers AS i SET user_on_device_id = u.id FROM unnest($1, $2) "
                              "AS u (device, id) WHERE i.identifier_id = u.device",
                              pg::few_keys);
  update.run(pg::Params().bigints(devices).bigints(users));
}

} // namespace cdp::identity
