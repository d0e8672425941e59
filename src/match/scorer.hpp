// Levels and weights of many pairs at once, half of them in a second thread where there is a core for it.
#pragma once

#include <optional>

#include "match/matcher.hpp"
#include "pg/helper.hpp"
#include "pg/shown_progress.hpp"

namespace cdp::match {

class Scorer {
public:
  Scorer(const Matcher &matcher, const engine::Records &records);

  static constexpr std::size_t kMost = 32768; // pairs at once: well under a tenth of a second

  /// Of at most so many pairs; what it returns holds until the next call.
  void score(const std::vector<engine::Candidate> &pairs);
  double weight(std::size_t pair) const { return weights_[pair]; }
  const std::int8_t *gammas(std::size_t pair) const { return gammas_.data() + pair * width_; }

  std::size_t comparisons() const { return width_; }
  engine::Evaluator &evaluator() { return comparer_.evaluator(); } // between calls

private:
  void score(engine::Comparer &comparer, const std::vector<engine::Candidate> &pairs, std::size_t first,
             std::size_t end);

  engine::Comparer comparer_;
  engine::Weigher weigher_;
  std::size_t width_;
  std::vector<double> weights_;
  std::vector<std::int8_t> gammas_;
  std::optional<engine::Comparer> other_; // the helper's; it goes after the helper
  std::optional<pg::Helper> helper_;
};

/// All pairs of the rules with their weights: take(pair, weight, gammas). Can be cancelled at any time.
template <class Take>
void each_scored(engine::Blocking &blocking, Scorer &scorer, const std::vector<std::size_t> &rules,
                 Take &&take) {
  std::vector<engine::Candidate> chunk;
  std::uint64_t all = 0; // about: what several rules give counts more than once
  for (const auto rule : rules)
    all += blocking.size(rule).pairs;
  pg::ShownProgress progress(pg::Task::score_pairs, all);
  const auto score = [&] {
    pg::check_for_interrupts();
    scorer.score(chunk);
    for (std::size_t i = 0; i < chunk.size(); ++i)
      take(chunk[i], scorer.weight(i), scorer.gammas(i));
    progress.step(chunk.size());
    chunk.clear();
  };
  blocking.each(rules, [&](const std::vector<engine::Candidate> &batch) {
    pg::check_for_interrupts();
    if (chunk.size() + batch.size() > Scorer::kMost)
      score();
    chunk.insert(chunk.end(), batch.begin(), batch.end());
  });
  score();
}

} // namespace cdp::match
