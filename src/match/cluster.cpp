// Clusters of records from weighted pairs.
#include "core/match_cluster.hpp"
#include "core/match_wanted.hpp"
#include "match/matcher.hpp"
#include "pg/shown_progress.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

using namespace cdp;
namespace engine = match::engine;

namespace {

struct Pairs {
  engine::Dictionary keys; // how long the source is, source, id
  std::vector<engine::Edge> edges;

  std::uint32_t member(std::string_view source, std::string_view id) {
    const auto size = static_cast<std::uint32_t>(source.size());
    std::string key(reinterpret_cast<const char *>(&size), sizeof size);
    return keys.code(key.append(source).append(id)) - 1;
  }
  std::string_view source(std::uint32_t member) const {
    const auto key = keys.text(member + 1);
    return key.substr(sizeof(std::uint32_t), source_size(key));
  }
  std::string_view id(std::uint32_t member) const {
    const auto key = keys.text(member + 1);
    return key.substr(sizeof(std::uint32_t) + source_size(key));
  }
  std::size_t members() const { return keys.size() - 1; }

private:
  static std::uint32_t source_size(std::string_view key) {
    std::uint32_t size;
    std::memcpy(&size, key.data(), sizeof size);
    return size;
  }
};

void read_pairs(Pairs &pairs, const std::string &relation) {
  const auto sql =
      "SELECT id_l::text, id_r::text, coalesce(source_l::text, ''), coalesce(source_r::text, ''), "
      "match_weight::float8 FROM " +
      relation + " WHERE match_weight IS NOT NULL";
  match::each_batch(sql, [&](const pg::Rows &rows) {
    for (std::size_t row = 0; row < rows.size(); ++row) {
      if (rows.is_null(row, 1) || rows.is_null(row, 2))
        throw Error(ERRCODE_NOT_NULL_VIOLATION, "a pair has no id_l or id_r");
      const double weight = DatumGetFloat8(rows.datum(row, 5));
      if (std::isnan(weight))
        throw Error(ERRCODE_INVALID_PARAMETER_VALUE, "the match_weight of a pair is not a number");
      const auto a = pairs.member(rows.text(row, 3), rows.text(row, 1)),
                 b = pairs.member(rows.text(row, 4), rows.text(row, 2));
      if (a != b)
        pairs.edges.push_back({a, b, weight});
    }
  });
}

// Numbers by their size, before and after them texts by their bytes.
bool precedes(std::string_view a, std::string_view b) {
  const auto is_number = [](std::string_view text) {
    return !text.empty() && text.size() < 19 &&
           std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
  };
  if (is_number(a) && is_number(b) && a.size() != b.size())
    return a.size() < b.size();
  return a < b;
}

// Members in the order of their sources and ids, so that clusters are named by their first.
std::vector<std::uint32_t> in_order(const Pairs &pairs) {
  std::vector<std::uint32_t> order(pairs.members());
  std::iota(order.begin(), order.end(), 0u);
  engine::Patience patience;
  std::sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
    patience.step();
    return pairs.source(a) != pairs.source(b) ? pairs.source(a) < pairs.source(b)
                                              : precedes(pairs.id(a), pairs.id(b));
  });
  return order;
}

engine::Clusters clusters_of(const Pairs &pairs, const std::vector<std::uint32_t> &order,
                             const std::string &method, double least, const std::vector<std::string> &single,
                             pg::ShownProgress &progress) {
  std::vector<std::uint32_t> places(order.size());
  for (std::uint32_t i = 0; i < order.size(); ++i)
    places[order[i]] = i;
  auto edges = pairs.edges;
  engine::Patience patience;
  for (auto &edge : edges) {
    patience.step();
    edge = {places[edge.a], places[edge.b], edge.weight};
  }
  if (method == "connected")
    return engine::connected(order.size(), edges, least);
  if (method == "cohesive")
    return engine::cohesive(order.size(), edges, least, 1, 10, [&] {
      pg::check_for_interrupts();
      progress.step(engine::kOffers);
    });
  std::vector<std::uint32_t> sources(order.size());
  for (std::uint32_t i = 0; i < order.size(); ++i) {
    const auto found = std::find(single.begin(), single.end(), pairs.source(order[i]));
    if (found != single.end())
      sources[i] = static_cast<std::uint32_t>(found - single.begin()) + 1;
  }
  return engine::best_links(order.size(), edges, least, sources);
}

} // namespace

// cdp.cluster_pairs(pairs regclass, threshold double precision, method text, single_sources text[])
CDP_FUNCTION(cdp_cluster_pairs) {
  pg::call([&] { InitMaterializedSRF(fcinfo, 0); });
  auto *result = reinterpret_cast<ReturnSetInfo *>(fcinfo->resultinfo);
  const double threshold = PG_GETARG_FLOAT8(1);
  if (!(threshold > 0 && threshold < 1))
    throw Error(ERRCODE_INVALID_PARAMETER_VALUE,
                "the threshold is a probability: " + std::to_string(threshold), {},
                "Give a number between 0 and 1.");
  const auto method = pg::text_argument(fcinfo, 2);
  if (method != "connected" && method != "cohesive" && method != "best_links")
    throw Error(ERRCODE_INVALID_PARAMETER_VALUE, "unknown method \"" + method + "\"", {},
                "There are connected, cohesive and best_links.");
  const auto single = pg::texts_argument(fcinfo, 3);
  pg::Session session;
  pg::ShownProgress progress(pg::Task::cluster_records);
  static pg::Statement name(
      "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_class AS c "
      "JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = $1");
  const auto named = name.run(pg::Params().datum(OIDOID, ObjectIdGetDatum(PG_GETARG_OID(0))));
  if (named.size() == 0)
    throw Error(ERRCODE_UNDEFINED_TABLE, "there is no such table or view");
  Pairs pairs;
  read_pairs(pairs, named.text(0, 1));
  const auto order = in_order(pairs);
  const auto clusters = clusters_of(pairs, order, method, engine::log_odds(threshold), single, progress);
  for (std::uint32_t i = 0; i < order.size(); ++i) {
    if (i % 1000 == 0)
      pg::check_for_interrupts();
    const auto member = order[i], first = order[clusters[i]];
    pg::call([&] {
      const auto text_of = [](std::string_view value) {
        return PointerGetDatum(cstring_to_text_with_len(value.data(), static_cast<int>(value.size())));
      };
      Datum values[4] = {text_of(pairs.id(member)), text_of(pairs.source(member)), text_of(pairs.id(first)),
                         text_of(pairs.source(first))};
      bool nulls[4] = {false, pairs.source(member).empty(), false, pairs.source(first).empty()};
      tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
      for (Datum value : values)
        pfree(DatumGetPointer(value));
    });
  }
  PG_RETURN_NULL();
}
