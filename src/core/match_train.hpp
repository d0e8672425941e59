// Weights of a model from the records alone: u from pairs drawn at random, m by expectation and maximisation
// over the pairs of blocking rules; and the weight of a pair under a model. (Fellegi and Sunter, A theory for
// record linkage, JASA 64, 1969; Winkler 1988; Enamorado, Fifield and Imai, APSR 113, 2019; Splink)
#pragma once

#include <functional>
#include <string>
#include <unordered_map>
#include <vector>

#include "match_blocking.hpp"

namespace cdp::core::match {

/// Adds up the weights of a pair: prior, levels, term frequencies.
class Weigher {
public:
  /// Throws Unclear for a level whose term frequencies stand against nothing.
  Weigher(const Model &model, const Records &records);

  /// The share of a feature's known values that are the record's, as log2; above 0 when it has none. A record
  /// each.
  using Frequencies = std::function<std::vector<double>(int feature)>;
  Weigher(const Model &model, const Frequencies &frequencies);

  struct Part {
    double weight = 0, frequency = 0; // of the level, and what its term frequency adds
    bool adjusted = false;
  };
  double prior() const { return prior_; }
  /// What a comparison adds.
  Part part(std::size_t comparison, std::int8_t gamma, Place left, Place right) const {
    const Weighed &of = weights_[comparison][static_cast<std::size_t>(gamma + 1)];
    Part part{of.weight, 0, of.frequencies != nullptr};
    if (part.adjusted)
      part.frequency = of.tf_weight * (of.log_u - log_frequency(of, left, right));
    return part;
  }

  double weigh(const std::int8_t *gammas, Place left, Place right) const {
    double weight = prior_;
    for (std::size_t c = 0; c < weights_.size(); ++c) {
      const Weighed &of = weights_[c][static_cast<std::size_t>(gammas[c] + 1)];
      weight += of.weight;
      if (of.frequencies)
        weight += of.tf_weight * (of.log_u - log_frequency(of, left, right));
    }
    return weight;
  }

private:
  struct Weighed {
    double weight = 0, log_u = 0, tf_weight = 0, least = 0;
    const std::vector<double> *frequencies = nullptr; // log2, a record; above 0 when there is none
  };
  double log_frequency(const Weighed &of, Place left, Place right) const;

  double prior_;
  std::vector<std::vector<Weighed>> weights_;
  std::unordered_map<int, std::vector<double>> frequencies_; // by feature
};

/// The feature whose frequency counts at a level, or -1: [comparison][gamma + 1].
std::vector<std::vector<int>> frequent_levels(const Model &model);

double probability_of(double weight); // log2 of the odds
double log_odds(double probability);

/// How many of all pairs, other than null levels, are at each level: [comparison][gamma].
using Shares = std::vector<std::vector<double>>;

struct Drawn {
  Shares shares;
  std::vector<double> counted; // pairs a comparison that are not at a null level
};

/// Draws pairs of records that may be linked; the same for the same seed. Where a level asks for nothing but
/// equal values and comes first, its share is counted over all pairs instead.
Drawn draw(const Model &model, const Records &records, Comparer &comparer, Link link, std::uint64_t pairs,
           std::uint64_t seed, const std::function<void()> &still_wanted);

/// The pairs of a blocking rule by their gammas.
struct Patterns {
  std::vector<std::vector<std::int8_t>> gammas;
  std::vector<double> counts;
  double pairs = 0;
};

class PatternCounter {
public:
  explicit PatternCounter(const Model &model);
  void add(const std::int8_t *gammas);
  Patterns patterns() const;

private:
  std::vector<std::uint64_t> radix_;
  std::unordered_map<std::uint64_t, std::uint64_t> counts_;
};

struct Session {
  std::size_t rule = 0;
  int iterations = 0;
  bool converged = false;
  double change = 0; // the last iteration's largest
  double lambda = 0; // share of matches among its pairs
  double pairs = 0;
  std::vector<bool> trained;    // a comparison
  std::vector<double> evidence; // expected matches that tell of a comparison
  Shares m;                     // -1 for a level that did not occur
};

struct EmSettings {
  double convergence = 1e-4;
  int iterations = 25;
};

/// Comparisons that use a column of the rule are left as they are.
Session expect_and_maximise(const Model &model, const Patterns &patterns, std::size_t rule,
                            const EmSettings &settings);

/// Sets m to the medians of what sessions found. A level that no match reached weighs as the next lower one
/// that was reached; comparisons that no session trained keep what they have.
void settle(Model &model, const std::vector<Session> &sessions);

/// The same from pairs that are known to be matches: how many are at each level.
void settle(Model &model, const Shares &matches);

double median(std::vector<double> values); // of at least one

} // namespace cdp::core::match
