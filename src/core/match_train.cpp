#include "match_train.hpp"
#include "match_wanted.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <optional>
#include <random>

namespace cdp::core::match {

namespace {

constexpr double kNeverSeen = 1e-6;

double m_of(const Comparison &comparison, const Level &level, int gamma) {
  return level.m.value_or(default_m(comparison.others(), gamma));
}

double u_of(const Comparison &comparison, const Level &level, int gamma) {
  return level.u.value_or(default_u(comparison.others(), gamma));
}

/// A comparison's levels that are not null levels, by gamma.
template <class Of> auto by_gamma(Of &comparison) {
  std::vector<decltype(&comparison.levels[0])> levels;
  for (auto &level : comparison.levels)
    if (!level.is_null)
      levels.insert(levels.begin(), &level);
  return levels;
}

std::vector<std::uint32_t> counts_of(const Records &records, int feature) {
  std::vector<std::uint32_t> counts(records.dictionary().size());
  Patience patience;
  for (const Code code : records.codes(feature)) {
    patience.step();
    ++counts[code];
  }
  counts[0] = 0; // what is not known
  return counts;
}

std::vector<double> log_frequencies(const Records &records, int feature) {
  constexpr std::size_t kMany = 4096;
  const auto counts = counts_of(records, feature);
  Patience patience;
  double known = 0;
  for (const auto count : counts) {
    patience.step();
    known += count;
  }
  std::vector<double> of_counts(kMany, 1), logs;
  for (std::size_t count = 1; count < kMany; ++count)
    of_counts[count] = std::log2(static_cast<double>(count) / known);
  logs.reserve(records.size());
  for (const Code code : records.codes(feature)) {
    patience.step();
    const auto count = counts[code];
    logs.push_back(count < kMany ? of_counts[count] : std::log2(count / known));
  }
  return logs;
}

} // namespace

double probability_of(double weight) {
  return weight > 0 ? 1 / (1 + std::exp2(-weight)) : std::exp2(weight) / (1 + std::exp2(weight));
}

double log_odds(double probability) {
  return std::log2(probability / (1 - probability));
}

Weigher::Weigher(const Model &model, const Records &records)
    : Weigher(model, [&](int feature) { return log_frequencies(records, feature); }) {}

Weigher::Weigher(const Model &model, const Frequencies &frequencies) : prior_(log_odds(model.prior)) {
  for (const auto &comparison : model.comparisons) {
    auto &weights = weights_.emplace_back(1);
    int gamma = 0;
    for (const auto *level : by_gamma(comparison)) {
      auto &of = weights.emplace_back();
      of.weight = weight_of(m_of(comparison, *level, gamma), u_of(comparison, *level, gamma));
      ++gamma;
      if (level->tf_feature < 0 || level->tf_weight == 0)
        continue;
      Comparison with_defaults = comparison;
      int g = 0;
      for (auto *other : by_gamma(with_defaults))
        other->u = u_of(comparison, *other, g++);
      of.log_u = std::log2(std::max(term_frequency_u(with_defaults, *level), 1e-10));
      of.tf_weight = level->tf_weight;
      of.least = level->tf_minimum_u > 0 ? std::log2(level->tf_minimum_u) : -1e300;
      auto &logs = frequencies_[level->tf_feature];
      if (logs.empty())
        logs = frequencies(level->tf_feature);
      of.frequencies = &logs;
    }
  }
}

std::vector<std::vector<int>> frequent_levels(const Model &model) {
  std::vector<std::vector<int>> features;
  for (const auto &comparison : model.comparisons) {
    auto &of = features.emplace_back(1, -1); // of a null level
    for (const auto *level : by_gamma(comparison))
      of.push_back(level->tf_weight != 0 ? level->tf_feature : -1);
  }
  return features;
}

double Weigher::log_frequency(const Weighed &of, Place left, Place right) const {
  const double l = (*of.frequencies)[left], r = (*of.frequencies)[right];
  if (l > 0 && r > 0)
    return of.log_u; // nothing is known of either: no adjustment
  return std::max(l > 0 ? r : r > 0 ? l : std::max(l, r), of.least);
}

namespace {

double pairs_of(double count) {
  return count * (count - 1) / 2;
}

/// The share of all pairs whose values of a feature are the same, among those where both are known.
double equal_share(const Records &records, int feature) {
  double same = 0, known = 0;
  Patience patience;
  for (const double count : counts_of(records, feature)) {
    patience.step();
    known += count;
    same += pairs_of(count);
  }
  return known > 1 ? same / pairs_of(known) : 0;
}

/// The same, among pairs of two sources.
double equal_share_of_sources(const Records &records, int feature) {
  std::vector<std::uint64_t> values; // and the source below
  std::unordered_map<Code, double> known;
  Patience patience;
  for (Place record = 0; record < records.size(); ++record, patience.step())
    if (const Code code = records.code(feature, record)) {
      const Code source = records.source(record);
      values.push_back(static_cast<std::uint64_t>(code) << 32 | source);
      ++known[source];
    }
  std::sort(values.begin(), values.end(), [&](std::uint64_t a, std::uint64_t b) {
    patience.step();
    return a < b;
  });
  double same = 0, run = 0, within = 0; // records with a value; and of one source
  for (std::size_t i = 0; i < values.size(); ++i) {
    ++run;
    ++within;
    const bool last = i + 1 == values.size();
    if (last || values[i + 1] != values[i]) {
      same -= pairs_of(within);
      within = 0;
    }
    if (last || values[i + 1] >> 32 != values[i] >> 32) {
      same += pairs_of(run);
      run = 0;
    }
  }
  double pairs = pairs_of(static_cast<double>(values.size()));
  for (const auto &[source, count] : known)
    pairs -= pairs_of(count);
  return pairs > 0 ? same / pairs : 0;
}

/// The feature whose being equal is all that a test asks; -1 for others.
int equal_feature(const Model &model, int test) {
  const Test &made = model.tests[static_cast<std::size_t>(test)];
  if (made.kind != Test::Kind::measure || made.sign != Sign::at_least)
    return -1;
  const Pair &pair = model.pairs[static_cast<std::size_t>(made.pair)];
  return pair.measure == Measure::equal && pair.left == pair.right ? pair.left : -1;
}

/// Puts the exact share of equal values in the place of what was drawn; the others share the rest as they
/// did.
void count_equal(const Model &model, const Records &records, Link link, Drawn &drawn) {
  for (std::size_t c = 0; c < model.comparisons.size(); ++c) {
    const auto levels = by_gamma(model.comparisons[c]);
    const int feature = equal_feature(model, levels.back()->test);
    auto &shares = drawn.shares[c];
    if (feature < 0 || model.comparisons[c].features.size() != 1 || shares.back() >= 1 ||
        drawn.counted[c] == 0)
      continue;
    const double exact = link == Link::sources ? equal_share_of_sources(records, feature)
                                               : equal_share(records, feature),
                 rest = (1 - exact) / (1 - shares.back());
    for (double &share : shares)
      share *= rest;
    shares.back() = exact;
  }
}

} // namespace

Drawn draw(const Model &model, const Records &records, Comparer &comparer, Link link, std::uint64_t pairs,
           std::uint64_t seed, const std::function<void()> &still_wanted) {
  Drawn drawn;
  for (const auto &comparison : model.comparisons)
    drawn.shares.emplace_back(static_cast<std::size_t>(comparison.others()));
  drawn.counted.resize(model.comparisons.size());
  constexpr std::size_t kTogether = 1024;
  std::vector<Candidate> some;
  std::vector<std::int8_t> gammas(kTogether * model.comparisons.size());
  const auto count = [&] {
    comparer.compare_all(some.data(), some.size(), gammas.data());
    const std::int8_t *gamma = gammas.data();
    for (std::size_t i = 0; i < some.size(); ++i)
      for (std::size_t c = 0; c < model.comparisons.size(); ++c, ++gamma)
        if (*gamma >= 0) {
          ++drawn.shares[c][static_cast<std::size_t>(*gamma)];
          ++drawn.counted[c];
        }
    some.clear();
  };
  const auto take = [&](Place left, Place right) {
    some.push_back({left, right, 0});
    if (some.size() == kTogether)
      count();
  };
  const std::uint64_t size = records.size(), all = size * (size - (size > 0)) / 2;
  std::uint64_t looked_at = 0;
  const auto wanted = [&](Place left, Place right) {
    if (++looked_at % 4096 == 0)
      still_wanted();
    return left != right && (link != Link::sources || records.source(left) != records.source(right));
  };
  if (all <= pairs) { // all of them are not too many
    for (Place left = 0; left < size; ++left)
      for (Place right = left + 1; right < size; ++right)
        if (wanted(left, right))
          take(left, right);
  } else {
    std::mt19937_64 random(seed);
    for (std::uint64_t drawings = 0; drawings < pairs; ++drawings) {
      const auto a = static_cast<Place>(random() % size), b = static_cast<Place>(random() % size);
      if (wanted(a, b))
        take(std::min(a, b), std::max(a, b));
    }
  }
  count();
  for (std::size_t c = 0; c < drawn.shares.size(); ++c)
    for (double &share : drawn.shares[c])
      share = drawn.counted[c] > 0 ? share / drawn.counted[c] : 0;
  count_equal(model, records, link, drawn);
  return drawn;
}

PatternCounter::PatternCounter(const Model &model) {
  long double all = 1;
  for (const auto &comparison : model.comparisons) {
    radix_.push_back(static_cast<std::uint64_t>(comparison.others()) + 1);
    all *= static_cast<long double>(radix_.back());
  }
  if (all > 9e18L)
    throw Unclear("there are too many comparisons and levels to tell all patterns of them apart");
}

void PatternCounter::add(const std::int8_t *gammas) {
  std::uint64_t pattern = 0;
  for (std::size_t c = 0; c < radix_.size(); ++c)
    pattern = pattern * radix_[c] + static_cast<std::uint64_t>(gammas[c] + 1);
  ++counts_[pattern];
}

Patterns PatternCounter::patterns() const {
  std::map<std::uint64_t, std::uint64_t> sorted(counts_.begin(), counts_.end()); // sums in one order
  Patterns patterns;
  for (const auto &[key, count] : sorted) {
    auto pattern = key;
    std::vector<std::int8_t> gammas(radix_.size());
    for (std::size_t c = radix_.size(); c-- > 0; pattern /= radix_[c])
      gammas[c] = static_cast<std::int8_t>(static_cast<int>(pattern % radix_[c]) - 1);
    patterns.gammas.push_back(std::move(gammas));
    patterns.counts.push_back(static_cast<double>(count));
    patterns.pairs += static_cast<double>(count);
  }
  return patterns;
}

namespace {

bool shares_a_column(const std::vector<std::string> &a, const std::vector<std::string> &b) {
  return std::any_of(a.begin(), a.end(),
                     [&](const std::string &one) { return std::find(b.begin(), b.end(), one) != b.end(); });
}

/// Odds of a match among pairs that agree on the rule's columns: each column's level that says so is taken.
double log_odds_under(const Model &model, const Rule &rule) {
  double odds = log_odds(model.prior);
  for (const auto &comparison : model.comparisons) {
    int gamma = comparison.others() - 1;
    for (const auto &level : comparison.levels) {
      if (level.is_null)
        continue;
      const auto &exact = rule.exact_columns;
      if (std::find(exact.begin(), exact.end(), level.exact_column) != exact.end()) {
        odds += weight_of(m_of(comparison, level, gamma), u_of(comparison, level, gamma));
        break;
      }
      --gamma;
    }
  }
  return odds;
}

} // namespace

Session expect_and_maximise(const Model &model, const Patterns &patterns, std::size_t rule,
                            const EmSettings &settings) {
  Session session;
  session.rule = rule;
  session.pairs = patterns.pairs;
  Shares u;
  for (const auto &comparison : model.comparisons) {
    session.trained.push_back(!shares_a_column(comparison.columns, model.rules[rule].columns));
    auto &m = session.m.emplace_back();
    auto &of = u.emplace_back();
    for (const auto *level : by_gamma(comparison)) {
      m.push_back(m_of(comparison, *level, static_cast<int>(m.size())));
      of.push_back(u_of(comparison, *level, static_cast<int>(of.size())));
    }
  }
  session.lambda = std::clamp(probability_of(log_odds_under(model, model.rules[rule])), 1e-9, 1 - 1e-9);
  const auto comparisons = model.comparisons.size();
  Patience patience;
  while (patterns.pairs > 0 && session.iterations < settings.iterations && !session.converged) {
    Shares weights(comparisons), next(comparisons);
    for (std::size_t c = 0; c < comparisons; ++c) {
      next[c].resize(u[c].size());
      for (std::size_t g = 0; g < u[c].size(); ++g)
        weights[c].push_back(weight_of(session.m[c][g], u[c][g]));
    }
    double matches = 0;
    session.evidence.assign(comparisons, 0);
    for (std::size_t p = 0; p < patterns.counts.size(); ++p) {
      patience.step(comparisons);
      double weight = log_odds(session.lambda);
      for (std::size_t c = 0; c < comparisons; ++c)
        if (session.trained[c] && patterns.gammas[p][c] >= 0)
          weight += weights[c][static_cast<std::size_t>(patterns.gammas[p][c])];
      const double expected = probability_of(weight) * patterns.counts[p];
      matches += expected;
      for (std::size_t c = 0; c < comparisons; ++c)
        if (patterns.gammas[p][c] >= 0) {
          next[c][static_cast<std::size_t>(patterns.gammas[p][c])] += expected;
          session.evidence[c] += expected;
        }
    }
    const double lambda = std::clamp(matches / patterns.pairs, 1e-9, 1 - 1e-9);
    session.change = std::abs(lambda - session.lambda);
    session.lambda = lambda;
    for (std::size_t c = 0; c < comparisons; ++c) {
      if (!session.trained[c] || session.evidence[c] <= 0)
        continue;
      const auto levels = by_gamma(model.comparisons[c]);
      for (std::size_t g = 0; g < next[c].size(); ++g) {
        if (levels[g]->fixed_m)
          continue;
        const double m = next[c][g] / session.evidence[c];
        session.change = std::max(session.change, std::abs(m - session.m[c][g]));
        session.m[c][g] = m;
      }
    }
    ++session.iterations;
    session.converged = session.change < settings.convergence;
  }
  return session;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const auto half = values.size() / 2;
  return values.size() % 2 ? values[half] : (values[half - 1] + values[half]) / 2;
}

namespace {

/// Of a level that no match reached nothing is known but where it stands: it weighs as much as the next lower
/// one that was reached. Below all of these it speaks against a match as far as the number of matches allows,
/// and for one never.
void settle_unreached(Comparison &comparison, const std::vector<bool> &reached, double matches) {
  const auto levels = by_gamma(comparison);
  const auto u = [&](std::size_t g) { return u_of(comparison, *levels[g], static_cast<int>(g)); };
  const auto ratio = [&](std::size_t g) { return *levels[g]->m / u(g); };
  std::optional<std::size_t> below;
  for (std::size_t g = 0; g < levels.size(); ++g) {
    if (reached[g]) {
      below = g;
      continue;
    }
    double most = below ? ratio(*below) : 1;
    for (auto above = g + 1; !below && above < levels.size(); ++above)
      if (reached[above]) {
        most = std::min(most, ratio(above));
        break;
      }
    if (!levels[g]->fixed_m)
      levels[g]->m =
          std::clamp(below ? u(g) * most : std::min(u(g) * most, 1 / (1 + matches)), kNeverSeen * u(g), 1.0);
  }
}

} // namespace

void settle(Model &model, const std::vector<Session> &sessions) {
  for (std::size_t c = 0; c < model.comparisons.size(); ++c) {
    const auto levels = by_gamma(model.comparisons[c]);
    std::vector<bool> reached(levels.size());
    double matches = 0;
    for (std::size_t g = 0; g < levels.size(); ++g) {
      std::vector<double> found;
      for (const auto &session : sessions) {
        if (!session.trained[c] || session.evidence.empty() || session.evidence[c] <= 0)
          continue;
        matches = std::max(matches, session.evidence[c]);
        if (session.m[c][g] > 0)
          found.push_back(session.m[c][g]);
      }
      reached[g] = levels[g]->fixed_m ? levels[g]->m.has_value() : !found.empty();
      if (!found.empty() && !levels[g]->fixed_m)
        levels[g]->m = median(found);
    }
    if (matches > 0)
      settle_unreached(model.comparisons[c], reached, matches);
  }
}

void settle(Model &model, const Shares &matches) {
  for (std::size_t c = 0; c < model.comparisons.size(); ++c) {
    const auto levels = by_gamma(model.comparisons[c]);
    const double all = std::accumulate(matches[c].begin(), matches[c].end(), 0.0);
    if (all <= 0)
      continue;
    std::vector<bool> reached(levels.size());
    for (std::size_t g = 0; g < levels.size(); ++g) {
      reached[g] = levels[g]->fixed_m ? levels[g]->m.has_value() : matches[c][g] > 0;
      if (matches[c][g] > 0 && !levels[g]->fixed_m)
        levels[g]->m = matches[c][g] / all;
    }
    settle_unreached(model.comparisons[c], reached, all);
  }
}

} // namespace cdp::core::match
