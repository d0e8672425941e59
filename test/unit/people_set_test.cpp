#include "core/people_set.hpp"

#include <algorithm>
#include <gtest/gtest.h>
#include <random>
#include <set>

using namespace cdp::core;

namespace {

using Ids = std::set<std::int64_t>;

PeopleSet made_of(const Ids &ids) {
  PeopleSet made;
  for (auto id : ids)
    made.set(id, true);
  return made;
}

Ids result(const std::string &text, const std::vector<PeopleSet> &sets) {
  Ids found;
  evaluate(parse_set_expression(text), sets, [&](std::int64_t number, const Roaring &chunk) {
    for (auto low : chunk)
      found.insert((number << kChunkBits) | low);
  });
  return found;
}

Ids combine(const Ids &a, const Ids &b, char how) {
  Ids made;
  auto into = std::inserter(made, made.end());
  if (how == '&')
    std::set_intersection(a.begin(), a.end(), b.begin(), b.end(), into);
  else if (how == '|')
    std::set_union(a.begin(), a.end(), b.begin(), b.end(), into);
  else
    std::set_difference(a.begin(), a.end(), b.begin(), b.end(), into);
  return made;
}

std::size_t place_of_error(const std::string &text) {
  try {
    parse_set_expression(text);
  } catch (const SetSyntaxError &error) {
    return error.position;
  }
  return std::string::npos;
}

} // namespace

TEST(SetExpression, BindsAsSqlDoes) {
  const auto parsed = parse_set_expression("a | b & c - a");
  EXPECT_EQ(parsed.names, (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_EQ(parsed.program, (std::vector<int>{0, 1, 2, SetExpression::both, SetExpression::either, 0,
                                              SetExpression::without}));
}

TEST(SetExpression, SaysWhereItIsWrong) {
  EXPECT_EQ(place_of_error(""), 0u);
  EXPECT_EQ(place_of_error("a &"), 3u);
  EXPECT_EQ(place_of_error("a b"), 2u);
  EXPECT_EQ(place_of_error("(a"), 0u);
  EXPECT_EQ(place_of_error("a)"), 1u);
  EXPECT_EQ(place_of_error("()"), 1u);
  EXPECT_EQ(place_of_error("!a"), 0u);
  EXPECT_EQ(place_of_error("a & B"), 4u);
  EXPECT_EQ(place_of_error("((a) - (b | c))"), std::string::npos);
}

TEST(PeopleSet, AgreesWithSetsOfTheStandardLibrary) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 50; ++round) {
    std::vector<Ids> ids(3);
    std::vector<PeopleSet> sets;
    for (auto &one : ids) {
      const auto range = std::int64_t(1) << (8 + random() % 14);
      for (auto n = random() % 20000; n > 0; --n)
        one.insert(static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(range)) +
                   (random() % 50 ? 0 : std::int64_t(1) << 40));
      sets.push_back(made_of(one));
    }
    EXPECT_EQ(result("a & b - c", sets), combine(combine(ids[0], ids[1], '&'), ids[2], '-'));
    EXPECT_EQ(result("a - (b | c)", sets), combine(ids[0], combine(ids[1], ids[2], '|'), '-'));
    EXPECT_EQ(count_both(sets[0], sets[1]), combine(ids[0], ids[1], '&').size());
    EXPECT_EQ(count(sets[2]), ids[2].size());
  }
}

TEST(PeopleSet, ChangesOnlyItsOwnChunks) {
  PeopleSet set;
  auto shared = std::make_shared<const Roaring>(Roaring::bitmapOf(2, 1, 2));
  set.put(0, shared);
  set.set(1, false);
  set.set(70000, true);
  set.set(3, true);
  EXPECT_EQ(shared->cardinality(), 2u);
  EXPECT_EQ(count(set), 3u);
}

TEST(PeopleSet, DamageIsSeen) {
  Roaring members;
  for (std::uint32_t low = 0; low < 1 << kChunkBits; low += 3)
    members.add(low);
  const auto stored = encode(members);
  ASSERT_TRUE(decode(stored));
  EXPECT_TRUE(*decode(stored) == members);
  for (std::size_t at = 0; at < stored.size(); at += at < 64 ? 1 : 97) {
    auto damaged = stored;
    damaged[at] = static_cast<char>(damaged[at] ^ 4);
    EXPECT_FALSE(decode(damaged)) << at;
    EXPECT_FALSE(decode(std::string_view(stored).substr(0, at)));
  }
  members.add(1 << kChunkBits);
  EXPECT_FALSE(decode(encode(members)));
}
