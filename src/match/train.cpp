// Training: prior, u and m of a matcher from records alone, and what came of it into its tables.
#include "core/match_wanted.hpp"
#include "match/matcher.hpp"
#include "pg/shown_progress.hpp"

#include <algorithm>
#include <cmath>

using namespace cdp;
namespace engine = match::engine;

namespace {

// Below this share of what was drawn, u is not corrected for the matches among the drawn pairs.
constexpr double kLeastKept = 0.02;
constexpr double kNeverSeen = 1e-6;
constexpr double kFirstPrior = 0.0001;
constexpr int kRounds = 3;

class Training {
public:
  Training(match::Matcher &matcher, const engine::Records &records, std::uint64_t most, std::uint64_t seed)
      : matcher_(matcher), model_(matcher.model), records_(records), comparer_(model_, records),
        blocking_(model_, records, matcher.link, comparer_.evaluator()), most_(most), seed_(seed) {}

  void run(bool refine);

  double drawn_pairs() const { return drawn_pairs_; }
  const std::vector<engine::Session> &sessions() const { return sessions_; }

private:
  void forget();
  void estimate_prior();
  void estimate_u();
  void correct_u();
  void estimate_m();
  void refine_prior(const engine::Patterns &patterns);
  engine::Patterns patterns_of(const std::vector<std::size_t> &rules);
  template <class F> void each_level(F &&visit);

  match::Matcher &matcher_;
  engine::Model &model_;
  const engine::Records &records_;
  engine::Comparer comparer_;
  engine::Blocking blocking_;
  std::uint64_t most_, seed_;
  engine::Drawn drawn_;
  double drawn_pairs_ = 0;
  std::vector<engine::Patterns> by_rule_;
  std::vector<engine::Session> sessions_;
};

// visit(comparison, gamma, level)
template <class F> void Training::each_level(F &&visit) {
  for (std::size_t c = 0; c < model_.comparisons.size(); ++c) {
    int gamma = model_.comparisons[c].others();
    for (auto &level : model_.comparisons[c].levels)
      if (!level.is_null)
        visit(c, static_cast<std::size_t>(--gamma), level);
  }
}

void Training::estimate_prior() {
  const auto rules = matcher_.rules("deterministic");
  const auto all = blocking_.all_pairs();
  if (rules.empty() || all == 0)
    return;
  std::uint64_t pairs = 0;
  blocking_.each(rules, [&](const std::vector<engine::Candidate> &batch) {
    pg::check_for_interrupts();
    pairs += batch.size();
  });
  model_.prior =
      std::clamp(static_cast<double>(pairs) / matcher_.recall / static_cast<double>(all), 1e-12, 0.5);
}

void Training::estimate_u() {
  pg::ShownProgress progress(pg::Task::draw_pairs, most_);
  drawn_ = engine::draw(model_, records_, comparer_, matcher_.link, most_, seed_, [&] {
    pg::check_for_interrupts();
    progress.step(4096);
  });
  drawn_pairs_ = drawn_.counted.empty() ? 0 : *std::max_element(drawn_.counted.begin(), drawn_.counted.end());
  each_level([&](std::size_t c, std::size_t gamma, engine::Level &level) {
    if (!level.fixed_u && drawn_.counted[c] > 0)
      level.u = drawn_.shares[c][gamma] > 0 ? drawn_.shares[c][gamma] : kNeverSeen;
  });
}

// Pairs drawn at random are matches with the probability of the prior: what these would show is taken off.
void Training::correct_u() {
  each_level([&](std::size_t c, std::size_t gamma, engine::Level &level) {
    const double share = drawn_.shares[c][gamma];
    if (level.fixed_u || share <= 0 || !level.m)
      return;
    const double rest = (share - model_.prior * *level.m) / (1 - model_.prior);
    level.u = std::max(rest, share * kLeastKept);
  });
}

// Of more pairs than allowed, a part that is the same every time.
engine::Patterns Training::patterns_of(const std::vector<std::size_t> &rules) {
  std::uint64_t all = 0;
  for (const auto rule : rules)
    all += blocking_.size(rule).pairs;
  const double kept = all > most_ ? static_cast<double>(most_) / static_cast<double>(all) : 1;
  const engine::Blocking::Part part{static_cast<std::uint64_t>(kept * 4294967296.0), seed_};
  engine::PatternCounter counter(model_);
  pg::ShownProgress progress(pg::Task::weigh_rules, all > most_ ? most_ : all);
  std::vector<std::int8_t> gammas;
  blocking_.each(
      rules,
      [&](const std::vector<engine::Candidate> &batch) {
        pg::check_for_interrupts();
        progress.step(batch.size());
        gammas.resize(batch.size() * comparer_.comparisons());
        comparer_.compare_all(batch.data(), batch.size(), gammas.data());
        for (std::size_t i = 0; i < batch.size(); ++i)
          counter.add(gammas.data() + i * comparer_.comparisons());
      },
      part);
  auto patterns = counter.patterns();
  for (double &count : patterns.counts)
    count /= kept;
  patterns.pairs /= kept;
  return patterns;
}

void Training::estimate_m() {
  const auto rules = matcher_.rules("training");
  sessions_.clear();
  for (std::size_t i = 0; i < rules.size(); ++i) {
    if (by_rule_.size() == i)
      by_rule_.push_back(patterns_of({rules[i]}));
    sessions_.push_back(engine::expect_and_maximise(model_, by_rule_[i], rules[i], matcher_.em));
  }
  engine::settle(model_, sessions_);
}

// The share of all pairs that blocking's pairs, weighed by what is known now, come to.
void Training::refine_prior(const engine::Patterns &patterns) {
  const auto all = static_cast<double>(blocking_.all_pairs());
  if (all == 0)
    return; // all records are of one source
  engine::Patience patience;
  for (int step = 0; step < 20; ++step) {
    double matches = 0;
    for (std::size_t p = 0; p < patterns.counts.size(); ++p) {
      patience.step(model_.comparisons.size());
      double weight = engine::log_odds(model_.prior);
      for (std::size_t c = 0; c < model_.comparisons.size(); ++c) {
        if (patterns.gammas[p][c] < 0)
          continue;
        int gamma = model_.comparisons[c].others();
        for (const auto &level : model_.comparisons[c].levels)
          if (!level.is_null && --gamma == patterns.gammas[p][c])
            weight +=
                engine::weight_of(level.m.value_or(engine::default_m(model_.comparisons[c].others(), gamma)),
                                  level.u.value_or(engine::default_u(model_.comparisons[c].others(), gamma)));
      }
      matches += engine::probability_of(weight) * patterns.counts[p];
    }
    const double prior = std::clamp(matches / all, 1e-12, 0.5);
    const bool settled = std::abs(prior - model_.prior) < 0.001 * prior;
    model_.prior = prior;
    if (settled)
      break;
  }
}

// What an earlier training found is no place to start from: the same records give the same, however often.
void Training::forget() {
  model_.prior = kFirstPrior;
  each_level([](std::size_t, std::size_t, engine::Level &level) {
    if (!level.fixed_m)
      level.m.reset();
    if (!level.fixed_u)
      level.u.reset();
  });
}

void Training::run(bool refine) {
  if (refine)
    forget();
  estimate_prior();
  estimate_u();
  estimate_m();
  if (!refine)
    return;
  const auto patterns = patterns_of(match::usable_rules(matcher_, blocking_, records_));
  for (int round = 0; round < kRounds; ++round) {
    refine_prior(patterns);
    correct_u();
    estimate_m();
  }
  refine_prior(patterns);
}

template <class T> Datum array_of(const std::vector<T> &values, Oid type, bool by_value, char align) {
  std::vector<Datum> datums;
  for (const T &value : values)
    datums.push_back(std::is_same_v<T, double> ? Float8GetDatum(static_cast<double>(value))
                                               : Int32GetDatum(static_cast<std::int32_t>(value)));
  return pg::call([&] {
    return PointerGetDatum(construct_array(datums.data(), static_cast<int>(datums.size()), type,
                                           static_cast<int>(sizeof(T)), by_value, align));
  });
}

// Rows of numbers, a column an array.
struct Columns {
  std::vector<std::int32_t> session, comparison, level;
  std::vector<double> m, u;
};

Datum doubles(const std::vector<double> &values) {
  return array_of(values, FLOAT8OID, true, TYPALIGN_DOUBLE);
}

void store_levels(const match::Matcher &matcher) {
  Columns columns;
  for (std::size_t c = 0; c < matcher.model.comparisons.size(); ++c) {
    const auto &levels = matcher.model.comparisons[c].levels;
    for (std::size_t l = 0; l < levels.size(); ++l)
      if (!levels[l].is_null) {
        columns.comparison.push_back(static_cast<std::int32_t>(c) + 1);
        columns.level.push_back(static_cast<std::int32_t>(l) + 1);
        columns.m.push_back(levels[l].m.value_or(NAN));
        columns.u.push_back(levels[l].u.value_or(NAN));
      }
  }
  static pg::Statement update(
      "UPDATE cdp.matcher_levels AS l SET m = NULLIF(n.m, 'NaN'), u = NULLIF(n.u, 'NaN') FROM "
      "ROWS FROM (pg_catalog.unnest($2), pg_catalog.unnest($3), pg_catalog.unnest($4), "
      "pg_catalog.unnest($5)) AS n (comparison, level, m, u) WHERE l.matcher = $1 AND l.comparison = "
      "n.comparison AND l.level = n.level");
  update.run(pg::Params()
                 .text(matcher.name)
                 .integers(columns.comparison)
                 .integers(columns.level)
                 .datum(FLOAT8ARRAYOID, doubles(columns.m))
                 .datum(FLOAT8ARRAYOID, doubles(columns.u)));
}

void store_sessions(const match::Matcher &matcher, const std::vector<engine::Session> &sessions) {
  static pg::Statement forget("DELETE FROM cdp.matcher_sessions WHERE matcher = $1");
  static pg::Statement insert("INSERT INTO cdp.matcher_sessions (matcher, session, rule, pairs, iterations, "
                              "converged, change, lambda) "
                              "VALUES ($1, $2, $3, $4, $5, $6, $7, $8)");
  static pg::Statement insert_values(
      "INSERT INTO cdp.matcher_session_values (matcher, session, comparison, level, m) SELECT $1, n.* FROM "
      "ROWS FROM (pg_catalog.unnest($2), pg_catalog.unnest($3), pg_catalog.unnest($4), "
      "pg_catalog.unnest($5)) AS n");
  forget.run(pg::Params().text(matcher.name));
  Columns columns;
  for (std::size_t s = 0; s < sessions.size(); ++s) {
    const auto &session = sessions[s];
    const auto number = static_cast<std::int32_t>(s) + 1;
    insert.run(pg::Params()
                   .text(matcher.name)
                   .integer(number)
                   .text(matcher.model.rules[session.rule].text)
                   .bigint(static_cast<std::int64_t>(std::llround(session.pairs)))
                   .integer(session.iterations)
                   .boolean(session.converged)
                   .datum(FLOAT8OID, Float8GetDatum(session.change))
                   .datum(FLOAT8OID, Float8GetDatum(session.lambda)));
    for (std::size_t c = 0; c < session.m.size(); ++c) {
      const auto &levels = matcher.model.comparisons[c].levels;
      int gamma = matcher.model.comparisons[c].others();
      for (std::size_t l = 0; l < levels.size(); ++l) {
        if (levels[l].is_null || --gamma < 0 || !session.trained[c])
          continue;
        columns.session.push_back(number);
        columns.comparison.push_back(static_cast<std::int32_t>(c) + 1);
        columns.level.push_back(static_cast<std::int32_t>(l) + 1);
        columns.m.push_back(session.m[c][static_cast<std::size_t>(gamma)]);
      }
    }
  }
  insert_values.run(pg::Params()
                        .text(matcher.name)
                        .integers(columns.session)
                        .integers(columns.comparison)
                        .integers(columns.level)
                        .datum(FLOAT8ARRAYOID, doubles(columns.m)));
}

} // namespace

// cdp_internal.train_matcher(matcher text, records regclass, max_pairs bigint, seed bigint, refine boolean)
CDP_FUNCTION(cdp_train_matcher) {
  pg::Session session;
  auto matcher = match::load_matcher(pg::text_argument(fcinfo, 0), {"blocking", "training", "deterministic"});
  if (PG_GETARG_INT64(2) < 1)
    throw Error(ERRCODE_INVALID_PARAMETER_VALUE,
                "max_pairs is at least 1: " + std::to_string(PG_GETARG_INT64(2)));
  if (matcher.rules("training").empty())
    throw Error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                "matcher \"" + matcher.name + "\" has no training rules", {},
                "Put two or three into its settings as training_rules, so that each comparison is trained by "
                "one that "
                "does not use its columns.");
  const auto records = match::read_records(matcher, PG_GETARG_OID(1));
  if (records.size() < 2)
    throw Error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                "from " + std::string(records.size() ? "one record" : "no record") +
                    " nothing can be learnt");
  Training training(matcher, records, static_cast<std::uint64_t>(PG_GETARG_INT64(2)),
                    static_cast<std::uint64_t>(PG_GETARG_INT64(3)));
  training.run(PG_GETARG_BOOL(4));
  store_levels(matcher);
  store_sessions(matcher, training.sessions());
  static pg::Statement finish(
      "UPDATE cdp.matchers SET prior = $2, trained_at = now(), records = $3, drawn_pairs = $4 "
      "WHERE name = $1");
  finish.run(pg::Params()
                 .text(matcher.name)
                 .datum(FLOAT8OID, Float8GetDatum(matcher.model.prior))
                 .bigint(static_cast<std::int64_t>(records.size()))
                 .bigint(static_cast<std::int64_t>(training.drawn_pairs())));
  PG_RETURN_VOID();
}
