// People who look as if they were two.
#include <cmath>

#include "identity/web.hpp"
#include "pg/function.hpp"
#include "pg/spi.hpp"

namespace {

using namespace cdp;

// As many messages and identifiers as a person reads in one row.
constexpr std::size_t kNamed = 10;

struct Suspect {
  double score;
  const core::Cut *cut;
};

// Devices, by type; and whether a type can be in the way of a merge, so that having one says who somebody is.
struct Kinds {
  std::vector<bool> device, telling;
  explicit Kinds(const identity::Types &types) : device(types.size()), telling(types.size()) {
    for (const auto &[name, type] : types) {
      device[type.index] = type.rule.sharing != core::Sharing::personal;
      telling[type.index] = !device[type.index] && type.rule.limited();
    }
  }
};

// The worst first, each story once: a cut all of whose messages stand in a worse one already says nothing
// new.
std::vector<Suspect> rank(const std::vector<core::Cut> &cuts, const identity::EvidenceWeb &woven,
                          const identity::History &history, const Kinds &kinds) {
  std::vector<Suspect> suspects;
  std::vector<std::vector<core::Web::Index>> of_joint(history.identifiers.size());
  for (const auto &cut : cuts) {
    suspects.push_back({core::suspicion(cut, kinds.device[history.identifiers[cut.joint].type]), &cut});
    of_joint[cut.joint].insert(of_joint[cut.joint].end(), cut.groups.begin(), cut.groups.end());
  }
  std::sort(suspects.begin(), suspects.end(), [&](const Suspect &a, const Suspect &b) {
    const auto key = [&](const Suspect &one) { // of two ends, the one with less to it
      const auto joint = one.cut->joint;
      return std::tuple(-one.score, of_joint[joint].size(), history.identifiers[joint].id, one.cut->groups);
    };
    return key(a) < key(b);
  });
  std::vector<bool> told(woven.web.groups.size());
  std::erase_if(suspects, [&](const Suspect &one) {
    const auto &groups = one.cut->groups;
    const bool old = std::all_of(groups.begin(), groups.end(), [&](auto group) { return told[group]; });
    for (auto group : of_joint[one.cut->joint])
      told[group] = told[group] || !old;
    return old;
  });
  return suspects;
}

// Identifiers of the smaller side: without them, it falls off the larger one.
std::vector<std::int64_t> leaving(const core::Cut &cut, const core::Web &web,
                                  const identity::History &history) {
  if (2 * cut.size > cut.whole)
    return {history.identifiers[cut.joint].id};
  std::set<std::int64_t> ids;
  for (auto group : cut.groups)
    for (auto member : web.groups[group])
      if (member != cut.joint && ids.size() <= kNamed)
        ids.insert(history.identifiers[member].id);
  return {ids.begin(), ids.end()};
}

Datum array_datum(const std::vector<std::int64_t> &values) {
  return pg::call([&] {
    const auto number = values.size();
    auto *datums = static_cast<Datum *>(palloc(sizeof(Datum) * (number + 1)));
    for (std::size_t i = 0; i < number; ++i)
      datums[i] = Int64GetDatum(values[i]);
    return PointerGetDatum(
        construct_array(datums, static_cast<int>(number), INT8OID, 8, true, TYPALIGN_DOUBLE));
  });
}

void put(ReturnSetInfo *result, const Suspect &suspect, const identity::EvidenceWeb &woven,
         const identity::History &history) {
  const auto &cut = *suspect.cut;
  std::vector<std::int64_t> messages;
  for (std::size_t i = 0; i < std::min(cut.groups.size(), kNamed); ++i)
    messages.push_back(woven.bonds[cut.groups[i]].decision_seq);
  const auto messages_datum = array_datum(messages),
             leaving_datum = array_datum(leaving(cut, woven.web, history));
  const auto &joint = history.identifiers[cut.joint];
  pg::call([&] {
    Datum values[10] = {Int64GetDatum(joint.profile_id),
                        Int64GetDatum(joint.id),
                        Int64GetDatum(static_cast<std::int64_t>(cut.size)),
                        Int64GetDatum(static_cast<std::int64_t>(cut.whole - cut.size)),
                        Int64GetDatum(static_cast<std::int64_t>(cut.weight)),
                        Int64GetDatum(static_cast<std::int64_t>(cut.whole_weight - cut.weight)),
                        Int64GetDatum(static_cast<std::int64_t>(cut.groups.size())),
                        messages_datum,
                        leaving_datum,
                        Float8GetDatum(suspect.score)};
    bool nulls[10] = {};
    tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
  });
}

} // namespace

// cdp_internal.find_bridges(people bigint[], most integer): (profile_id, joint, part, rest, part_telling,
// rest_telling, messages, decision_seqs, leaving, score) a row.
CDP_FUNCTION(cdp_find_bridges) {
  pg::call([&] { InitMaterializedSRF(fcinfo, 0); });
  pg::Session session;
  static pg::Statement list("SELECT unnest($1)");
  pg::Params params;
  params.datum(INT8ARRAYOID, PG_GETARG_DATUM(0));
  std::vector<std::int64_t> people;
  {
    auto rows = list.run(params);
    for (std::size_t i = 0; i < rows.size(); ++i)
      people.push_back(rows.bigint(i, 1));
  }
  const auto types = *identity::find_types({});
  const Kinds kinds(types);
  identity::History history(types);
  history.read_people(people);
  const auto woven = identity::weave(history, [](const identity::Evidence &) { return true; });
  std::vector<std::uint32_t> weights;
  for (const auto &known : history.identifiers)
    weights.push_back(kinds.telling[known.type] ? 1 : 0);
  pg::check_for_interrupts();
  const auto cuts = core::find_cuts(woven.web, weights);
  auto suspects = rank(cuts, woven, history, kinds);
  const auto most = static_cast<std::size_t>(std::max(PG_GETARG_INT32(1), 0));
  suspects.resize(std::min(suspects.size(), most));
  for (const auto &suspect : suspects)
    put(reinterpret_cast<ReturnSetInfo *>(fcinfo->resultinfo), suspect, woven, history);
  PG_RETURN_NULL();
}
