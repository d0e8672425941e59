#include "match/scorer.hpp"

#include <algorithm>

namespace cdp::match {

using engine::Candidate;
using engine::Comparer;

namespace {

// Begins to bring here what the pairs after this one need.
void expect(const Comparer &comparer, const std::vector<Candidate> &pairs, std::size_t at, std::size_t end) {
  constexpr std::size_t kNear = 4, kFar = 12;
  comparer.expect(pairs[std::min(at + kFar, end - 1)].right);
  const auto &near = pairs[std::min(at + kNear, end - 1)];
  comparer.expect(near.left, near.right);
}

} // namespace

Scorer::Scorer(const Matcher &matcher, const engine::Records &records)
    : comparer_(matcher.model, records), weigher_(matcher.model, records), width_(comparer_.comparisons()) {
  if (pg::Helper::is_worthwhile()) {
    other_.emplace(comparer_);
    helper_.emplace();
  }
}

void Scorer::score(Comparer &comparer, const std::vector<Candidate> &pairs, std::size_t first,
                   std::size_t end) {
  for (std::size_t i = first; i < end; ++i) {
    expect(comparer, pairs, i, end);
    auto *gammas = gammas_.data() + i * width_;
    comparer.compare(pairs[i].left, pairs[i].right, gammas);
    weights_[i] = weigher_.weigh(gammas, pairs[i].left, pairs[i].right);
  }
}

void Scorer::score(const std::vector<Candidate> &pairs) {
  constexpr std::size_t kWorthwhile = 1000;
  weights_.resize(pairs.size());
  gammas_.resize(pairs.size() * width_);
  if (!helper_ || pairs.size() < kWorthwhile)
    return score(comparer_, pairs, 0, pairs.size());
  const auto half = pairs.size() / 2;
  pg::Helper::Job job(*helper_, [&] { score(*other_, pairs, half, pairs.size()); });
  score(comparer_, pairs, 0, half);
  job.wait();
}

} // namespace cdp::match
