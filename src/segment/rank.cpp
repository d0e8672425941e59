// Where a person stands among everybody, by a numeric trait: a computed one, if there is one of the name. All
// are ranked once a query: at the first call.
#include <algorithm>
#include <unordered_map>

#include "pg/function.hpp"
#include "pg/spi.hpp"

using namespace cdp;

namespace {

// One trait's order: value, then profile_id, so that ties are broken the same way every time.
struct Ranks {
  std::string trait;
  std::unordered_map<std::int64_t, std::int64_t> place; // from the lowest, which is 1

  void read() {
    static pg::Statement select("SELECT profile_id FROM (SELECT p.profile_id, p.traits -> $1 AS value FROM "
                                "cdp.profiles AS p WHERE NOT EXISTS "
                                "(SELECT FROM cdp.computed_traits AS c WHERE c.name = $1) UNION ALL SELECT "
                                "v.profile_id, v.value FROM "
                                "cdp.computed_trait_values AS v WHERE v.trait = $1) AS t WHERE "
                                "pg_catalog.jsonb_typeof(value) = 'number' "
                                "ORDER BY (value #>> '{}')::pg_catalog.numeric, profile_id");
    pg::Session session;
    select.each(pg::Params().text(trait), [&](const pg::Rows &rows) {
      for (std::size_t i = 0; i < rows.size(); ++i)
        place.emplace(rows.bigint(i, 1), static_cast<std::int64_t>(place.size()) + 1);
    });
  }
};

// Kept as long as the call's place in a query, and freed with it.
const Ranks &ranks_of(FunctionCallInfo fcinfo, const std::string &trait) {
  auto *kept = static_cast<Ranks *>(fcinfo->flinfo->fn_extra);
  if (kept && kept->trait == trait)
    return *kept;
  auto made = std::make_unique<Ranks>();
  made->trait = trait;
  made->read();
  if (kept) {
    *kept = std::move(*made);
    return *kept;
  }
  pg::call([&] {
    auto *callback = static_cast<MemoryContextCallback *>(
        MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(MemoryContextCallback)));
    callback->func = [](void *ranks) { delete static_cast<Ranks *>(ranks); };
    callback->arg = made.get();
    MemoryContextRegisterResetCallback(fcinfo->flinfo->fn_mcxt, callback);
  });
  fcinfo->flinfo->fn_extra = made.get();
  return *made.release();
}

} // namespace

// cdp.percentile(trait text, profile_id bigint)
CDP_FUNCTION(cdp_percentile) {
  const auto &ranks = ranks_of(fcinfo, pg::text_argument(fcinfo, 0));
  const auto found = ranks.place.find(PG_GETARG_INT64(1));
  if (found == ranks.place.end())
    PG_RETURN_NULL();
  PG_RETURN_FLOAT8(static_cast<double>(found->second) / static_cast<double>(ranks.place.size()));
}

// cdp.rank(trait text, profile_id bigint)
CDP_FUNCTION(cdp_rank) {
  const auto &ranks = ranks_of(fcinfo, pg::text_argument(fcinfo, 0));
  const auto found = ranks.place.find(PG_GETARG_INT64(1));
  if (found == ranks.place.end())
    PG_RETURN_NULL();
  PG_RETURN_INT64(static_cast<std::int64_t>(ranks.place.size()) - found->second + 1);
}

// The forms that rules use, where the person goes without saying; the compiler adds who it is.
CDP_FUNCTION(cdp_rank_of_nobody) {
  throw Error(ERRCODE_FEATURE_NOT_SUPPORTED, "outside of rules a rank needs a person", {},
              "Add profile_id: cdp.percentile('total_spend', profile_id).");
}
