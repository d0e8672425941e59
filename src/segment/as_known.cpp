// Who a segment would have had at an instant, by all that is known today. Writes nothing.
#include "segment/judge.hpp"
#include "segment/since.hpp"
#include "segment/store.hpp"

#include <map>
#include <unordered_map>

#include "pg/function.hpp"
#include "profile/fold.hpp"

namespace cdp::segment {

namespace {

// Everybody about whom something had happened or been said by then, with their traits of then.
const char kPeopleAt[] =
    "SELECT p.profile_id, coalesce(t.traits, '{}')::text FROM cdp.profiles AS p LEFT JOIN ("
    "SELECT n.profile_id, jsonb_object_agg(n.key, n.value) FILTER (WHERE n.value <> 'null') AS traits FROM ("
    "SELECT DISTINCT ON (i.profile_id, v.key) i.profile_id, v.key, v.value FROM cdp.assertions AS a "
    "JOIN cdp.identifiers AS i USING (identifier_id) CROSS JOIN LATERAL jsonb_each(a.traits) AS v "
    "WHERE a.type = 'identify' AND a.asserted_at <= $1 "
    "ORDER BY i.profile_id, v.key, a.asserted_at DESC, a.decision_seq DESC) AS n GROUP BY n.profile_id) AS t "
    "USING (profile_id) WHERE EXISTS (SELECT FROM cdp.identifiers AS i WHERE i.profile_id = p.profile_id AND "
    "("
    "EXISTS (SELECT FROM cdp_internal.event_traces AS r WHERE r.identifier_id = i.identifier_id AND "
    "r.occurred_at <= "
    "$1) "
    "OR EXISTS (SELECT FROM cdp.assertions AS a WHERE a.identifier_id = i.identifier_id AND a.asserted_at <= "
    "$1)))";

using Sink = std::function<void(std::int64_t profile_id, const Key &key)>;

class AsKnownNow {
public:
  explicit AsKnownNow(Timestamp at) : at_(at) {}

  void members(std::int32_t segment_id, const Sink &sink) {
    for (Judge *judge : judges())
      if (judge->segment_id() == segment_id)
        return judged(*judge, sink);
    kept(segment_id, sink);
  }

private:
  using People = std::unordered_map<std::int64_t, Key>;

  // Nobody asks in a circle.
  const People &people(std::int32_t segment_id) {
    if (const auto known = known_.find(segment_id); known != known_.end())
      return known->second;
    People found;
    members(segment_id, [&](std::int64_t profile_id, const Key &key) { found.emplace(profile_id, key); });
    return known_[segment_id] = std::move(found);
  }

  void judged(Judge &judge, const Sink &sink) {
    static pg::Statement read(kPeopleAt);
    std::vector<const People *> asked;
    for (auto id : judge.segments())
      asked.push_back(&people(id));
    read.each(pg::Params().timestamp(at_), [&](const pg::Rows &rows) {
      pg::check_for_interrupts();
      std::vector<Step> steps;
      for (std::size_t i = 0; i < rows.size(); ++i)
        steps.push_back({rows.bigint(i, 1), kAllEvents, at_, rows.text(i, 2)});
      std::vector<std::int64_t> ids;
      for (const auto &step : steps)
        ids.push_back(step.profile_id);
      if (!fold_.rules().is_default()) { // other values than the newest win, or none
        auto golden = profile::golden_at(fold_, ids, at_);
        for (auto &step : steps)
          step.traits = golden.contains(step.profile_id) ? golden[step.profile_id] : "{}";
      }
      RunsOf runs(ids, std::vector(ids.size(), kAllEvents), {judge.since().begin(), judge.since().end()},
                  at_);
      std::vector<Inside> insides(steps.size());
      std::vector<Stint> stints;
      for (std::size_t i = 0; i < steps.size(); ++i) {
        for (const People *members : asked)
          if (const auto found = members->find(steps[i].profile_id); found == members->end())
            insides[i].emplace_back();
          else
            insides[i].push_back({{at_, core::kInfinity}, {found->second, std::nullopt}});
        stints.push_back({&steps[i], nullptr, at_ + 1, &insides[i], runs.since(i, judge.since())});
      }
      const auto ranges = judge.judge_by_sql(stints);
      for (std::size_t i = 0; i < steps.size(); ++i)
        for (const auto &range : ranges[i])
          sink(steps[i].profile_id, range.key);
    });
  }

  // What is on lists is all there is to know; of what is refreshed only what was found is known.
  void kept(std::int32_t segment_id, const Sink &sink) {
    static pg::Statement read(
        "SELECT DISTINCT i.profile_id, NULL::text FROM cdp.list_members AS l JOIN cdp.segments AS s USING "
        "(segment_id) JOIN cdp.identifiers AS i USING (identifier_id) JOIN cdp.profiles AS p USING "
        "(profile_id) "
        "WHERE l.segment_id = $1 AND s.state <> 'disabled' AND l.added_at <= $2 AND coalesce(l.expires_at, "
        "'infinity') > $2 UNION ALL SELECT m.profile_id, m.key FROM cdp.memberships AS m JOIN cdp.segments "
        "AS s "
        "USING (segment_id) WHERE m.segment_id = $1 AND (s.kind <> 'list' OR s.state = 'disabled') AND "
        "m.entered_at <= $2 AND m.left_at > $2");
    const auto rows = read.run(pg::Params().integer(segment_id).timestamp(at_));
    for (std::size_t i = 0; i < rows.size(); ++i)
      sink(rows.bigint(i, 1), rows.optional_text(i, 2));
  }

  const Timestamp at_;
  const profile::Fold fold_ = profile::fold_in_force();
  std::map<std::int32_t, People> known_;
};

} // namespace

} // namespace cdp::segment

CDP_FUNCTION(cdp_judge_segment_at) {
  using namespace cdp;
  pg::call([&] { InitMaterializedSRF(fcinfo, 0); });
  auto *result = reinterpret_cast<ReturnSetInfo *>(fcinfo->resultinfo);
  pg::Session session;
  segment::AsKnownNow(PG_GETARG_TIMESTAMPTZ(1))
      .members(PG_GETARG_INT32(0), [&](std::int64_t profile_id, const segment::Key &key) {
        Datum values[2] = {Int64GetDatum(profile_id), 0};
        bool nulls[2] = {false, !key};
        pg::call([&] {
          if (key)
            values[1] = CStringGetTextDatum(key->c_str());
          tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
        });
      });
  return 0;
}
