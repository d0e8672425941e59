#include "match_train.hpp"

#include <gtest/gtest.h>

namespace cdp::core::match {
namespace {

/// One comparison, its levels from the most alike to the least, with these u.
Model model_of(const std::vector<double> &us) {
  Model model;
  Comparison &comparison = model.comparisons.emplace_back();
  comparison.levels.emplace_back().is_null = true;
  for (const double u : us)
    comparison.levels.emplace_back().u = u;
  return model;
}

/// Sessions that found these m, from the most alike level to the least; 0: no match there.
std::vector<Session> sessions_of(double matches, const std::vector<std::vector<double>> &found) {
  std::vector<Session> sessions;
  for (const auto &m : found) {
    Session &session = sessions.emplace_back();
    session.trained = {true};
    session.evidence = {matches};
    session.m = {{m.rbegin(), m.rend()}};
  }
  return sessions;
}

std::vector<double> ms_of(const Model &model) {
  std::vector<double> ms;
  for (const auto &level : model.comparisons[0].levels)
    if (!level.is_null)
      ms.push_back(level.m.value_or(-1));
  return ms;
}

void expect_near(const std::vector<double> &found, const std::vector<double> &wanted) {
  ASSERT_EQ(found.size(), wanted.size());
  for (std::size_t i = 0; i < wanted.size(); ++i)
    EXPECT_NEAR(found[i], wanted[i], 1e-12) << i;
}

TEST(Settling, TakesTheMedianOfSessionsThatReachedALevel) {
  auto model = model_of({0.1, 0.2, 0.7});
  settle(model, sessions_of(100, {{0.8, 0.1, 0.1}, {0.6, 0.3, 0.1}, {0.9, 0, 0.1}}));
  expect_near(ms_of(model), {0.8, 0.2, 0.1});
}

TEST(Settling, LetsALevelWithoutMatchesWeighAsTheNextLowerOne) {
  auto model = model_of({0.01, 0.05, 0.1, 0.84});
  settle(model, sessions_of(100, {{0.8, 0, 0.15, 0.05}}));
  expect_near(ms_of(model), {0.8, 0.075, 0.15, 0.05}); // 0.075 / 0.05 is 0.15 / 0.1
  model = model_of({0.01, 0.05, 0.94});
  settle(model, sessions_of(100, {{0, 0, 1}}));
  expect_near(ms_of(model), {0.01 / 0.94, 0.05 / 0.94, 1});
  model = model_of({0.9, 0.1}); // and is no more than certain
  settle(model, sessions_of(100, {{0, 1}}));
  expect_near(ms_of(model), {1, 1});
}

TEST(Settling, LetsTheLowestLevelsSpeakAgainstAMatchAsFarAsThereAreMatches) {
  auto model = model_of({0.1, 0.1, 0.8});
  settle(model, sessions_of(99, {{0.7, 0.3, 0}}));
  expect_near(ms_of(model), {0.7, 0.3, 0.01}); // one of a hundred, at most
  model = model_of({0.1, 0.1, 0.8});
  settle(model, sessions_of(0.01, {{0.7, 0.3, 0}}));
  expect_near(ms_of(model), {0.7, 0.3, 0.8}); // that is nothing to speak of, and for a match it never speaks
  model = model_of({0.1, 0.6, 0.3});
  settle(model, sessions_of(1, {{0.9, 0.1, 0}}));
  expect_near(ms_of(model), {0.9, 0.1, 0.05}); // nor louder for it than the next higher level
  model = model_of({0.1, 0.1, 0.8});
  settle(model, sessions_of(1e12, {{0.7, 0.3, 0}}));
  expect_near(ms_of(model), {0.7, 0.3, 0.8e-6}); // and never against it for good
}

TEST(Settling, LeavesWhatIsFixedAndWhatNoSessionTrained) {
  auto model = model_of({0.1, 0.2, 0.7});
  model.comparisons[0].levels[2].fixed_m = true;
  model.comparisons[0].levels[2].m = 0.5;
  settle(model, sessions_of(100, {{0, 0.3, 0.7}}));
  expect_near(ms_of(model), {0.25, 0.5, 0.7}); // 0.25 / 0.1 is 0.5 / 0.2
  model = model_of({0.1, 0.9});
  settle(model, std::vector<Session>());
  expect_near(ms_of(model), {-1, -1});
  auto sessions = sessions_of(100, {{0.5, 0.5}});
  sessions[0].trained = {false};
  settle(model, sessions);
  expect_near(ms_of(model), {-1, -1});
  settle(model, sessions_of(0, {{0.5, 0.5}}));
  expect_near(ms_of(model), {-1, -1});
}

/// Labels say how many there are of each level, and the rest is the same.
TEST(Settling, DoesTheSameByLabels) {
  const std::vector<std::vector<double>> all{
      {80, 0, 15, 5}, {0, 0, 100, 0}, {3, 0, 0, 0}, {0, 0, 0, 1}, {0, 2, 0, 2}};
  for (const auto &counts : all) {
    double matches = 0;
    for (const double count : counts)
      matches += count;
    std::vector<double> shares;
    for (const double count : counts)
      shares.push_back(count / matches);
    auto by_sessions = model_of({0.01, 0.05, 0.1, 0.84}), by_labels = by_sessions;
    settle(by_sessions, sessions_of(matches, {shares}));
    settle(by_labels, Shares{{counts.rbegin(), counts.rend()}});
    expect_near(ms_of(by_labels), ms_of(by_sessions));
  }
  auto model = model_of({0.1, 0.9});
  settle(model, Shares{{0, 0}});
  expect_near(ms_of(model), {-1, -1});
}

} // namespace
} // namespace cdp::core::match
