#include "bridges.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace cdp::core {

namespace {

using Index = Web::Index;
constexpr Index kNone = std::numeric_limits<Index>::max();

/// The groups of each member, in order.
class Memberships {
public:
  explicit Memberships(const Web &web) : starts_(web.members + 1) {
    for (const auto &group : web.groups)
      for (auto member : group)
        ++starts_[member + 1];
    for (std::size_t i = 0; i < web.members; ++i)
      starts_[i + 1] += starts_[i];
    groups_.resize(starts_.back());
    auto next = starts_;
    for (Index group = 0; group < web.groups.size(); ++group)
      for (auto member : web.groups[group])
        groups_[next[member]++] = group;
  }
  std::size_t size(Index member) const { return starts_[member + 1] - starts_[member]; }
  Index at(Index member, std::size_t place) const { return groups_[starts_[member] + place]; }

private:
  std::vector<std::size_t> starts_;
  std::vector<Index> groups_;
};

/// Steps from each member to a goal, as far as a start needs them.
std::vector<Index> distances(const Web &web, const Memberships &of, Index goal, Index start) {
  std::vector<Index> steps(web.members, kNone), queue{goal};
  std::vector<bool> used(web.groups.size());
  steps[goal] = 0;
  for (std::size_t next = 0; next < queue.size() && steps[start] == kNone; ++next)
    for (std::size_t i = 0; i < of.size(queue[next]); ++i) {
      const auto group = of.at(queue[next], i);
      if (used[group])
        continue;
      used[group] = true;
      for (auto member : web.groups[group])
        if (steps[member] == kNone) {
          steps[member] = steps[queue[next]] + 1;
          queue.push_back(member);
        }
    }
  return steps;
}

/// A depth-first walk over members and groups as one graph: node n < members is a member, others are groups.
class Walk {
public:
  Walk(const Web &web, const Memberships &of, const std::vector<std::uint32_t> &weights)
      : web_(web), of_(of), weights_(weights), at_(nodes(), kNone), parent_(nodes(), kNone), low_(nodes()),
        end_(nodes()), members_(nodes()), weight_(nodes()), root_(nodes()) {
    order_.reserve(nodes());
    for (Index node = 0; node < web.members; ++node)
      if (at_[node] == kNone)
        visit_from(node);
    for (std::size_t i = order_.size(); i-- > 0;)
      sum_up(order_[i]);
  }

  void cuts_at(Index joint, std::vector<Cut> &cuts) const;

private:
  std::size_t nodes() const { return web_.members + web_.groups.size(); }
  std::size_t degree(Index node) const {
    return node < web_.members ? of_.size(node) : web_.groups[node - web_.members].size();
  }
  Index neighbour(Index node, std::size_t place) const {
    return node < web_.members ? static_cast<Index>(of_.at(node, place) + web_.members)
                               : web_.groups[node - web_.members][place];
  }
  void visit_from(Index root);
  void sum_up(Index node);
  bool hangs_on(Index child, Index joint) const {
    return parent_[child] == joint && low_[child] >= at_[joint];
  }
  std::vector<Index> hanging(Index joint) const;

  const Web &web_;
  const Memberships &of_;
  const std::vector<std::uint32_t> &weights_;
  std::vector<Index> at_, parent_, low_, end_,
      order_;                                 // place of discovery; last place of the subtree, exclusive
  std::vector<std::size_t> members_, weight_; // of the subtree
  std::vector<Index> root_;
};

void Walk::visit_from(Index root) {
  struct Frame {
    Index node;
    std::size_t next;
  };
  std::vector<Frame> stack;
  const auto enter = [&](Index node, Index parent) {
    at_[node] = static_cast<Index>(order_.size());
    parent_[node] = parent;
    root_[node] = root;
    order_.push_back(node);
    stack.push_back({node, 0});
  };
  enter(root, kNone);
  while (!stack.empty()) {
    auto &frame = stack.back();
    if (frame.next == degree(frame.node)) {
      end_[frame.node] = static_cast<Index>(order_.size());
      stack.pop_back();
      continue;
    }
    const auto node = frame.node, to = neighbour(node, frame.next++);
    if (at_[to] == kNone)
      enter(to, node);
  }
}

/// Children come later in the order, so theirs is known.
void Walk::sum_up(Index node) {
  low_[node] = at_[node];
  if (node < web_.members) {
    members_[node] += 1;
    weight_[node] += weights_[node];
  }
  for (std::size_t i = 0; i < degree(node); ++i) {
    const auto to = neighbour(node, i);
    if (parent_[to] == node) {
      low_[node] = std::min(low_[node], low_[to]);
      members_[node] += members_[to];
      weight_[node] += weight_[to];
    } else if (to != parent_[node]) {
      low_[node] = std::min(low_[node], at_[to]);
    }
  }
}

std::vector<Index> Walk::hanging(Index joint) const {
  std::vector<Index> children;
  for (std::size_t i = 0; i < degree(joint); ++i)
    if (const auto child = neighbour(joint, i); hangs_on(child, joint))
      children.push_back(child);
  std::sort(children.begin(), children.end(), [&](Index a, Index b) { return at_[a] < at_[b]; });
  return children;
}

void Walk::cuts_at(Index joint, std::vector<Cut> &cuts) const {
  const auto children = hanging(joint);
  const auto root = root_[joint];
  const std::size_t parts = children.size() + (joint == root ? 0 : 1);
  if (parts < 2)
    return;
  std::vector<Cut> found;
  const auto own = weights_[joint];
  Cut above{joint, {}, members_[root] - 1, members_[root], weight_[root] - own, weight_[root], parts};
  for (auto child : children) {
    found.push_back({joint, {}, members_[child], members_[root], weight_[child], weight_[root], parts});
    above.size -= members_[child];
    above.weight -= weight_[child];
  }
  for (std::size_t i = 0; i < of_.size(joint); ++i) {
    const auto group = of_.at(joint, i);
    const auto place = at_[group + web_.members];
    const auto after = std::upper_bound(children.begin(), children.end(), place,
                                        [&](Index at, Index child) { return at < at_[child]; });
    const bool below = after != children.begin() && place < end_[*(after - 1)];
    (below ? found[static_cast<std::size_t>(after - children.begin()) - 1] : above).groups.push_back(group);
  }
  if (joint != root)
    found.push_back(std::move(above));
  for (auto &cut : found)
    if (cut.size >= 2 && cut.whole - cut.size >= 2)
      cuts.push_back(std::move(cut));
}

} // namespace

std::optional<std::vector<ChainStep>> shortest_chain(const Web &web, Index from, Index to) {
  const Memberships of(web);
  const auto steps = distances(web, of, to, from);
  if (steps[from] == kNone)
    return std::nullopt;
  std::vector<ChainStep> chain;
  while (from != to) {
    const auto nearer = [&](Index member) { return steps[member] == steps[from] - 1; };
    for (std::size_t i = 0; i < of.size(from); ++i) {
      const auto group = of.at(from, i);
      const auto &members = web.groups[group];
      const auto next = std::find_if(members.begin(), members.end(), nearer);
      if (next == members.end())
        continue;
      chain.push_back({from, group, *next});
      from = *next;
      break;
    }
  }
  return chain;
}

std::vector<Cut> find_cuts(const Web &web, const std::vector<std::uint32_t> &weights) {
  const Memberships of(web);
  const Walk walk(web, of, weights);
  std::vector<Cut> cuts;
  for (Index member = 0; member < web.members; ++member)
    walk.cuts_at(member, cuts);
  return cuts;
}

double suspicion(const Cut &cut, bool weak_joint) {
  const auto smaller = std::min(cut.size, cut.whole - cut.size);
  const bool both = cut.weight > 0 && cut.weight < cut.whole_weight;
  return std::log2(static_cast<double>(smaller)) * (both ? 1 : 0.25) * (weak_joint ? 2 : 1) /
         static_cast<double>(std::max<std::size_t>(cut.groups.size(), 1));
}

} // namespace cdp::core
