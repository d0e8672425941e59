#include "match/scorer.hpp"

#include "core/match_wanted.hpp"

#include <algorithm>

namespace cdp::match {

using engine::Candidate;
using engine::Comparer;

Scorer::Scorer(const Matcher &matcher, const engine::Records &records)
    : comparer_(matcher.model, records), weigher_(matcher.model, records), width_(comparer_.comparisons()) {
  if (pg::Helper::is_worthwhile()) {
    other_.emplace(comparer_);
    helper_.emplace();
  }
}

void Scorer::score(Comparer &comparer, const std::vector<Candidate> &pairs, std::size_t first,
                   std::size_t end) {
  constexpr std::size_t kTogether = 512; // whose levels are still near when they are weighed
  for (std::size_t next; first < end; first = next) {
    engine::need_wanted();
    next = std::min(first + kTogether, end);
    comparer.compare_all(pairs.data() + first, next - first, gammas_.data() + first * width_);
    for (std::size_t i = first; i < next; ++i)
      weights_[i] = weigher_.weigh(gammas_.data() + i * width_, pairs[i].left, pairs[i].right);
  }
}

void Scorer::score(const std::vector<Candidate> &pairs) {
  constexpr std::size_t kWorthwhile = 1000;
  weights_.resize(pairs.size());
  gammas_.resize(pairs.size() * width_);
  if (!helper_ || pairs.size() < kWorthwhile)
    return score(comparer_, pairs, 0, pairs.size());
  const auto half = pairs.size() / 2;
  pg::Helper::Job job(*helper_, [&] {
    engine::given_up = &helper_->given_up();
    score(*other_, pairs, half, pairs.size());
  });
  try {
    score(comparer_, pairs, 0, half);
    job.wait([] { pg::check_for_interrupts(); });
  } catch (...) {
    helper_->give_up(); // before the job is waited for
    throw;
  }
}

} // namespace cdp::match
