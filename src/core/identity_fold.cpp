#include "identity_fold.hpp"

#include <algorithm>

namespace cdp::core {

void IdentityFold::expect(std::size_t nodes) {
  people_.reserve(nodes);
  chains_.reserve(nodes);
  personal_.reserve(nodes);
}

IdentityFold::Node IdentityFold::add(std::int64_t key) {
  chains_.emplace_back();
  personal_.push_back(false);
  return people_.add(key);
}

void IdentityFold::hold(Node node, std::int64_t id, std::uint32_t type, Timestamp first_seen_at) {
  const auto root = people_.find(node);
  if (rules_[type].sharing == Sharing::personal)
    personal_[root] = true;
  if (!rules_[type].limited())
    return;
  const auto place = static_cast<std::uint32_t>(values_.size());
  auto &chain = chains_[root];
  values_.push_back({id, first_seen_at, type, chain.head});
  chain.head = place;
  if (chain.tail == kEnd)
    chain.tail = place;
}

void IdentityFold::forbid(Node a, Node b, std::int64_t id, std::int64_t other_id) {
  forbidden_[people_.find(a)].push_back({b, id, other_id});
  forbidden_[people_.find(b)].push_back({a, other_id, id});
}

void IdentityFold::join(Node a, Node b) {
  const auto united = people_.unite(a, b);
  if (!united)
    return;
  const auto [winner, loser] = *united;
  personal_[winner] = personal_[winner] || personal_[loser];
  auto &to = chains_[winner], &from = chains_[loser];
  if (to.head == kEnd) {
    to = from;
  } else if (from.head != kEnd) {
    values_[to.tail].next = from.head;
    to.tail = from.tail;
  }
  if (forbidden_.empty())
    return;
  if (auto moved = forbidden_.extract(loser)) {
    auto &kept = forbidden_[winner];
    if (kept.size() < moved.mapped().size())
      kept.swap(moved.mapped());
    kept.insert(kept.end(), moved.mapped().begin(), moved.mapped().end());
  }
}

IdentityFold::Verdict IdentityFold::decide(std::span<const Carried> carried, Timestamp at, bool is_explicit) {
  Verdict verdict;
  auto &accepted = accepted_;
  accepted.clear();
  for (std::size_t i = 0; i < carried.size(); ++i) {
    auto left_out = obstacle(accepted, carried[i], at, is_explicit);
    left_out.index = i;
    if (left_out.rule == Rule::none) {
      accepted.push_back(carried[i]);
      unite(carried.front().node, carried[i].node);
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

IdentityFold::LeftOut IdentityFold::obstacle(const std::vector<Carried> &accepted, const Carried &next,
                                             Timestamp at, bool is_explicit) {
  LeftOut found{0, Rule::none, next.type, {}};
  if (accepted.empty())
    return found;
  const auto a = people_.find(accepted.front().node), b = people_.find(next.node);
  if (is_cut(accepted, next, found.conflicts)) {
    found.rule = Rule::removed_link;
  } else if (a == b) {
    return found;
  } else if (is_forbidden(a, b, found.conflicts)) {
    found.rule = Rule::forbidden_link;
  } else if (breaks_sharing(accepted, a, next, b)) {
    found.rule = Rule::sharing;
    found.conflicts = {people_.key(a), people_.key(b)};
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
    return personal_[a] && personal_[b];
  case Sharing::none:
    return personal_[a] || personal_[b];
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
  for (auto place = chains_[root].head; place != kEnd; place = values_[place].next)
    number += values_[place].type == type && counts(values_[place], at);
  return number;
}

// Of several types the first by index, so that the answer does not depend on the order in which values came.
bool IdentityFold::breaks_limit(Node a, Node b, Timestamp at, LeftOut &left_out) const {
  if (chains_[a].head == kEnd || chains_[b].head == kEnd)
    return false;
  std::uint32_t broken = kEnd;
  for (auto place = chains_[b].head; place != kEnd; place = values_[place].next) {
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
    for (auto one = chains_[root].head; one != kEnd; one = values_[one].next)
      if (values_[one].type == broken && counts(values_[one], at))
        left_out.conflicts.push_back(values_[one].id);
  std::sort(left_out.conflicts.begin(), left_out.conflicts.end());
  return true;
}

} // namespace cdp::core
