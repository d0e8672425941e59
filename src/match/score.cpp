// Pairs and their weights, as rows.
#include "match/rows.hpp"
#include "match/scorer.hpp"

#include <algorithm>
#include <cmath>
#include <ctime>

using namespace cdp;
using match::text_datum;
using match::engine::Blocking;
using match::engine::Candidate;

namespace {

Datum gammas_datum(const std::int8_t *gammas, std::size_t count) { // inside pg::call
  auto *datums = static_cast<Datum *>(palloc(sizeof(Datum) * (count + 1)));
  for (std::size_t c = 0; c < count; ++c)
    datums[c] = Int16GetDatum(gammas[c]);
  return PointerGetDatum(construct_array(datums, static_cast<int>(count), INT2OID, 2, true, TYPALIGN_SHORT));
}

} // namespace

// cdp_internal.check_matcher(matcher text): throws what is wrong with it
CDP_FUNCTION(cdp_check_matcher) {
  pg::Session session;
  match::load_matcher(pg::text_argument(fcinfo, 0), {"blocking", "training", "deterministic"});
  PG_RETURN_VOID();
}

// cdp.score_pairs(matcher text, records regclass, threshold double precision, max_pairs bigint, levels
// boolean)
CDP_FUNCTION(cdp_score_pairs) {
  auto *result = match::begin_rows(fcinfo);
  const double threshold = PG_ARGISNULL(2) ? 0 : PG_GETARG_FLOAT8(2);
  if (!(threshold >= 0 && threshold <= 1))
    throw Error(ERRCODE_INVALID_PARAMETER_VALUE,
                "the threshold is a probability: " + std::to_string(threshold), {},
                "Give a number from 0 to 1.");
  // Above a weight of 53 a probability is 1, as far as a double tells.
  const double least = std::min(match::engine::log_odds(threshold), 53.0);
  const bool levels = !PG_ARGISNULL(4) && PG_GETARG_BOOL(4);
  if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(3))
    throw Error(ERRCODE_NULL_VALUE_NOT_ALLOWED, "matcher, records and max_pairs must be given");
  pg::Session session;
  const auto matcher = match::load_matcher(pg::text_argument(fcinfo, 0), {"blocking"});
  const auto records = match::read_records(matcher, PG_GETARG_OID(1));
  match::Scorer scorer(matcher, records);
  Blocking blocking(matcher.model, records, matcher.link, scorer.evaluator());
  const auto rules = match::usable_rules(matcher, blocking, records);
  match::need_bounded_pairs(matcher, blocking, records, rules, PG_GETARG_INT64(3));
  const bool sourced = !matcher.source_column.empty();
  match::RowMemory memory;
  match::each_scored(blocking, scorer, rules,
                     [&](const Candidate &pair, double weight, const std::int8_t *gammas) {
                       if (weight < least)
                         return;
                       memory.run([&] {
                         Datum values[8] = {};
                         bool nulls[8] = {false, false, !sourced, !sourced, false, false, false, !levels};
                         values[0] = text_datum(records.id(pair.left));
                         values[1] = text_datum(records.id(pair.right));
                         if (sourced) {
                           values[2] = text_datum(records.text(records.source(pair.left)));
                           values[3] = text_datum(records.text(records.source(pair.right)));
                         }
                         values[4] = Float8GetDatum(weight);
                         values[5] = Float8GetDatum(match::engine::probability_of(weight));
                         values[6] = Int32GetDatum(pair.rule);
                         if (levels)
                           values[7] = gammas_datum(gammas, scorer.comparisons());
                         tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
                       });
                     });
  PG_RETURN_NULL();
}

// cdp.blocking_analysis(matcher text, records regclass): (purpose, number, rule, pairs, largest_block,
// members, value, used) a row
CDP_FUNCTION(cdp_blocking_analysis) {
  auto *result = match::begin_rows(fcinfo);
  pg::Session session;
  const auto matcher =
      match::load_matcher(pg::text_argument(fcinfo, 0), {"blocking", "training", "deterministic"});
  const auto records = match::read_records(matcher, PG_GETARG_OID(1));
  match::engine::Evaluator evaluator(matcher.model, records);
  const Blocking blocking(matcher.model, records, matcher.link, evaluator);
  const auto usable = match::usable_rules(matcher, blocking, records);
  match::RowMemory memory;
  int number = 0;
  for (std::size_t rule = 0; rule < matcher.model.rules.size(); ++rule) {
    pg::check_for_interrupts();
    number = rule > 0 && matcher.purposes[rule] == matcher.purposes[rule - 1] ? number + 1 : 1;
    const auto size = blocking.size(rule);
    const auto value =
        size.pairs > 0 ? match::describe_key(matcher, records, rule, size.example) : std::string();
    memory.run([&] {
      Datum values[8] = {text_datum(matcher.purposes[rule]),
                         Int32GetDatum(number),
                         text_datum(matcher.model.rules[rule].text),
                         Int64GetDatum(static_cast<std::int64_t>(size.pairs)),
                         Int64GetDatum(static_cast<std::int64_t>(size.largest)),
                         Int64GetDatum(static_cast<std::int64_t>(size.members)),
                         text_datum(value),
                         BoolGetDatum(std::find(usable.begin(), usable.end(), rule) != usable.end() ||
                                      matcher.purposes[rule] != "blocking")};
      bool nulls[8] = {false, false, false, false, false, false, size.pairs == 0, false};
      tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
    });
  }
  PG_RETURN_NULL();
}

// cdp_internal.measure_scoring(matcher text, records regclass): pairs, and the seconds of processor time they
// took
CDP_FUNCTION(cdp_measure_scoring) {
  auto *result = match::begin_rows(fcinfo);
  pg::Session session;
  const auto clock = [] { return std::clock(); }; // of this process, whatever else runs
  const auto begun = clock();
  const auto matcher = match::load_matcher(pg::text_argument(fcinfo, 0), {"blocking"});
  const auto records = match::read_records(matcher, PG_GETARG_OID(1));
  const auto read = clock();
  match::Scorer scorer(matcher, records);
  Blocking blocking(matcher.model, records, matcher.link, scorer.evaluator());
  const auto rules = match::usable_rules(matcher, blocking, records);
  const auto blocked = clock();
  std::int64_t pairs = 0;
  double sum = 0;
  blocking.each(rules, [](const std::vector<Candidate> &) { pg::check_for_interrupts(); });
  const auto made = clock();
  match::each_scored(blocking, scorer, rules, [&](const Candidate &, double weight, const std::int8_t *) {
    ++pairs;
    sum += weight;
  });
  const auto scored = clock();
  const auto seconds = [](std::clock_t from, std::clock_t to) {
    return static_cast<double>(to - from) / CLOCKS_PER_SEC;
  };
  pg::call([&] {
    Datum values[7] = {Int64GetDatum(static_cast<std::int64_t>(records.size())),
                       Int64GetDatum(pairs),
                       Float8GetDatum(seconds(begun, read)),
                       Float8GetDatum(seconds(read, blocked)),
                       Float8GetDatum(seconds(blocked, made)),
                       Float8GetDatum(seconds(made, scored) - seconds(blocked, made)),
                       Float8GetDatum(sum)};
    bool nulls[7] = {};
    tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
  });
  PG_RETURN_NULL();
}
