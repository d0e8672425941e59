#include "match_cluster.hpp"
#include "match_wanted.hpp"
#include "union_find.hpp"

#include <algorithm>
#include <cmath>
#include <memory_resource>
#include <numeric>
#include <queue>
#include <unordered_map>

namespace cdp::core::match {

namespace {

BasicUnionFind<std::uint32_t> singletons(std::size_t members) {
  BasicUnionFind<std::uint32_t> sets;
  sets.reserve(members);
  for (std::uint32_t member = 0; member < members; ++member)
    sets.add(member);
  return sets;
}

Clusters named(BasicUnionFind<std::uint32_t> &sets) {
  Clusters clusters;
  clusters.reserve(sets.size());
  for (std::size_t member = 0; member < sets.size(); ++member)
    clusters.push_back(static_cast<std::uint32_t>(sets.find(member)));
  return clusters;
}

} // namespace

Clusters connected(std::size_t members, const std::vector<Edge> &edges, double threshold) {
  auto sets = singletons(members);
  Patience patience;
  for (const auto &edge : edges) {
    patience.step();
    if (edge.weight >= threshold)
      sets.unite(edge.a, edge.b);
  }
  return named(sets);
}

Clusters best_links(std::size_t members, std::vector<Edge> edges, double threshold,
                    const std::vector<std::uint32_t> &sources) {
  std::erase_if(edges, [&](const Edge &edge) { return edge.weight < threshold; });
  Patience patience;
  std::sort(edges.begin(), edges.end(), [&](const Edge &a, const Edge &b) {
    patience.step();
    return a.weight != b.weight ? a.weight > b.weight : a.a != b.a ? a.a < b.a : a.b < b.b;
  });
  auto sets = singletons(members);
  std::vector<std::vector<std::uint32_t>> held(members); // sorted, of representatives
  for (std::size_t member = 0; member < members; ++member)
    if (sources[member])
      held[member].push_back(sources[member]);
  std::vector<std::uint32_t> both;
  for (const auto &edge : edges) {
    patience.step(1 + both.size());
    const auto a = sets.find(edge.a), b = sets.find(edge.b);
    if (a == b)
      continue;
    both.clear();
    std::set_union(held[a].begin(), held[a].end(), held[b].begin(), held[b].end(), std::back_inserter(both));
    if (both.size() < held[a].size() + held[b].size())
      continue; // a source would be in it twice
    const auto united = sets.unite(a, b);
    held[united->winner] = both;
    held[united->loser].clear();
  }
  return named(sets);
}

namespace {

/// What is known between two groups.
struct Bond {
  double sum = 0;
  std::uint64_t pairs = 0;
};

class Merger {
public:
  Merger(std::size_t members, const std::vector<Edge> &edges, double threshold, double unknown, double cap,
         Uniques uniques)
      : unknown_(unknown), uniques_(std::move(uniques)), sets_(singletons(members)), sizes_(members, 1),
        versions_(members), firsts_(members),
        bonds_(*new (arena_.allocate(sizeof(Bonds), alignof(Bonds))) Bonds(members, &arena_)) {
    std::iota(firsts_.begin(), firsts_.end(), 0u);
    for (const auto &edge : edges) {
      patience_.step();
      const double strength = std::clamp(edge.weight - threshold, -cap, cap);
      for (auto [from, to] : {std::pair(edge.a, edge.b), std::pair(edge.b, edge.a)}) {
        Bond &bond = bonds_[from][to];
        bond.sum += strength;
        ++bond.pairs;
      }
    }
    for (std::uint32_t group = 0; group < members; ++group, patience_.step())
      for (const auto &[other, bond] : bonds_[group])
        if (group < other)
          offer(group, other, bond);
  }

  void run(const std::function<void()> &still_wanted) {
    for (std::size_t step = 0; !queue_.empty(); ++step) {
      if (step % kOffers == 0)
        still_wanted();
      const Offer best = queue_.top();
      queue_.pop();
      if (versions_[best.a] == best.version_a && versions_[best.b] == best.version_b && share(best.a, best.b))
        merge(best.a, best.b);
    }
  }

  Clusters clusters() { return named(sets_); }

private:
  using Group = std::uint32_t;
  struct Offer {
    std::int64_t mean;           // in billionths: sums in another order are no other sums
    std::uint32_t first, second; // their smallest members
    Group a, b;
    std::uint32_t version_a, version_b;
    bool operator<(const Offer &other) const { // the same order every time
      return mean != other.mean     ? mean < other.mean
             : first != other.first ? first > other.first
                                    : second > other.second;
    }
  };

  void offer(Group a, Group b, const Bond &bond) {
    const double pairs = static_cast<double>(sizes_[a]) * static_cast<double>(sizes_[b]);
    const auto mean =
        std::llround((bond.sum - unknown_ * (pairs - static_cast<double>(bond.pairs))) / pairs * 1e9);
    if (mean < 0)
      return;
    if (firsts_[a] > firsts_[b])
      std::swap(a, b);
    queue_.push({mean, firsts_[a], firsts_[b], a, b, versions_[a], versions_[b]});
  }

  std::uint32_t *uniques_of(Group group) { return uniques_.values.data() + group * uniques_.width; }

  /// Whether two groups have no two values of what nobody has two of; then both have what either has. Groups
  /// that have them will never do, whatever they grow to.
  bool share(Group a, Group b) {
    std::uint32_t *x = uniques_of(a), *y = uniques_of(b);
    for (std::size_t i = 0; i < uniques_.width; ++i)
      if (x[i] && y[i] && x[i] != y[i])
        return false;
    for (std::size_t i = 0; i < uniques_.width; ++i)
      x[i] = y[i] = x[i] | y[i];
    return true;
  }

  /// The group with more bonds takes the other's.
  void merge(Group a, Group b) {
    if (bonds_[a].size() < bonds_[b].size())
      std::swap(a, b);
    sets_.unite(a, b);
    bonds_[a].erase(b);
    bonds_[b].erase(a);
    ++versions_[a];
    ++versions_[b];
    sizes_[a] += sizes_[b];
    firsts_[a] = std::min(firsts_[a], firsts_[b]);
    for (const auto &[other, bond] : bonds_[b]) {
      patience_.step();
      Bond &both = bonds_[a][other];
      both.sum += bond.sum;
      both.pairs += bond.pairs;
      bonds_[other].erase(b);
      bonds_[other][a] = both;
    }
    bonds_[b].clear();
    for (const auto &[other, bond] : bonds_[a]) {
      patience_.step();
      offer(a, other, bond);
    }
  }

  Patience patience_;
  double unknown_;
  Uniques uniques_;
  BasicUnionFind<std::uint32_t> sets_;
  std::vector<std::uint64_t> sizes_;
  std::vector<std::uint32_t> versions_, firsts_;
  // Goes with its memory, at once: taking millions of entries apart one by one would keep a cancel waiting.
  using Bonds = std::pmr::vector<std::pmr::unordered_map<Group, Bond>>;
  std::pmr::monotonic_buffer_resource arena_;
  Bonds &bonds_;
  std::priority_queue<Offer> queue_;
};

} // namespace

Clusters cohesive(std::size_t members, const std::vector<Edge> &edges, double threshold, double unknown,
                  double cap, const std::function<void()> &still_wanted, Uniques uniques) {
  // Groups are only joined where some pair speaks for it: what lies between others is never asked for.
  const auto parts = connected(members, edges, threshold);
  std::vector<Edge> within;
  Patience patience;
  for (const auto &edge : edges) {
    patience.step();
    if (parts[edge.a] == parts[edge.b])
      within.push_back(edge);
  }
  Merger merger(members, within, threshold, unknown, cap, std::move(uniques));
  merger.run(still_wanted);
  return merger.clusters();
}

} // namespace cdp::core::match
