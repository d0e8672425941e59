#include "identity_fold.hpp"

#include <algorithm>
#include <gtest/gtest.h>
#include <map>
#include <random>
#include <set>

namespace cdp::core {
namespace {

constexpr Timestamp kDay = 86'400'000'000;

struct Known {
  std::uint32_t type;
  Timestamp seen;
};

// The same decisions by sets of identifiers, the slow way.
class Naive {
public:
  Naive(std::vector<TypeRule> rules, std::vector<Known> known)
      : rules_(std::move(rules)), known_(std::move(known)) {
    for (std::size_t i = 0; i < known_.size(); ++i)
      person_.push_back({i});
  }
  std::set<std::pair<std::size_t, std::size_t>> cuts, forbidden; // smaller first

  std::map<std::size_t, Rule> decide(const std::vector<std::size_t> &carried, Timestamp at,
                                     bool is_explicit) {
    std::map<std::size_t, Rule> left_out;
    std::vector<std::size_t> accepted;
    for (std::size_t i = 0; i < carried.size(); ++i) {
      const auto rule = accepted.empty() ? Rule::none : obstacle(accepted, carried[i], at, is_explicit);
      if (rule == Rule::none) {
        unite(carried[0], carried[i]);
        accepted.push_back(carried[i]);
      } else if (rule == Rule::sharing) {
        left_out[i] = rule;
      } else {
        for (; i < carried.size(); ++i)
          left_out[i] = rule;
      }
    }
    return left_out;
  }
  void unite(std::size_t a, std::size_t b) {
    auto all = person_[a];
    all.insert(person_[b].begin(), person_[b].end());
    for (auto each : all)
      person_[each] = all;
  }
  std::size_t smallest(std::size_t i) const { return *person_[i].begin(); }

private:
  Rule obstacle(const std::vector<std::size_t> &accepted, std::size_t next, Timestamp at, bool is_explicit) {
    for (auto one : accepted)
      if (cuts.contains(std::minmax(one, next)))
        return Rule::removed_link;
    const auto &a = person_[accepted[0]], &b = person_[next];
    if (a == b)
      return Rule::none;
    for (auto [one, other] : forbidden)
      if ((a.contains(one) && b.contains(other)) || (a.contains(other) && b.contains(one)))
        return Rule::forbidden_link;
    const auto is_personal = [&](std::size_t i) {
      return rules_[known_[i].type].sharing == Sharing::personal;
    };
    const bool mine = std::ranges::any_of(a, is_personal), theirs = std::ranges::any_of(b, is_personal);
    auto policy = rules_[known_[next].type].sharing;
    if (policy == Sharing::personal && !std::ranges::any_of(accepted, is_personal))
      policy = rules_[known_[accepted[0]].type].sharing;
    if (((policy == Sharing::first || policy == Sharing::latest) && mine && theirs) ||
        (policy == Sharing::none && (mine || theirs)))
      return Rule::sharing;
    for (std::uint32_t type = 0; !is_explicit && type < rules_.size(); ++type) {
      const auto count = [&](const std::set<std::size_t> &person) {
        return std::ranges::count_if(person, [&](std::size_t i) {
          return known_[i].type == type &&
                 (rules_[type].within == 0 || known_[i].seen > at - rules_[type].within);
        });
      };
      if (rules_[type].limited() && count(a) > 0 && count(b) > 0 && count(a) + count(b) > rules_[type].most())
        return rules_[type].unique ? Rule::unique : Rule::limit;
    }
    return Rule::none;
  }

  std::vector<TypeRule> rules_;
  std::vector<Known> known_;
  std::vector<std::set<std::size_t>> person_;
};

TypeRule random_rule(std::mt19937 &random) {
  TypeRule rule;
  const int kind = static_cast<int>(random() % 8);
  rule.sharing = kind < 4    ? Sharing::personal
                 : kind == 4 ? Sharing::first
                 : kind == 5 ? Sharing::latest
                 : kind == 6 ? Sharing::none
                             : Sharing::joins;
  rule.unique = random() % 4 == 0;
  if (!rule.unique && random() % 2 == 0)
    rule.max_values = static_cast<std::int32_t>(1 + random() % 3);
  if (rule.max_values > 0 && random() % 2 == 0)
    rule.within = static_cast<std::int64_t>(1 + random() % 3) * kDay;
  return rule;
}

TEST(IdentityFold, EqualsTheSlowWay) {
  for (unsigned seed = 0; seed < 3000; ++seed) {
    std::mt19937 random(seed);
    std::vector<TypeRule> rules(1 + random() % 4);
    for (auto &rule : rules)
      rule = random_rule(random);
    std::vector<Known> known(3 + random() % 10);
    for (auto &one : known)
      one = {static_cast<std::uint32_t>(random() % rules.size()),
             static_cast<Timestamp>(random() % 6) * kDay};
    IdentityFold fold(rules);
    Naive naive(rules, known);
    for (std::size_t i = 0; i < known.size(); ++i)
      fold.hold(fold.add(static_cast<std::int64_t>(i)), static_cast<std::int64_t>(i), known[i].type,
                known[i].seen);
    for (unsigned i = random() % 3; i > 0; --i) {
      const auto a = random() % known.size(), b = random() % known.size();
      if (a == b)
        continue;
      if (random() % 2) {
        fold.cut(static_cast<std::int64_t>(a), static_cast<std::int64_t>(b));
        naive.cuts.insert(std::minmax(a, b));
      } else {
        fold.forbid(a, b, static_cast<std::int64_t>(a), static_cast<std::int64_t>(b));
        naive.forbidden.insert(std::minmax(a, b));
      }
    }
    for (int message = 0; message < 12; ++message) {
      std::set<std::size_t> chosen;
      for (auto number = 1 + random() % 4; number > 0; --number)
        chosen.insert(random() % known.size());
      std::vector<std::size_t> carried(chosen.begin(), chosen.end());
      std::shuffle(carried.begin(), carried.end(), random);
      const auto at = static_cast<Timestamp>(random() % 8) * kDay;
      const bool is_explicit = random() % 10 == 0;
      std::vector<IdentityFold::Carried> given;
      for (auto i : carried)
        given.push_back({static_cast<std::int64_t>(i), i, known[i].type});
      std::map<std::size_t, Rule> left_out;
      for (const auto &one : fold.decide(given, at, is_explicit))
        left_out[one.index] = one.rule;
      ASSERT_EQ(left_out, naive.decide(carried, at, is_explicit))
          << "seed " << seed << ", message " << message;
      for (std::size_t i = 0; i < known.size(); ++i)
        ASSERT_EQ(fold.key(fold.find(i)), static_cast<std::int64_t>(naive.smallest(i))) << "seed " << seed;
    }
  }
}

TEST(IdentityFold, ManyTypesKeepTheirOwnLimits) {
  TypeRule unique;
  unique.unique = true;
  const std::vector<TypeRule> rules(100, unique);
  for (std::uint32_t other = 1; other < 100; ++other) {
    IdentityFold fold(rules);
    const std::uint32_t types[] = {0, other, 0};
    for (std::int64_t id = 0; id < 3; ++id)
      fold.hold(fold.add(id), id, types[id], 0);
    const std::vector<IdentityFold::Carried> joins{{0, 0, 0}, {1, 1, other}},
        clashes{{1, 1, other}, {2, 2, 0}};
    EXPECT_TRUE(fold.decide(joins, 0, false).empty()) << other;
    const auto verdict = fold.decide(clashes, 0, false);
    ASSERT_EQ(verdict.size(), 1u) << other;
    EXPECT_EQ(verdict[0].rule, Rule::unique);
    EXPECT_EQ(verdict[0].type, 0u);
  }
}

TEST(IdentityFold, AWindowEndsExactly) {
  TypeRule rule;
  rule.max_values = 1;
  rule.within = 7 * kDay;
  for (const auto &[at, joins] : {std::pair{7 * kDay - 1, false}, {7 * kDay, true}}) {
    IdentityFold fold({rule});
    for (std::int64_t id : {0, 1})
      fold.hold(fold.add(id), id, 0, id == 0 ? 0 : at);
    const std::vector<IdentityFold::Carried> both{{0, 0, 0}, {1, 1, 0}};
    EXPECT_EQ(fold.decide(both, at, false).empty(), joins) << at;
  }
}

TEST(IdentityFold, WhatWasAllowedIsInNobodysWay) {
  TypeRule unique, plain;
  unique.unique = true;
  IdentityFold fold({unique, plain});
  for (std::int64_t id : {0, 1, 2})
    fold.hold(fold.add(id), id, id == 2 ? 1 : 0, 0);
  fold.unite(0, 1);
  const std::vector<IdentityFold::Carried> carried{{0, 0, 0}, {2, 2, 1}};
  EXPECT_TRUE(fold.decide(carried, 0, false).empty());
  const auto third = fold.add(3);
  fold.hold(third, 3, 0, 0);
  const std::vector<IdentityFold::Carried> more{{0, 0, 0}, {3, third, 0}};
  const auto verdict = fold.decide(more, 0, false);
  ASSERT_EQ(verdict.size(), 1u);
  EXPECT_EQ(verdict[0].rule, Rule::unique);
  EXPECT_EQ(verdict[0].conflicts, (std::vector<std::int64_t>{0, 1, 3}));
}

} // namespace
} // namespace cdp::core
