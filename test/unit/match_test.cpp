#include "match_blocking.hpp"
#include "match_cluster.hpp"

#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <map>
#include <numeric>
#include <random>
#include <set>

namespace cdp::core::match {
namespace {

std::string refused(std::string_view condition) {
  try {
    Model model;
    Comparison comparison;
    comparison.name = "it";
    for (const std::string_view text : {condition, std::string_view("ELSE")}) {
      auto &level = comparison.levels.emplace_back();
      level.condition = text;
    }
    model.add(comparison);
  } catch (const Unclear &unclear) {
    return std::to_string(unclear.place()) + ": " + unclear.what();
  }
  return "";
}

TEST(Conditions, AreSaidInPostgreSQLsWords) {
  EXPECT_EQ(to_sql(parse_condition("substr(\"a_l\", 1, 3)")),
            "pg_catalog.substr((t.\"a\")::pg_catalog.text, (1), (3))");
  EXPECT_EQ(to_sql(parse_condition("l.\"A\"\"b\" = 'it''s'")), "((t.\"A\"\"b\") = ('it''s'))");
  EXPECT_EQ(to_sql(parse_condition("replace(a_l, '\\', '')")),
            "pg_catalog.replace((t.\"a\")::pg_catalog.text, E'\\\\', '')");
}

TEST(Conditions, AreRefusedByNameAndPlace) {
  EXPECT_EQ(refused("a_l = a_r"), "");
  EXPECT_EQ(refused("a_l = "), "7: it ends too early");
  EXPECT_EQ(refused("évry_l = a"), "10: \"a\" does not say which record it is about"); // in characters
  EXPECT_EQ(refused("no_such(a_l, a_r) > 1"), "1: function no_such is not known here");
  EXPECT_EQ(refused("a_l = a_r b"), "11: something is left over here");
  EXPECT_EQ(refused("levenshtein(a_l, b_l) < 2 AND a_l = a_r"), "1: function levenshtein is not known here");
  EXPECT_EQ(refused("levenshtein(a_l, concat(a_l, a_r)) < 2"),
            "13: one of the two must be about the left record, and the other about the right");
  EXPECT_NE(refused(std::string(1000, '(')), "");
}

/// Whatever comes, it is understood or refused.
TEST(Conditions, OfAnyTextDoNoHarm) {
  const std::string pieces[] = {
      "a_l",         "\"b_r\"", "l.c",           "(",    ")",     "=",         "<=",
      "and",         "OR",      "not",           "case", "when",  "then",      "else",
      "end",         "is null", "abs",           ",",    "-",     "1",         "'x'",
      "levenshtein", "::text",  "\xC3",          "\"",   "epoch", "date_diff", "jaccard",
      "cast",        "as",      "list_intersect"};
  std::mt19937 random(4);
  int understood = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string text;
    for (auto words = random() % 12; words > 0; --words)
      text += pieces[random() % std::size(pieces)] + " ";
    understood += refused(text).empty();
  }
  EXPECT_GT(understood, 10);
}

TEST(Clusters, OfAChainOfStrangersFallApart) {
  // Twenty records, each strongly linked to the next and to nobody else.
  std::vector<Edge> chain;
  for (std::uint32_t i = 0; i + 1 < 20; ++i)
    chain.push_back({i, i + 1, 12});
  const auto all = connected(20, chain, 4);
  EXPECT_EQ(all, Clusters(20, 0));
  const auto held = cohesive(20, chain, 4, 1, 10, [] {});
  std::vector<std::size_t> sizes(20);
  for (const auto cluster : held)
    ++sizes[cluster];
  EXPECT_LE(*std::max_element(sizes.begin(), sizes.end()), 16u);
  EXPECT_LT(static_cast<std::size_t>(std::count(sizes.begin(), sizes.end(), 0u)), 19u);
}

TEST(Clusters, HoldNoTwoValuesOfWhatIsUnique) {
  // Two people of one name and house, each twice, and a record that says too little: all are alike.
  std::vector<Edge> all;
  for (std::uint32_t a = 0; a < 5; ++a)
    for (std::uint32_t b = a + 1; b < 5; ++b)
      all.push_back({a, b, a / 2 == b / 2 ? 9.0 : 8.0});
  EXPECT_EQ(cohesive(5, all, 1, 1, 10, [] {}), Clusters(5, 0));
  // Of the unknown value is either's, and after that nobody else's.
  const Uniques born{1, {7, 7, 8, 0, 0}};
  const auto held = cohesive(
      5, all, 1, 1, 10, [] {}, born);
  EXPECT_EQ(held[0], held[1]);
  EXPECT_EQ(held[2], held[3]);
  EXPECT_NE(held[0], held[2]);
  EXPECT_EQ(cohesive(5, all, 1, 1, 10, [] {}, {2, {7, 1, 7, 2, 7, 3, 7, 4, 7, 5}}),
            (Clusters{0, 1, 2, 3, 4}));
}

TEST(Clusters, OfABridgeAreTwo) {
  std::vector<Edge> edges;
  for (std::uint32_t group : {0u, 4u})
    for (std::uint32_t a = 0; a < 4; ++a)
      for (std::uint32_t b = a + 1; b < 4; ++b)
        edges.push_back({group + a, group + b, 9});
  edges.push_back({3, 4, 8});
  EXPECT_EQ(connected(8, edges, 4), Clusters(8, 0));
  EXPECT_EQ(cohesive(8, edges, 4, 1, 10, [] {}), (Clusters{0, 0, 0, 0, 4, 4, 4, 4}));
}

TEST(Dictionary, NumbersEveryTextOnce) {
  Dictionary dictionary;
  std::vector<Code> codes;
  for (int round = 0; round < 2; ++round)
    for (int i = 0; i < 5000; ++i) {
      const auto code = dictionary.code("value " + std::to_string(i));
      if (round == 0)
        codes.push_back(code);
      ASSERT_EQ(code, codes[static_cast<std::size_t>(i)]);
      ASSERT_EQ(dictionary.text(code), "value " + std::to_string(i));
    }
  EXPECT_EQ(dictionary.size(), 5001u);
  EXPECT_NE(dictionary.code(""), 0u); // NULL is another
}

/// Records of few values, so that most rules give most pairs; some values unknown.
struct Crowd {
  Model model;
  std::optional<Records> records;

  Crowd(std::mt19937 &random, std::size_t size, const std::vector<std::string> &rules) {
    for (const auto &rule : rules)
      model.add_rule(rule);
    records.emplace(model);
    const char *const texts[] = {"a", "b", "c"};
    for (std::size_t i = 0; i < size; ++i) {
      std::vector<std::string_view> values(model.features.size());
      std::vector<const std::string_view *> known;
      for (auto &value : values) {
        const auto number = random() % 4;
        value = number < 3 ? texts[number] : "";
        known.push_back(number < 3 ? &value : nullptr);
      }
      records->add(std::to_string(i), random() % 2 ? "x" : "y", known);
    }
  }

  /// By what the rule says, one pair at a time.
  bool gives(const Rule &rule, Evaluator &evaluator, Place left, Place right) const {
    for (const auto &key : rule.keys) {
      const Code l = records->code(key.left, left), r = records->code(key.right, right);
      if (l == 0 || l != r)
        return false;
    }
    for (const int test : rule.tests)
      if (evaluator.test(test, left, right) != 1)
        return false;
    return true;
  }
};

TEST(Blocking, GivesEveryPairOnceUnderItsFirstRule) {
  std::mt19937 random(7);
  const std::vector<std::string> all = {"l.a = r.a AND l.b = r.b",  "l.a = r.a AND l.b = r.b AND l.c = r.c",
                                        "l.a = r.b AND l.b = r.a",  "l.c = r.c",
                                        "l.b = r.b AND l.a <> r.a", "l.c = r.c AND l.d = r.d"};
  for (int round = 0; round < 60; ++round) {
    auto rules = all;
    std::shuffle(rules.begin(), rules.end(), random);
    rules.resize(1 + random() % rules.size());
    const Crowd crowd(random, random() % 40, rules);
    const auto link = round % 2 ? Link::sources : Link::dedupe;
    Evaluator evaluator(crowd.model, *crowd.records);
    Blocking blocking(crowd.model, *crowd.records, link, evaluator);
    std::vector<std::size_t> chosen(rules.size());
    std::iota(chosen.begin(), chosen.end(), std::size_t{0});
    std::map<std::pair<Place, Place>, std::int32_t> given, wanted;
    std::vector<std::uint64_t> sizes(rules.size());
    for (Place left = 0; left < crowd.records->size(); ++left)
      for (Place right = left + 1; right < crowd.records->size(); ++right) {
        if (link == Link::sources && crowd.records->source(left) == crowd.records->source(right))
          continue;
        for (std::size_t rule = rules.size(); rule-- > 0;) {
          Rule keys = crowd.model.rules[rule];
          keys.tests.clear();
          sizes[rule] += crowd.gives(keys, evaluator, left, right);
          if (crowd.gives(crowd.model.rules[rule], evaluator, left, right))
            wanted[{left, right}] = static_cast<std::int32_t>(rule);
        }
      }
    std::size_t number = 0;
    blocking.each(chosen, [&](const std::vector<Candidate> &batch) {
      for (const auto &pair : batch)
        given[{pair.left, pair.right}] = pair.rule;
      number += batch.size();
    });
    ASSERT_EQ(given, wanted) << round;
    ASSERT_EQ(number, wanted.size()) << round;
    for (std::size_t rule = 0; rule < rules.size(); ++rule)
      ASSERT_EQ(blocking.size(rule).pairs, sizes[rule]) << round << ": " << rules[rule];
  }
}

TEST(Blocking, TakesTheNarrowestRulesWithinALimit) {
  std::mt19937 random(8);
  const Crowd crowd(random, 200,
                    {"l.a = r.a", "l.a = r.a AND l.b = r.b", "l.a = r.a AND l.b = r.b AND l.c = r.c"});
  Evaluator evaluator(crowd.model, *crowd.records);
  const Blocking blocking(crowd.model, *crowd.records, Link::dedupe, evaluator);
  const auto pairs = [&](std::size_t rule) { return static_cast<double>(blocking.size(rule).pairs); };
  using Rules = std::vector<std::size_t>;
  EXPECT_EQ(blocking.within({0, 1, 2}, 1e9, 1e9), (Rules{0, 1, 2}));
  EXPECT_EQ(blocking.within({0, 1, 2}, pairs(1), 1e9), (Rules{1, 2}));
  // What a wider one gives, too, counts once.
  EXPECT_EQ(blocking.within({0, 1, 2}, 1e9, pairs(0)), (Rules{0, 1, 2}));
  EXPECT_EQ(blocking.within({0, 1, 2}, 1e9, pairs(0) - 1), (Rules{1, 2}));
}

} // namespace
} // namespace cdp::core::match
