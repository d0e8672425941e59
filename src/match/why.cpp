// Why two records are one person, or not: what each comparison adds to the weight of the pair.
#include "match/matcher.hpp"

#include <algorithm>
#include <numeric>
#include <optional>

using namespace cdp;
namespace engine = match::engine;

namespace {

// The level that gave a gamma; -1: the first null level.
std::size_t level_of(const engine::Comparison &comparison, int gamma) {
  int others = comparison.others();
  for (std::size_t l = 0; l < comparison.levels.size(); ++l) {
    others -= !comparison.levels[l].is_null;
    if (comparison.levels[l].is_null ? gamma < 0 : gamma == others)
      return l;
  }
  return comparison.levels.size() - 1;
}

bool has_pair(const match::Matcher &matcher, const engine::Records &records, engine::Evaluator &evaluator) {
  engine::Blocking blocking(matcher.model, records, matcher.link, evaluator);
  bool found = false;
  blocking.each(matcher.rules("blocking"),
                [&](const std::vector<engine::Candidate> &batch) { found = found || !batch.empty(); });
  return found;
}

} // namespace

// cdp_internal.why_match(matcher text, records regclass, id text, other_id text, source text, other_source
// text): (comparison, level, gamma, weight, frequency, first_is_left, is_blocked) a row; comparison 0 is the
// prior
CDP_FUNCTION(cdp_why_match) {
  pg::call([&] { InitMaterializedSRF(fcinfo, 0); });
  auto *result = reinterpret_cast<ReturnSetInfo *>(fcinfo->resultinfo);
  pg::Session session;
  const auto matcher = match::load_matcher(pg::text_argument(fcinfo, 0), {"blocking"});
  const auto relation = PG_GETARG_OID(1);
  const auto given = [&](int place) {
    return PG_ARGISNULL(place) ? std::string() : pg::text_argument(fcinfo, place);
  };
  const match::RecordKey one{given(2), given(4)}, other{given(3), given(5)};
  if (one.id == other.id && one.source == other.source)
    throw Error(ERRCODE_INVALID_PARAMETER_VALUE, "two different records are needed",
                "Both are \"" + one.id + "\".");
  const auto records = match::read_records(matcher, relation, {one, other});
  if (records.size() != 2)
    throw Error(ERRCODE_UNIQUE_VIOLATION, "the two ids name " + std::to_string(records.size()) + " records",
                {},
                "Ids must be unique within a source; give source and other_source where there are several.");
  engine::Comparer comparer(matcher.model, records);
  const engine::Weigher weigher(matcher.model, [&](int feature) {
    return match::read_log_frequencies(matcher, relation, records, feature);
  });
  std::vector<std::int8_t> gammas(comparer.comparisons() + 1);
  comparer.compare(0, 1, gammas.data());
  const bool blocked = has_pair(matcher, records, comparer.evaluator());
  const bool first_is_left = records.id(0) == one.id &&
                             (matcher.source_column.empty() || records.text(records.source(0)) == one.source);
  for (std::size_t c = 0; c <= matcher.model.comparisons.size(); ++c) {
    const bool prior = c == 0;
    const auto gamma = prior ? std::int8_t{0} : gammas[c - 1];
    const auto part =
        prior ? engine::Weigher::Part{weigher.prior(), 0, false} : weigher.part(c - 1, gamma, 0, 1);
    const auto level = prior ? 0 : level_of(matcher.model.comparisons[c - 1], gamma) + 1;
    pg::call([&] {
      Datum values[7] = {Int32GetDatum(static_cast<std::int32_t>(c)),
                         Int32GetDatum(static_cast<std::int32_t>(level)),
                         Int32GetDatum(gamma),
                         Float8GetDatum(part.weight),
                         Float8GetDatum(part.frequency),
                         BoolGetDatum(first_is_left),
                         BoolGetDatum(blocked)};
      bool nulls[7] = {false, prior, prior, false, !part.adjusted, false, false};
      tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
    });
  }
  PG_RETURN_NULL();
}

namespace {

// Where records are, by their ids and sources.
class Places {
public:
  explicit Places(const engine::Records &records) : records_(records) {
    order_.resize(records.size());
    std::iota(order_.begin(), order_.end(), engine::Place{0});
    std::sort(order_.begin(), order_.end(),
              [&](engine::Place a, engine::Place b) { return key(a) < key(b); });
  }
  std::optional<engine::Place> find(const std::string &id, const std::string &source) const {
    const std::pair<std::string_view, std::string_view> wanted(id, source);
    const auto found = std::lower_bound(order_.begin(), order_.end(), wanted,
                                        [&](engine::Place a, const auto &b) { return key(a) < b; });
    if (found == order_.end() || key(*found) != wanted)
      return std::nullopt;
    return *found;
  }

private:
  std::pair<std::string_view, std::string_view> key(engine::Place place) const {
    return {records_.id(place), records_.text(records_.source(place))};
  }
  const engine::Records &records_;
  std::vector<engine::Place> order_;
};

} // namespace

// cdp_internal.learn_from_labels(matcher text, records regclass, ids text[], other_ids text[], sources
// text[], other_sources text[]): (comparison, level, m) a row, of the comparisons that these matches tell of
CDP_FUNCTION(cdp_learn_from_labels) {
  pg::call([&] { InitMaterializedSRF(fcinfo, 0); });
  auto *result = reinterpret_cast<ReturnSetInfo *>(fcinfo->resultinfo);
  pg::Session session;
  auto matcher = match::load_matcher(pg::text_argument(fcinfo, 0), {});
  const auto ids = pg::texts_argument(fcinfo, 2), others = pg::texts_argument(fcinfo, 3),
             sources = pg::texts_argument(fcinfo, 4), other_sources = pg::texts_argument(fcinfo, 5);
  const auto records = match::read_records(matcher, PG_GETARG_OID(1));
  const Places places(records);
  engine::Comparer comparer(matcher.model, records);
  engine::Shares matches;
  for (const auto &comparison : matcher.model.comparisons)
    matches.emplace_back(static_cast<std::size_t>(comparison.others()));
  std::vector<std::int8_t> gammas(comparer.comparisons() + 1);
  const bool sourced = !matcher.source_column.empty();
  const auto need = [&](const std::string &id, const std::string &source) {
    const auto found = places.find(id, sourced ? source : "");
    if (!found)
      throw Error(ERRCODE_NO_DATA_FOUND, "a label is about \"" + id + "\", which is no record");
    return *found;
  };
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (i % 1024 == 0)
      pg::check_for_interrupts();
    const auto a = need(ids[i], sources[i]), b = need(others[i], other_sources[i]);
    comparer.compare(std::min(a, b), std::max(a, b), gammas.data());
    for (std::size_t c = 0; c < comparer.comparisons(); ++c)
      if (gammas[c] >= 0)
        ++matches[c][static_cast<std::size_t>(gammas[c])];
  }
  engine::settle(matcher.model, matches);
  for (std::size_t c = 0; c < matches.size(); ++c) {
    const auto &levels = matcher.model.comparisons[c].levels;
    if (std::all_of(matches[c].begin(), matches[c].end(), [](double pairs) { return pairs == 0; }))
      continue;
    for (std::size_t l = 0; l < levels.size(); ++l)
      if (!levels[l].is_null && !levels[l].fixed_m)
        pg::call([&] {
          Datum values[3] = {Int32GetDatum(static_cast<std::int32_t>(c) + 1),
                             Int32GetDatum(static_cast<std::int32_t>(l) + 1), Float8GetDatum(*levels[l].m)};
          bool nulls[3] = {};
          tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
        });
  }
  PG_RETURN_NULL();
}

// cdp.unlinkable_records(matcher text, records regclass, threshold double precision): records that would not
// even be linked to themselves
CDP_FUNCTION(cdp_unlinkable_records) {
  pg::call([&] { InitMaterializedSRF(fcinfo, 0); });
  auto *result = reinterpret_cast<ReturnSetInfo *>(fcinfo->resultinfo);
  if (!(PG_GETARG_FLOAT8(2) >= 0 && PG_GETARG_FLOAT8(2) <= 1))
    throw Error(ERRCODE_INVALID_PARAMETER_VALUE,
                "the threshold is a probability: " + std::to_string(PG_GETARG_FLOAT8(2)), {},
                "Give a number from 0 to 1.");
  pg::Session session;
  const auto matcher = match::load_matcher(pg::text_argument(fcinfo, 0), {});
  const auto records = match::read_records(matcher, PG_GETARG_OID(1));
  engine::Comparer comparer(matcher.model, records);
  const engine::Weigher weigher(matcher.model, records);
  std::vector<std::int8_t> gammas(comparer.comparisons() + 1);
  for (engine::Place place = 0; place < records.size(); ++place) {
    if (place % 1024 == 0)
      pg::check_for_interrupts();
    comparer.compare(place, place, gammas.data());
    const double weight = weigher.weigh(gammas.data(), place, place);
    if (engine::probability_of(weight) >= PG_GETARG_FLOAT8(2))
      continue;
    pg::call([&] {
      const auto text_of = [](std::string_view value) {
        return PointerGetDatum(cstring_to_text_with_len(value.data(), static_cast<int>(value.size())));
      };
      const auto source = records.text(records.source(place));
      Datum values[4] = {text_of(records.id(place)), text_of(source), Float8GetDatum(weight),
                         Float8GetDatum(engine::probability_of(weight))};
      bool nulls[4] = {false, source.empty(), false, false};
      tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
      pfree(DatumGetPointer(values[0]));
      pfree(DatumGetPointer(values[1]));
    });
  }
  PG_RETURN_NULL();
}
