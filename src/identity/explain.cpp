// Why two identifiers are one person, and since when.
#include "identity/web.hpp"
#include "pg/function.hpp"
#include "pg/spi.hpp"

namespace {

using namespace cdp;

// The person whose identifier this is, with everything seen about them; nothing when there is no such
// identifier.
std::unique_ptr<identity::History> read_person(std::int64_t identifier_id, const identity::Types &types) {
  static pg::Statement find("SELECT profile_id FROM cdp.identifiers WHERE identifier_id = $1");
  auto rows = find.run(pg::Params().bigint(identifier_id));
  if (rows.size() == 0)
    return nullptr;
  auto person = std::make_unique<identity::History>(types);
  person->read_people({rows.bigint(0, 1)});
  return person;
}

// Allowed links that were decided by then.
std::set<std::int64_t> allowed_by(const identity::History &person, core::Timestamp at) {
  static pg::Statement select("SELECT decision_id FROM cdp.identity_decisions "
                              "WHERE decision_id = ANY ($1) AND decided_at <= $2");
  std::vector<std::int64_t> asked;
  for (const auto &decision : person.allowed())
    asked.push_back(decision.id);
  auto rows = select.run(pg::Params().bigints(asked).timestamp(at));
  std::set<std::int64_t> found;
  for (std::size_t i = 0; i < rows.size(); ++i)
    found.insert(rows.bigint(i, 1));
  return found;
}

} // namespace

// cdp_internal.chain(identifier_id, other_identifier_id): (step, identifier_id, other_identifier_id,
// decision_seq, decision_id) a row; none when they are not one person.
CDP_FUNCTION(cdp_chain) {
  pg::call([&] { InitMaterializedSRF(fcinfo, 0); });
  auto *result = reinterpret_cast<ReturnSetInfo *>(fcinfo->resultinfo);
  pg::Session session;
  const auto from = PG_GETARG_INT64(0), to = PG_GETARG_INT64(1);
  const auto types = *identity::find_types({});
  const auto person = read_person(from, types);
  if (!person || !person->knows(from) || !person->knows(to))
    PG_RETURN_NULL();
  const auto woven = identity::weave(*person, [](const identity::Evidence &) { return true; });
  const auto chain = core::shortest_chain(woven.web, static_cast<core::Web::Index>(person->index(from)),
                                          static_cast<core::Web::Index>(person->index(to)));
  if (!chain)
    PG_RETURN_NULL();
  for (std::size_t i = 0; i < chain->size(); ++i) {
    const auto &step = (*chain)[i];
    const auto &bond = woven.bonds[step.group];
    const auto one = person->identifiers[step.from].id, other = person->identifiers[step.to].id;
    pg::call([&] {
      Datum values[5] = {Int32GetDatum(static_cast<std::int32_t>(i + 1)), Int64GetDatum(one),
                         Int64GetDatum(other), Int64GetDatum(bond.decision_seq),
                         Int64GetDatum(bond.decision_id)};
      bool nulls[5] = {false, false, false, false, bond.decision_id == 0};
      tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
    });
  }
  PG_RETURN_NULL();
}

// cdp_internal.person_at(identifier_id, at): the smallest identifier that links in force, seen by then, lead
// to.
CDP_FUNCTION(cdp_person_at) {
  pg::Session session;
  const auto id = PG_GETARG_INT64(0);
  const core::Timestamp at = PG_GETARG_TIMESTAMPTZ(1);
  const auto types = *identity::find_types({});
  const auto person = read_person(id, types);
  if (!person || !person->knows(id) || person->at(id).first_seen_at > at)
    PG_RETURN_NULL();
  const auto allowed = allowed_by(*person, at);
  const auto woven = identity::weave(*person, [&](const identity::Evidence &one) { return one.at <= at; });
  core::UnionFind people;
  for (const auto &known : person->identifiers)
    people.add(known.id);
  for (std::size_t i = 0; i < woven.bonds.size(); ++i)
    if (woven.bonds[i].decision_id == 0 || allowed.contains(woven.bonds[i].decision_id))
      for (auto member : woven.web.groups[i])
        people.unite(woven.web.groups[i].front(), member);
  PG_RETURN_INT64(people.key(people.find(person->index(id))));
}
