// What other rules would change, and the whole fold as a table: read-only, in memory.
#include "identity/history.hpp"

#include <algorithm>
#include <array>

#include "pg/append.hpp"
#include "pg/function.hpp"
#include "pg/row.hpp"
#include "pg/spi.hpp"

namespace {

using namespace cdp;

using Row = pg::Row<6>;

void put_moves(FunctionCallInfo fcinfo, const identity::History &history, const identity::Outcome &outcome) {
  std::map<std::int64_t, std::set<std::int64_t>> goes_to;
  std::map<std::pair<std::int64_t, std::int64_t>, std::vector<std::int64_t>> moves;
  for (std::size_t i = 0; i < history.identifiers.size(); ++i) {
    const auto &known = history.identifiers[i];
    goes_to[known.profile_id].insert(outcome.people[i]);
    if (known.profile_id != outcome.people[i])
      moves[{known.profile_id, outcome.people[i]}].push_back(known.id);
  }
  for (const auto &[way, ids] : moves)
    Row(fcinfo)
        .text(0, goes_to.at(way.first).size() > 1 ? "split" : "merge")
        .bigint(1, way.first)
        .bigint(2, way.second)
        .bigints(3, ids)
        .put();
}

void put_outcomes(FunctionCallInfo fcinfo, const identity::History &history,
                  const identity::Outcome &outcome) {
  for (const auto &judged : outcome.changed) {
    const auto &one = history.evidence[judged.evidence];
    if (std::ranges::equal(judged.refused, one.refused))
      continue; // by another rule, but refused as before
    const auto first = history.index(one.identifiers.front());
    Row row(fcinfo);
    row.text(0, judged.refused.empty() ? "link" : "refuse")
        .bigint(1, history.identifiers[first].profile_id)
        .bigint(2, outcome.people[first])
        .bigints(3, judged.refused.empty() ? one.refused : identity::Ids(judged.refused))
        .text(4, judged.refused.empty() ? one.rule : judged.rule)
        .bigint(5, one.decision_seq);
    row.put();
  }
}

} // namespace

// cdp_internal.identity_diff(): (change, profile_id, becomes, identifiers, rule, decision_seq) a row.
CDP_FUNCTION(cdp_identity_diff) {
  pg::call([&] { InitMaterializedSRF(fcinfo, 0); });
  pg::Session session;
  const auto types = identity::pending_types();
  static pg::Statement pending("SELECT type FROM cdp.pending_identifier_types");
  std::vector<std::string> changed;
  {
    auto rows = pending.run();
    for (std::size_t i = 0; i < rows.size(); ++i)
      changed.push_back(rows.text(i, 1));
  }
  if (changed.empty())
    PG_RETURN_NULL();
  identity::History history(types);
  history.read_everything(changed);
  const auto outcome = history.fold();
  put_moves(fcinfo, history, outcome);
  put_outcomes(fcinfo, history, outcome);
  PG_RETURN_NULL();
}

// cdp_internal.fold_people(regclass): appends (identifier_id, profile_id) of every identifier by the rules
// applied, and returns how many.
CDP_FUNCTION(cdp_fold_people) {
  pg::TableAppend answer(PG_GETARG_OID(0), 2);
  const pg::OwnNames names;
  pg::Session session;
  const auto types = *identity::find_types({});
  identity::History history(types);
  history.read_everything({});
  const auto people = history.fold().people;
  for (std::size_t i = 0; i < people.size(); ++i)
    answer.add(std::array{history.identifiers[i].id, people[i]});
  answer.finish();
  PG_RETURN_INT64(static_cast<std::int64_t>(people.size()));
}
