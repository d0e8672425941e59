#include "union_find.hpp"

#include <algorithm>
#include <gtest/gtest.h>
#include <random>
#include <string>

namespace cdp::core {
namespace {

TEST(UnionFind, TheSmallestKeyRepresents) {
  UnionFind sets({50, 10, 30, 20});
  const auto first = sets.unite(0, 2);
  ASSERT_TRUE(first.has_value());
  EXPECT_EQ(first->winner, 2u);
  EXPECT_EQ(first->loser, 0u);
  EXPECT_FALSE(sets.unite(2, 0).has_value());
  EXPECT_EQ(sets.unite(0, 1)->winner, 1u);
  EXPECT_EQ(sets.find(0), 1u);
  EXPECT_EQ(sets.find(2), 1u);
  EXPECT_FALSE(sets.same(0, 3));
}

TEST(UnionFind, GrowsAndBreaksTiesByIndex) {
  UnionFind sets;
  EXPECT_EQ(sets.size(), 0u);
  EXPECT_EQ(sets.add(7), 0u);
  EXPECT_EQ(sets.add(7), 1u);
  EXPECT_EQ(sets.unite(1, 0)->winner, 0u);
  EXPECT_EQ(sets.add(-1), 2u);
  EXPECT_EQ(sets.unite(1, 2)->winner, 2u);
  EXPECT_EQ(sets.find(0), 2u);
  EXPECT_EQ(sets.key(2), -1);
}

TEST(UnionFind, KeysMayBeAnyOrderedType) {
  BasicUnionFind<std::string> sets({"b", "a"});
  EXPECT_EQ(sets.unite(0, 1)->winner, 1u);
}

/// The same by flooding labels.
TEST(UnionFind, AgreesWithRelabelling) {
  std::mt19937 random(2);
  for (int round = 0; round < 200; ++round) {
    const std::size_t size = 1 + random() % 60;
    std::vector<std::int64_t> keys(size);
    for (auto &key : keys)
      key = static_cast<std::int64_t>(random() % 40);
    UnionFind sets(keys);
    std::vector<std::size_t> label(size);
    for (std::size_t i = 0; i < size; ++i)
      label[i] = i;
    for (std::size_t step = 0; step < size; ++step) {
      const std::size_t a = random() % size;
      const std::size_t b = random() % size;
      ASSERT_EQ(sets.unite(a, b).has_value(), label[a] != label[b]);
      std::replace(label.begin(), label.end(), std::size_t{label[b]}, std::size_t{label[a]});
    }
    for (std::size_t i = 0; i < size; ++i) {
      std::size_t smallest = i;
      for (std::size_t j = 0; j < size; ++j)
        if (label[j] == label[i] && std::pair(keys[j], j) < std::pair(keys[smallest], smallest))
          smallest = j;
      ASSERT_EQ(sets.find(i), smallest);
    }
  }
}

TEST(UnionFind, LongChainsAreFast) {
  constexpr std::size_t size = 300'000;
  UnionFind sets;
  for (std::size_t i = 0; i < size; ++i)
    sets.add(static_cast<std::int64_t>(size - i));
  for (std::size_t i = 1; i < size; ++i) // each newcomer takes over: the worst order for linking by key
    sets.unite(i - 1, i);
  for (std::size_t i = 0; i < size; ++i)
    ASSERT_EQ(sets.find(i), size - 1);
}

} // namespace
} // namespace cdp::core
