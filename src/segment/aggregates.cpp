// Small aggregates over events, and buckets.
#include <algorithm>
#include <map>
#include <tuple>

#include "pg/aggregate.hpp"
#include "pg/jsonb.hpp"

using namespace cdp;

namespace {

// The value of the first or last row so far.
struct Edge {
  explicit Edge(MemoryContext where) : context(where) {}

  MemoryContext context;
  bool known = false, by_value = false;
  int16 length = 0;
  TimestampTz at = 0;
  int64 event_id = 0;
  Datum value = 0;
};

std::string_view bytes_of(const Edge &edge, const Datum &value) {
  if (edge.by_value)
    return {reinterpret_cast<const char *>(&value), sizeof value};
  auto *start = static_cast<char *>(static_cast<void *>(DatumGetPointer(value)));
  if (edge.length == -1) {
    auto *whole = pg::call([&] { return PG_DETOAST_DATUM_PACKED(value); });
    return {VARDATA_ANY(whole), static_cast<std::size_t>(VARSIZE_ANY_EXHDR(whole))};
  }
  return {start, edge.length == -2 ? strlen(start) : static_cast<std::size_t>(edge.length)};
}

Datum copy_into(const Edge &edge, Datum value) {
  return pg::call([&] {
    MemoryContext before = MemoryContextSwitchTo(edge.context);
    const Datum copy = edge.length == -1 ? PointerGetDatum(PG_DETOAST_DATUM_COPY(value))
                                         : datumCopy(value, edge.by_value, edge.length);
    MemoryContextSwitchTo(before);
    return copy;
  });
}

// Arguments: state, value, instant, event_id. earliest: keep the first row, else the last.
Datum add_edge(FunctionCallInfo fcinfo, bool earliest) {
  auto &edge = pg::aggregate_state<Edge>(fcinfo);
  if (PG_ARGISNULL(1) || PG_ARGISNULL(2) || PG_ARGISNULL(3))
    PG_RETURN_POINTER(&edge);
  const Datum value = PG_GETARG_DATUM(1);
  const auto when = std::make_tuple(PG_GETARG_TIMESTAMPTZ(2), PG_GETARG_INT64(3));
  const auto kept = std::make_tuple(edge.at, edge.event_id);
  if (!edge.known)
    pg::call([&] { get_typlenbyval(get_fn_expr_argtype(fcinfo->flinfo, 1), &edge.length, &edge.by_value); });
  // An event_id that comes twice must not make the answer depend on the order of the rows.
  const bool better = !edge.known || (when == kept ? bytes_of(edge, value) < bytes_of(edge, edge.value)
                                                   : (when < kept) == earliest);
  if (better) {
    const Datum copy = copy_into(edge, value);
    if (edge.known && !edge.by_value)
      pfree(DatumGetPointer(edge.value));
    std::tie(edge.at, edge.event_id) = when;
    edge.value = copy;
    edge.known = true;
  }
  PG_RETURN_POINTER(&edge);
}

struct Instants {
  explicit Instants(MemoryContext context) : resource(context) {}
  pg::ContextResource resource;
  std::pmr::vector<TimestampTz> all{&resource};
};

struct Counts {
  explicit Counts(MemoryContext context) : resource(context) {}
  pg::ContextResource resource;
  std::pmr::map<std::pmr::string, int64, std::less<>> of{&resource}; // ordered by bytes: no locale has a say
};

} // namespace

// cdp_internal.first_add(internal, value anyelement, occurred_at timestamptz, event_id bigint)
CDP_FUNCTION(cdp_first_add) {
  return add_edge(fcinfo, true);
}

// cdp_internal.last_add(internal, value anyelement, occurred_at timestamptz, event_id bigint)
CDP_FUNCTION(cdp_last_add) {
  return add_edge(fcinfo, false);
}

// cdp_internal.edge_value(internal, anyelement, timestamptz, bigint): the last three only say the type
CDP_FUNCTION(cdp_edge_value) {
  auto *edge = pg::finished_state<Edge>(fcinfo);
  if (!edge || !edge->known)
    PG_RETURN_NULL();
  PG_RETURN_DATUM(edge->value);
}

// cdp_internal.gap_add(internal, occurred_at timestamptz)
CDP_FUNCTION(cdp_gap_add) {
  auto &instants = pg::aggregate_state<Instants>(fcinfo);
  if (!PG_ARGISNULL(1) && !TIMESTAMP_NOT_FINITE(PG_GETARG_TIMESTAMPTZ(1)))
    instants.all.push_back(PG_GETARG_TIMESTAMPTZ(1));
  PG_RETURN_POINTER(&instants);
}

// cdp_internal.gap_longest(internal)
CDP_FUNCTION(cdp_gap_longest) {
  auto *instants = pg::finished_state<Instants>(fcinfo);
  if (!instants || instants->all.size() < 2)
    PG_RETURN_NULL();
  auto &all = instants->all;
  if (!std::is_sorted(all.begin(), all.end()))
    std::sort(all.begin(), all.end());
  const auto span = [&](std::size_t i) {
    return static_cast<uint64>(all[i]) - static_cast<uint64>(all[i - 1]);
  };
  std::size_t longest = 1;
  for (std::size_t i = 2; i < all.size(); ++i)
    if (span(i) > span(longest))
      longest = i;
  return pg::call([&] {
    return DirectFunctionCall2(timestamp_mi, TimestampTzGetDatum(all[longest]),
                               TimestampTzGetDatum(all[longest - 1]));
  });
}

// cdp_internal.count_add(internal, value text)
CDP_FUNCTION(cdp_count_add) {
  auto &counts = pg::aggregate_state<Counts>(fcinfo);
  if (!PG_ARGISNULL(1)) {
    text *value = pg::call([&] { return PG_GETARG_TEXT_PP(1); });
    const std::string_view name(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
    auto found = counts.of.find(name);
    if (found == counts.of.end())
      found = counts.of.emplace(name, 0).first;
    ++found->second;
  }
  PG_RETURN_POINTER(&counts);
}

// cdp_internal.count_most(internal)
CDP_FUNCTION(cdp_count_most) {
  auto *counts = pg::finished_state<Counts>(fcinfo);
  if (!counts || counts->of.empty())
    PG_RETURN_NULL();
  return pg::text_result(
      std::max_element(counts->of.begin(), counts->of.end(), [](const auto &a, const auto &b) {
        return a.second < b.second; // of equals, the first
      })->first);
}

// cdp.bucket(profile_id bigint, salt text, buckets integer)
CDP_FUNCTION(cdp_bucket) {
  const int32 buckets = PG_GETARG_INT32(2);
  if (buckets < 1)
    throw Error(ERRCODE_INVALID_PARAMETER_VALUE, "there must be at least one bucket");
  const auto hash = pg::hash_text(pg::text_argument(fcinfo, 1) + ":" + std::to_string(PG_GETARG_INT64(0)));
  uint64 number = 0;
  for (int i = 0; i < 8; ++i)
    number = number << 8 | hash.data[i];
  PG_RETURN_INT32(static_cast<int32>(number % static_cast<uint64>(buckets)));
}
