#include "match_compare.hpp"

#include <gtest/gtest.h>
#include <random>

namespace cdp::core::match {
namespace {

/// A condition of columns a to d, of any depth, that means something.
std::string random_condition(std::mt19937 &random, int depth) {
  static const char *const leaves[] = {
      "a_l = a_r",
      "a_l <> a_r",
      "b_l = c_r",
      "a_l IS NULL",
      "b_r IS NOT NULL",
      "jaro_winkler_similarity(a_l, a_r) >= 0.7",
      "jaro_winkler_similarity(a_l, a_r) > 0.85",
      "jaro_winkler_similarity(b_l, b_r) < 0.9",
      "jaro_winkler_similarity(c_l, b_r) >= 0.8",
      "jaro_similarity(a_l, b_r) >= 0.6",
      "levenshtein(a_l, a_r) <= 1",
      "list_has_any(e_l, e_r)",
      "array_length(list_intersect(e_l, e_r)) >= 2",
      "levenshtein(b_l, a_r) = 2",
      "damerau_levenshtein(c_l, c_r) <= 2",
      "damerau_levenshtein(c_l, c_r) <= 3",
      "optimal_alignment(b_l, b_r) > 2",
      "jaccard(c_l, c_r) >= 0.5",
      "ABS(epoch(try_strptime(d_l, '%Y-%m-%d')) - epoch(try_strptime(d_r, '%Y-%m-%d'))) <= 100",
      "epoch(try_strptime(d_l, '%Y-%m-%d')) > epoch(try_strptime(d_r, '%Y-%m-%d'))"};
  const auto kind = depth > 0 ? random() % 4 : 3;
  if (kind == 3)
    return leaves[random() % std::size(leaves)];
  const auto one = "(" + random_condition(random, depth - 1) + ")";
  if (kind == 2)
    return "NOT " + one;
  return one + (kind ? " AND (" : " OR (") + random_condition(random, depth - 1) + ")";
}

std::string random_value(std::mt19937 &random, bool number, bool list) {
  if (list) {
    std::string elements;
    for (auto count = random() % 4; count > 0; --count)
      elements += std::to_string(random() % 100) + '\x1F';
    return elements;
  }
  if (number)
    return random() % 9 ? std::to_string(random() % 400) : "NaN";
  static const std::string pieces[] = {"a", "b",  "ab",
                                       "é", "京", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
  std::string text;
  for (auto count = random() % 5; count > 0; --count)
    text += pieces[random() % 100 ? random() % 5 : 5];
  return text;
}

/// The first level whose condition is true, as it is written.
int level_of(const Comparison &comparison, Evaluator &evaluator, Place left, Place right) {
  int gamma = comparison.others();
  for (const auto &level : comparison.levels) {
    gamma -= !level.is_null;
    if (evaluator.test(level.test, left, right) == 1)
      return level.is_null ? -1 : gamma;
  }
  return 0;
}

TEST(Comparer, FindsTheFirstLevelThatHolds) {
  std::mt19937 random(12);
  std::size_t known = 0;
  for (int round = 0; round < 100; ++round) {
    Model model;
    for (auto comparisons = 1 + random() % 3; comparisons > 0; --comparisons) {
      Comparison comparison;
      comparison.name = "it";
      const auto levels = 2 + random() % 4;
      for (std::size_t i = 0; i < levels; ++i) {
        auto &level = comparison.levels.emplace_back();
        level.condition = random_condition(random, 3);
        level.is_null = i > 1 && random() % 3 == 0;
      }
      if (random() % 4) {
        auto &last = comparison.levels.emplace_back();
        last.condition = "ELSE";
      }
      model.add(std::move(comparison));
    }
    Records records(model);
    for (int record = 0; record < 40; ++record) {
      std::vector<std::string> texts;
      for (const auto &feature : model.features)
        texts.push_back(random_value(random, feature.is_number, feature.is_list));
      std::vector<std::string_view> views(texts.begin(), texts.end());
      std::vector<const std::string_view *> values;
      for (const auto &view : views)
        values.push_back(random() % 5 ? &view : nullptr);
      records.add(std::to_string(record), "", values);
    }
    Evaluator evaluator(model, records);
    Comparer comparer(model, records), copy(comparer);
    std::vector<std::int8_t> gammas(comparer.comparisons());
    for (Place left = 0; left < records.size(); ++left)
      for (Place right = left + 1; right < records.size(); ++right) {
        copy.compare(left, right, gammas.data());
        for (std::size_t c = 0; c < gammas.size(); ++c) {
          const int wanted = level_of(model.comparisons[c], evaluator, left, right);
          ASSERT_EQ(gammas[c], wanted) << round << ": " << model.comparisons[c].levels[0].condition;
          ASSERT_EQ(comparer.compare(c, left, right), wanted);
          known += wanted > 0;
        }
      }
  }
  EXPECT_GT(known, 3000u);
}

} // namespace
} // namespace cdp::core::match
