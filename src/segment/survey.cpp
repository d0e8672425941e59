#include "segment/survey.hpp"

#include <algorithm>

#include "segment/progress.hpp"
#include "segment/statement_parts.hpp"

namespace cdp::segment {

namespace {

constexpr std::size_t kBatch = 250; // people at once, when somebody fails

using parts::array_of;
using parts::quoted;

// The query, for everybody or for the people in $2.
class Query {
public:
  Query(const Plan &plan, bool conditions) : plan_(plan) {
    if (!conditions)
      truths_.push_back(plan.outline.having);
    else
      for (const auto &one : plan.outline.conditions)
        truths_.push_back(one.truth);
  }

  std::size_t truths() const { return truths_.size(); }

  std::string text(bool some) const {
    const bool events = plan_.looks_at_events(), nobody = plan_.outline.key.empty();
    std::string sql = "WITH s AS NOT MATERIALIZED (SELECT p.profile_id, p.traits, $1::timestamptz AS at" +
                      parts::segments_column(plan_.segments, plan_.computed, "p.profile_id", "$1") +
                      parts::since_column(plan_.since, "p.profile_id") + " FROM cdp.profiles AS p" +
                      std::string(some ? " WHERE p.profile_id = ANY ($2)" : "") + ")";
    if (events)
      sql += ",\ne AS NOT MATERIALIZED (" + all_events() + "),\ng AS MATERIALIZED (" + groups() + ")";
    if (nobody)
      sql += ",\nz AS (" + without_events(events) + ")";
    sql += ",\na AS (" + std::string(events ? "SELECT * FROM g" : "") +
           (events && nobody ? " UNION ALL " : "") + (nobody ? "SELECT * FROM z" : "") + ")\n";
    return sql + "SELECT " + totals() + " FROM a";
  }

private:
  static std::string name(char what, std::size_t place) { return what + std::to_string(place + 1); }

  std::string all_events() const {
    const auto names = plan_.events();
    const bool source = plan_.outline.uses_source;
    return std::string("SELECT i.profile_id AS person, r.event_id, r.type, r.event, ") +
           (source ? "o.source" : "NULL::text AS source") +
           ", r.occurred_at, r.received_at, r.properties, r.context FROM cdp.identifiers AS i "
           "JOIN cdp.event_records AS r ON r.identifier_id = i.identifier_id" +
           (source ? " JOIN cdp.sources AS o ON o.source_id = r.source_id" : "") +
           " WHERE i.profile_id IS NOT NULL AND r.occurred_at <= $1" +
           (names.empty() ? "" : " AND r.event = ANY (" + array_of(names) + ")");
  }

  std::string columns() const {
    std::string sql = "count(*) AS events";
    for (std::size_t i = 0; i < truths_.size(); ++i)
      sql += ", coalesce(" + truths_[i] + ", false) AS " + name('h', i);
    const auto &properties = plan_.outline.mentions.properties;
    for (std::size_t i = 0; i < properties.size(); ++i) {
      const auto &of = properties[i].events;
      sql += ", bool_or(e.properties ? " + quoted(properties[i].name) +
             (of.empty() ? "" : " AND e.event = ANY (" + array_of(of) + ")") + ") AS " + name('p', i);
    }
    return sql;
  }

  std::string groups() const {
    const auto &key = plan_.outline.key;
    return "SELECT s.profile_id, " + columns() +
           " FROM s JOIN e ON e.person = s.profile_id GROUP BY s.profile_id, s.traits, s.at" +
           (plan_.segments.size() == plan_.computed ? "" : ", s.segments") +
           (plan_.computed ? ", s.computed" : "") + (plan_.since.empty() ? "" : ", s.since") +
           (key.empty() ? "" : ", " + key);
  }

  // Without a key, people without events are people.
  std::string without_events(bool others) const {
    return "SELECT s.profile_id, t.* FROM s CROSS JOIN LATERAL (SELECT " + columns() +
           " FROM (SELECT NULL::bigint AS event_id, NULL::text AS type, NULL::text AS event, NULL::text AS "
           "source, NULL::timestamptz AS occurred_at, NULL::timestamptz AS received_at, NULL::jsonb AS "
           "properties, NULL::jsonb AS context WHERE false) AS e) AS t" +
           (others ? " WHERE NOT EXISTS (SELECT FROM g WHERE g.profile_id = s.profile_id)" : "");
  }

  std::string totals() const {
    const bool key = !plan_.outline.key.empty();
    std::string all, sql;
    for (std::size_t i = 0; i < truths_.size(); ++i) {
      all += (all.empty() ? "a." : " AND a.") + name('h', i);
      sql += std::string(", count(") + (key ? "DISTINCT a.profile_id" : "*") + ") FILTER (WHERE a." +
             name('h', i) + "), count(*) FILTER (WHERE " + all + ")";
    }
    for (std::size_t i = 0; i < plan_.outline.mentions.properties.size(); ++i)
      sql += ", coalesce(bool_or(a." + name('p', i) + "), false)";
    return "array_agg(a.profile_id) FILTER (WHERE " + all + "), coalesce(sum(a.events), 0)::bigint" + sql;
  }

  const Plan &plan_;
  std::vector<std::string> truths_;
};

class Surveyor {
public:
  Surveyor(const Plan &plan, const pg::RuleSettings &settings, pg::Timestamp at, bool conditions)
      : query_(plan, conditions), settings_(settings), at_(at) {
    found.conditions.resize(query_.truths());
    found.seen.resize(plan.outline.mentions.properties.size());
  }

  Survey found;

  void look() {
    pg::Failure failure;
    if (pg::subtransaction([&] { read(nullptr); }, failure))
      return;
    if (is_general(failure.sqlstate) || is_no_query(failure))
      throw Error(failure.sqlstate, failure.message, failure.detail);
    const auto ids = everybody();
    for (std::size_t start = 0; start < ids.size(); start += kBatch)
      look(std::span(ids).subspan(start, std::min(kBatch, ids.size() - start)));
  }

private:
  // What people say may be bad syntax, such as of a tsquery; the query itself fails for nobody, too.
  bool is_no_query(const pg::Failure &found_before) {
    const std::span<const std::int64_t> nobody;
    pg::Failure failure;
    return found_before.sqlstate == ERRCODE_SYNTAX_ERROR &&
           !pg::subtransaction([&] { read(&nobody); }, failure) && failure.sqlstate == ERRCODE_SYNTAX_ERROR;
  }

  // Down to the person who fails.
  void look(std::span<const std::int64_t> ids) {
    pg::check_for_interrupts();
    pg::Failure failure;
    if (pg::subtransaction([&] { read(&ids); }, failure))
      return;
    if (ids.size() == 1) {
      if (++found.failed == 1)
        found.failure = failure.message;
      return;
    }
    look(ids.first(ids.size() / 2));
    look(ids.subspan(ids.size() / 2));
  }

  std::vector<std::int64_t> everybody() const {
    pg::Session session;
    pg::AsOwner owner(settings_, pg::Names::compiled_for_all);
    const auto rows =
        pg::run_once("SELECT array_agg(profile_id ORDER BY profile_id) FROM cdp.profiles", {}, true);
    return rows.is_null(0, 1) ? std::vector<std::int64_t>() : rows.bigints(0, 1);
  }

  void read(const std::span<const std::int64_t> *ids) {
    pg::Session session;
    pg::AsOwner owner(settings_, ids ? pg::Names::compiled : pg::Names::compiled_for_all);
    pg::Params params;
    params.timestamp(at_);
    if (ids)
      params.bigints(*ids);
    const auto rows = pg::run_once(query_.text(ids != nullptr), params, true);
    int column = 1;
    if (!rows.is_null(0, column)) {
      const auto some = rows.bigints(0, column);
      found.members.insert(found.members.end(), some.begin(), some.end());
    }
    found.events += rows.bigint(0, ++column);
    for (auto &one : found.conditions) {
      one.people += rows.bigint(0, ++column);
      one.kept += rows.bigint(0, ++column);
    }
    for (std::size_t i = 0; i < found.seen.size(); ++i)
      found.seen[i] = rows.boolean(0, ++column) || found.seen[i];
  }

  const Query query_;
  const pg::RuleSettings &settings_;
  const pg::Timestamp at_;
};

} // namespace

std::vector<bool> seen_properties(const pg::Mentions &mentions) {
  std::vector<bool> seen;
  for (const auto &[events, name] : mentions.properties)
    seen.push_back(pg::run_once("SELECT EXISTS (SELECT FROM cdp.event_records AS r WHERE r.properties ? $2 "
                                "AND (r.event = ANY ($1) OR cardinality($1) = 0))",
                                pg::Params().texts(events).text(name), true)
                       .boolean(0, 1));
  return seen;
}

Survey survey(const Plan &plan, const pg::RuleSettings &settings, pg::Timestamp at, bool conditions) {
  if (pg::inside_rule())
    throw Error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "a rule cannot ask about segments");
  Surveyor surveyor(plan, settings, at, conditions);
  surveyor.look();
  auto found = std::move(surveyor.found);
  std::sort(found.members.begin(), found.members.end());
  return found;
}

} // namespace cdp::segment
