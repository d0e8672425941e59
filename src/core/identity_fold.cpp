#include "identity_fold.hpp"

#include <algorithm>

namespace cdp::core {

void IdentityFold::expect(std::size_t nodes) {
  people_.reserve(nodes);
  values_.reserve(nodes);
}

IdentityFold::Node IdentityFold::add(std::int64_t key) {
  return people_.add({key, {}});
}

void IdentityFold::hold(Node node, std::int64_t id, std::uint32_t type, Timestamp first_seen_at) {
  auto &person = people_.key(people_.find(node));
  if (rules_[type].sharing == Sharing::personal)
    person.kinds |= kPersonal;
  if (!rules_[type].limited())
    return;
  person.kinds |= bit_of(type);
  const auto place = static_cast<std::uint32_t>(values_.size());
  auto &chain = person.values;
  values_.push_back({id, first_seen_at, type, chain.head});
  chain.head = place;
  if (chain.tail == kEnd)
    chain.tail = place;
}

void IdentityFold::forbid(Node a, Node b, std::int64_t id, std::int64_t other_id) {
  forbidden_[people_.find(a)].push_back({b, id, other_id});
  forbidden_[people_.find(b)].push_back({a, other_id, id});
}

IdentityFold::Node IdentityFold::join(Node a, Node b) {
  const auto united = people_.unite(a, b);
  if (!united)
    return a;
  const auto [winner, loser] = *united;
  auto &one = people_.key(winner);
  const auto &other = people_.key(loser);
  one.kinds |= other.kinds;
  auto &to = one.values;
  const auto &from = other.values;
  if (to.head == kEnd) {
    to = from;
  } else if (from.head != kEnd) {
    values_[to.tail].next = from.head;
    to.tail = from.tail;
  }
  if (!forbidden_.empty())
    join_forbidden(winner, loser);
  return winner;
}

void IdentityFold::join_forbidden(Node winner, Node loser) {
  auto moved = forbidden_.extract(loser);
  if (!moved)
    return;
  auto &kept = forbidden_[winner];
  if (kept.size() < moved.mapped().size())
    kept.swap(moved.mapped());
  kept.insert(kept.end(), moved.mapped().begin(), moved.mapped().end());
}

IdentityFold::Verdict IdentityFold::decide(std::span<const Carried> carried, Timestamp at, bool is_explicit) {
  Verdict verdict;
  auto &accepted = accepted_;
  accepted.clear();
  Node person = 0; // of those accepted
  for (std::size_t i = 0; i < carried.size(); ++i) {
    const auto &next = carried[i];
    const auto root = people_.find(next.node);
    if (accepted.empty()) {
      person = root;
      accepted.push_back(next);
      continue;
    }
    if (person == root && cuts_.empty()) { // nothing to join, so nothing to be in the way
      accepted.push_back(next);
      continue;
    }
    auto left_out = obstacle(accepted, person, next, root, at, is_explicit);
    left_out.index = i;
    if (left_out.rule == Rule::none) {
      accepted.push_back(next);
      person = join(person, root);
      continue;
    }
    verdict.push_back(left_out);
    if (left_out.rule == Rule::sharing)
      continue;
    while (++left_out.index < carried.size())
      verdict.push_back(left_out);
    break;
  }
  return verdict;
}

IdentityFold::LeftOut IdentityFold::obstacle(const std::vector<Carried> &accepted, Node a,
                                             const Carried &next, Node b, Timestamp at, bool is_explicit) {
  LeftOut found{0, Rule::none, next.type, {}};
  if (is_cut(accepted, next, found.conflicts)) {
    found.rule = Rule::removed_link;
  } else if (a == b) {
    return found;
  } else if (is_forbidden(a, b, found.conflicts)) {
    found.rule = Rule::forbidden_link;
  } else if (breaks_sharing(accepted, a, next, b)) {
    found.rule = Rule::sharing;
    found.conflicts = {key(a), key(b)};
  } else if (!is_explicit && breaks_limit(a, b, at, found)) {
    found.rule = rules_[found.type].unique ? Rule::unique : Rule::limit;
  }
  return found;
}

bool IdentityFold::is_cut(const std::vector<Carried> &accepted, const Carried &next,
                          Conflicts &conflicts) const {
  if (cuts_.empty())
    return false;
  for (const auto &one : accepted)
    if (cuts_.contains(std::minmax(one.id, next.id))) {
      conflicts = {one.id, next.id};
      return true;
    }
  return false;
}

bool IdentityFold::is_forbidden(Node a, Node b, Conflicts &conflicts) {
  if (forbidden_.empty())
    return false;
  auto mine = forbidden_.find(a), theirs = forbidden_.find(b);
  if (mine == forbidden_.end() || theirs == forbidden_.end())
    return false;
  if (mine->second.size() > theirs->second.size()) {
    std::swap(a, b);
    std::swap(mine, theirs);
  }
  for (const auto &one : mine->second)
    if (people_.find(one.other) == b) { // of several decisions the same, in whatever order they were read
      const auto [low, high] = std::minmax(one.id, one.other_id);
      if (Conflicts pair{low, high}; conflicts.empty() || pair < conflicts)
        conflicts = pair;
    }
  return !conflicts.empty();
}

// A link is a device's when one side of it, on this message, is only devices.
bool IdentityFold::breaks_sharing(const std::vector<Carried> &accepted, Node a, const Carried &next,
                                  Node b) const {
  auto policy = rules_[next.type].sharing;
  if (policy == Sharing::personal) {
    for (const auto &one : accepted)
      if (rules_[one.type].sharing == Sharing::personal)
        return false;
    policy = rules_[accepted.front().type].sharing;
  }
  switch (policy) {
  case Sharing::first:
  case Sharing::latest:
    return people_.key(a).is_known() && people_.key(b).is_known();
  case Sharing::none:
    return people_.key(a).is_known() || people_.key(b).is_known();
  default:
    return false;
  }
}

bool IdentityFold::counts(const Value &value, Timestamp at) const {
  const auto within = rules_[value.type].within;
  return within == 0 || value.first_seen_at > at - within;
}

std::int32_t IdentityFold::count(Node root, std::uint32_t type, Timestamp at) const {
  std::int32_t number = 0;
  for (auto place = people_.key(root).values.head; place != kEnd; place = values_[place].next)
    number += values_[place].type == type && counts(values_[place], at);
  return number;
}

// Of several types the first by index, so that the answer does not depend on the order in which values came.
bool IdentityFold::breaks_limit(Node a, Node b, Timestamp at, LeftOut &left_out) const {
  if (!(people_.key(a).kinds & people_.key(b).kinds & ~kPersonal)) // no type on both sides
    return false;
  std::uint32_t broken = kEnd;
  for (auto place = people_.key(b).values.head; place != kEnd; place = values_[place].next) {
    const auto type = values_[place].type;
    if (type >= broken)
      continue;
    const auto mine = count(a, type, at), theirs = count(b, type, at);
    if (mine > 0 && theirs > 0 && mine + theirs > rules_[type].most())
      broken = type;
  }
  if (broken == kEnd)
    return false;
  left_out.type = broken;
  for (auto root : {a, b})
    for (auto one = people_.key(root).values.head; one != kEnd; one = values_[one].next)
      if (values_[one].type == broken && counts(values_[one], at))
        left_out.conflicts.push_back(values_[one].id);
  std::sort(left_out.conflicts.begin(), left_out.conflicts.end());
  return true;
}

} // namespace cdp::core
