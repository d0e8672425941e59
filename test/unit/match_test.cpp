#include "match_cluster.hpp"
#include "match_compare.hpp"

#include <cmath>
#include <gtest/gtest.h>
#include <random>

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

} // namespace
} // namespace cdp::core::match
