#include "bridges.hpp"

#include "union_find.hpp"

#include <algorithm>
#include <gtest/gtest.h>
#include <map>
#include <random>
#include <set>

namespace cdp::core {
namespace {

using Index = Web::Index;

Web random_web(std::mt19937 &random, std::size_t members, std::size_t groups) {
  Web web{members, {}};
  for (std::size_t i = 0; i < groups; ++i) {
    std::vector<Index> group;
    for (std::size_t n = 1 + random() % 4; n > 0; --n)
      if (const auto member = static_cast<Index>(random() % members);
          std::find(group.begin(), group.end(), member) == group.end())
        group.push_back(member);
    web.groups.push_back(std::move(group));
  }
  return web;
}

// Parts that hold together without one member.
UnionFind without(const Web &web, Index left_out) {
  UnionFind sets;
  for (std::size_t i = 0; i < web.members; ++i)
    sets.add(static_cast<std::int64_t>(i));
  for (const auto &group : web.groups)
    for (auto a : group)
      for (auto b : group)
        if (a != left_out && b != left_out)
          sets.unite(a, b);
  return sets;
}

using Found =
    std::tuple<Index, std::vector<Index>, std::size_t, std::size_t, std::size_t, std::size_t, std::size_t>;

std::set<Found> cuts_by_flooding(const Web &web, const std::vector<std::uint32_t> &weights) {
  std::set<Found> found;
  auto whole = without(web, static_cast<Index>(web.members));
  for (Index joint = 0; joint < web.members; ++joint) {
    auto sets = without(web, joint);
    std::map<std::size_t, std::vector<Index>> parts;
    std::size_t size = 0, weight = 0;
    for (Index i = 0; i < web.members; ++i)
      if (whole.same(i, joint)) {
        ++size;
        weight += weights[i];
        if (i != joint)
          parts[sets.find(i)].push_back(i);
      }
    for (std::size_t g = 0; g < web.groups.size(); ++g) // a group with nobody but the joint is a part, too
      if (web.groups[g] == std::vector<Index>{joint})
        parts[web.members + g];
    if (parts.size() < 2)
      continue;
    for (const auto &[root, part] : parts) {
      if (part.size() < 2 || size - part.size() < 2)
        continue;
      std::size_t sum = 0;
      std::vector<Index> groups;
      for (auto member : part)
        sum += weights[member];
      for (Index g = 0; g < web.groups.size(); ++g) {
        const auto has = [&](Index member) {
          return std::find(web.groups[g].begin(), web.groups[g].end(), member) != web.groups[g].end();
        };
        if (has(joint) && std::any_of(part.begin(), part.end(), has))
          groups.push_back(g);
      }
      found.emplace(joint, groups, part.size(), size, sum, weight, parts.size());
    }
  }
  return found;
}

TEST(Bridges, AgreeWithFlooding) {
  std::mt19937 random(7);
  for (int round = 0; round < 3000; ++round) {
    const auto web = random_web(random, 1 + random() % 14, random() % 16);
    std::vector<std::uint32_t> weights(web.members);
    for (auto &weight : weights)
      weight = random() % 3;
    std::set<Found> found;
    for (const auto &cut : find_cuts(web, weights))
      ASSERT_TRUE(
          found.emplace(cut.joint, cut.groups, cut.size, cut.whole, cut.weight, cut.whole_weight, cut.parts)
              .second);
    ASSERT_EQ(found, cuts_by_flooding(web, weights)) << "round " << round;
  }
}

// Every chain of so many steps, tried in order: the first that arrives.
bool arrives(const Web &web, Index from, Index to, std::size_t steps, std::vector<Index> &groups) {
  if (steps == 0)
    return from == to;
  for (Index g = 0; g < web.groups.size(); ++g) {
    const auto &group = web.groups[g];
    if (std::find(group.begin(), group.end(), from) == group.end())
      continue;
    groups.push_back(g);
    for (auto next : group)
      if (arrives(web, next, to, steps - 1, groups))
        return true;
    groups.pop_back();
  }
  return false;
}

TEST(Bridges, ChainsAreTheShortest) {
  std::mt19937 random(8);
  for (int round = 0; round < 1500; ++round) {
    const auto web = random_web(random, 1 + random() % 7, random() % 7);
    const auto from = static_cast<Index>(random() % web.members),
               to = static_cast<Index>(random() % web.members);
    const auto chain = shortest_chain(web, from, to);
    ASSERT_EQ(chain.has_value(), without(web, static_cast<Index>(web.members)).same(from, to));
    if (!chain)
      continue;
    auto at = from;
    for (const auto &step : *chain) {
      const auto &group = web.groups[step.group];
      EXPECT_EQ(step.from, at);
      EXPECT_NE(std::find(group.begin(), group.end(), at), group.end());
      EXPECT_NE(std::find(group.begin(), group.end(), step.to), group.end());
      at = step.to;
    }
    EXPECT_EQ(at, to);
    std::vector<Index> groups;
    for (std::size_t steps = 0; steps < chain->size(); ++steps)
      ASSERT_FALSE(arrives(web, from, to, steps, groups));
    ASSERT_TRUE(arrives(web, from, to, chain->size(), groups));
    ASSERT_EQ(chain->empty() ? 0 : chain->front().group, groups.empty() ? 0 : groups.front());
  }
}

TEST(Bridges, TheOneBetweenTwoMonstersIsTheWorst) {
  constexpr Index half = 50'000;
  Web web{2 * half + 1, {}};
  std::vector<std::uint32_t> weights(web.members, 0);
  std::mt19937 random(9);
  const auto fill = [&](Index first) {
    weights[first] = 1;
    for (Index i = 1; i < half; ++i) {
      web.groups.push_back({first + i, first + static_cast<Index>(random() % i)});
      web.groups.push_back({first + i, first + static_cast<Index>(random() % i)});
    }
  };
  fill(0);
  fill(half);
  web.groups.push_back({5, 2 * half}); // a device that both were on
  web.groups.push_back({half + 7, 2 * half});
  const auto cuts = find_cuts(web, weights);
  const auto worst = std::max_element(cuts.begin(), cuts.end(), [&](const Cut &a, const Cut &b) {
    return suspicion(a, a.joint == 2 * half) < suspicion(b, b.joint == 2 * half);
  });
  ASSERT_NE(worst, cuts.end());
  EXPECT_EQ(worst->joint, 2 * half);
  EXPECT_EQ(worst->size, half);
  EXPECT_EQ(worst->groups.size(), 1u);
}

TEST(Bridges, ALongRopeNeedsNoStack) {
  constexpr Index size = 300'000;
  Web web{size, {}};
  for (Index i = 1; i < size; ++i)
    web.groups.push_back({i - 1, i});
  EXPECT_EQ(find_cuts(web, std::vector<std::uint32_t>(size)).size(), 2 * (size - 2) - 2);
  EXPECT_EQ(shortest_chain(web, 0, size - 1)->size(), size - 1);
}

TEST(Bridges, SuspicionGrowsWithTheSmallerSide) {
  const Cut small{0, {0}, 2, 100, 1, 2, 2}, large{0, {0}, 50, 100, 1, 2, 2},
      twice{0, {0, 1}, 50, 100, 1, 2, 2}, bare{0, {0}, 50, 100, 0, 2, 2};
  EXPECT_LT(suspicion(small, false), suspicion(large, false));
  EXPECT_LT(suspicion(large, false), suspicion(large, true));
  EXPECT_LT(suspicion(twice, false), suspicion(large, false));
  EXPECT_LT(suspicion(bare, false), suspicion(large, false));
  EXPECT_EQ(suspicion({0, {0}, 1, 100, 1, 2, 2}, true), 0);
}

} // namespace
} // namespace cdp::core
