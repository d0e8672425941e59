#include "match/judge.hpp"

#include "core/match_wanted.hpp"
#include "match/scorer.hpp"

namespace cdp::match {

void JudgedRows::add(const JudgedPair &pair) {
  const double probability = engine::probability_of(pair.weight);
  if (probability < thresholds_.review)
    return;
  memory_.run([&] {
    Datum values[7] = {
        text_datum(pair.id_l),
        text_datum(pair.source_l),
        text_datum(pair.id_r),
        text_datum(pair.source_r),
        Float8GetDatum(pair.weight),
        Float8GetDatum(probability),
        text_datum(pair.is_one_cluster && probability >= thresholds_.merge ? "linked" : "waiting")};
    bool nulls[7] = {};
    tuplestore_putvalues(result_->setResult, result_->setDesc, values, nulls);
  });
}

Whole::Whole(const Matcher &matcher, engine::Records read, const Thresholds &thresholds)
    : records(std::move(read)) {
  const double least = engine::log_odds(thresholds.floor());
  Scorer scorer(matcher, records);
  engine::Blocking blocking(matcher.model, records, matcher.link, scorer.evaluator());
  rules = usable_rules(matcher, blocking, records);
  widest = blocking.widest(rules);
  need_bounded_pairs(matcher, blocking, records, rules, thresholds.max_pairs);
  each_scored(blocking, scorer, rules,
              [&](const engine::Candidate &pair, double weight, const std::int8_t *) {
                if (weight >= least)
                  edges.push_back({pair.left, pair.right, weight});
              });
  pg::ShownProgress progress(pg::Task::cluster_records);
  engine::Uniques uniques{matcher.model.uniques.size(), {}};
  engine::Patience patience;
  for (engine::Place record = 0; record < records.size() && uniques.width > 0; ++record, patience.step())
    for (const int feature : matcher.model.uniques)
      uniques.values.push_back(records.code(feature, record));
  clusters = engine::cohesive(
      records.size(), edges, engine::log_odds(thresholds.cluster), 1, 10,
      [&] {
        pg::check_for_interrupts();
        progress.step(engine::kOffers);
      },
      std::move(uniques));
}

void Whole::judge(JudgedRows &rows) const {
  engine::Patience patience;
  for (const auto &edge : edges) {
    patience.step();
    rows.add({records.id(edge.a), records.text(records.source(edge.a)), records.id(edge.b),
              records.text(records.source(edge.b)), edge.weight, clusters[edge.a] == clusters[edge.b]});
  }
}

} // namespace cdp::match

// cdp_internal.judge_matches(matcher text, records regclass, merge_threshold, review_threshold,
// cluster_threshold, max_pairs)
CDP_FUNCTION(cdp_judge_matches) {
  using namespace cdp;
  const match::Thresholds thresholds{PG_GETARG_FLOAT8(2), PG_GETARG_FLOAT8(3), PG_GETARG_FLOAT8(4),
                                     PG_GETARG_INT64(5)};
  match::JudgedRows rows(fcinfo, thresholds);
  pg::Session session;
  const auto matcher = match::load_matcher(pg::text_argument(fcinfo, 0), {"blocking"});
  const match::Whole whole(matcher, match::read_records(matcher, PG_GETARG_OID(1)), thresholds);
  whole.judge(rows);
  PG_RETURN_NULL();
}
