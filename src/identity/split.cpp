#include "identity/split.hpp"

#include <algorithm>

#include "pg/function.hpp"
#include "pg/spi.hpp"

namespace cdp::identity {

namespace {

std::vector<std::int64_t> accepted(const Evidence &one, const History &person, std::int64_t profile_id) {
  std::vector<std::int64_t> ids;
  for (auto id : one.identifiers)
    if (std::find(one.refused.begin(), one.refused.end(), id) == one.refused.end() && person.knows(id) &&
        person.at(id).profile_id == profile_id)
      ids.push_back(id);
  return ids;
}

// Parts of the person that hold together without those who leave, by the index of their smallest identifier.
core::UnionFind parts_without(const std::set<std::int64_t> &leaving, const History &person,
                              std::int64_t profile_id) {
  core::UnionFind parts;
  for (const auto &known : person.identifiers)
    parts.add(known.id);
  for (const auto &one : person.evidence) {
    std::size_t first = person.identifiers.size();
    for (auto id : accepted(one, person, profile_id)) {
      if (leaving.contains(id))
        continue;
      if (first < person.identifiers.size())
        parts.unite(first, person.index(id));
      first = person.index(id);
    }
  }
  for (const auto &decision : person.allowed())
    if (person.knows(decision.one) && person.knows(decision.other) && !leaving.contains(decision.one) &&
        !leaving.contains(decision.other))
      parts.unite(person.index(decision.one), person.index(decision.other));
  return parts;
}

} // namespace

SplitPlan plan_split(const History &person, std::int64_t profile_id, const std::set<std::int64_t> &leaving,
                     const Types &types) {
  auto parts = parts_without(leaving, person, profile_id);
  std::map<std::size_t, std::size_t> sizes;
  for (std::size_t i = 0; i < person.identifiers.size(); ++i)
    if (!leaving.contains(person.identifiers[i].id))
      ++sizes[parts.find(i)];
  if (sizes.empty())
    throw Error(ERRCODE_INVALID_PARAMETER_VALUE, "a split that leaves nothing behind is none",
                "All identifiers of the person were named.", "Name those of one of the people only.");
  auto rest = sizes.begin()->first;
  for (const auto &[part, size] : sizes)
    if (size > sizes[rest] ||
        (size == sizes[rest] && person.identifiers[part].id < person.identifiers[rest].id))
      rest = part;

  std::vector<std::int32_t> priority(types.size());
  for (const auto &[name, type] : types)
    priority[type.index] = type.priority;
  SplitPlan plan;
  const auto prefer = [&](std::int64_t &chosen, std::int64_t id) {
    if (chosen == 0 || priority[person.at(id).type] > priority[person.at(chosen).type] ||
        (priority[person.at(id).type] == priority[person.at(chosen).type] && id < chosen))
      chosen = id;
  };
  const auto stays = [&](std::int64_t id) {
    return !leaving.contains(id) && parts.find(person.index(id)) == rest;
  };
  for (const auto &known : person.identifiers)
    if (leaving.contains(known.id))
      prefer(plan.leaves, known.id);
    else if (stays(known.id))
      prefer(plan.stays, known.id);
  std::set<std::pair<std::int64_t, std::int64_t>> links;
  for (const auto &one : person.evidence) {
    const auto ids = accepted(one, person, profile_id);
    for (auto goes : ids)
      for (auto other : ids)
        if (leaving.contains(goes) && stays(other))
          links.emplace(goes, other);
  }
  plan.links.assign(links.begin(), links.end());
  for (const auto &decision : person.allowed())
    if (person.knows(decision.one) && person.knows(decision.other) &&
        ((leaving.contains(decision.one) && stays(decision.other)) ||
         (leaving.contains(decision.other) && stays(decision.one))))
      plan.allowed.push_back(decision.id);
  return plan;
}

} // namespace cdp::identity

// cdp_internal.plan_split(profile_id bigint, leaving bigint[]): (kind, id, other id) a row.
CDP_FUNCTION(cdp_plan_split) {
  using namespace cdp;
  pg::call([&] { InitMaterializedSRF(fcinfo, 0); });
  auto *result = reinterpret_cast<ReturnSetInfo *>(fcinfo->resultinfo);
  const auto put = [&](const char *kind, std::int64_t one, std::int64_t other) {
    pg::call([&] {
      Datum values[3] = {CStringGetTextDatum(kind), Int64GetDatum(one), Int64GetDatum(other)};
      bool nulls[3] = {false, false, other == 0};
      tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
    });
  };
  pg::Session session;
  const auto types = *identity::find_types({});
  identity::History person(types);
  person.read_people({PG_GETARG_INT64(0)});
  static pg::Statement list("SELECT unnest($1)");
  pg::Params params;
  params.datum(INT8ARRAYOID, PG_GETARG_DATUM(1));
  auto rows = list.run(params);
  std::set<std::int64_t> leaving;
  for (std::size_t i = 0; i < rows.size(); ++i)
    leaving.insert(rows.bigint(i, 1));
  const auto plan = identity::plan_split(person, PG_GETARG_INT64(0), leaving, types);
  for (const auto &[goes, stays] : plan.links)
    put("remove_link", goes, stays);
  for (auto id : plan.allowed)
    put("revoke", id, 0);
  put("forbid_link", plan.leaves, plan.stays);
  PG_RETURN_NULL();
}
