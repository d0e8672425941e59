#include "segment/statements.hpp"

namespace cdp::segment {

namespace {

using pg::Comparison;
using pg::Level;

const char kSteps[] = R"(WITH s AS MATERIALIZED (
  SELECT u.step, u.profile_id, u.seq, u.from_at, u.until_at, u.traits::jsonb AS traits, u.low, u.high
  FROM unnest($1::int4[], $2::int8[], $3::int8[], $4::timestamptz[], $5::timestamptz[], $6::text[], $7::int4[], $8::int4[])
    AS u (step, profile_id, seq, from_at, until_at, traits, low, high)))";

// The person's events that are known at the step, reached through their owners; `+ 0` keeps the planner from
// taking event_id's index, which would read the events of everybody.
std::string events(const pg::Rule &rule, const char *bound) {
  return std::string("(SELECT r.event_id, r.type, r.event, ") +
         (rule.uses_source ? "o.source" : "NULL::text AS source") +
         ", r.occurred_at, r.received_at, r.properties, r.context FROM cdp.identifiers AS i "
         "JOIN cdp.event_records AS r ON r.identifier_id = i.identifier_id" +
         (rule.uses_source ? " JOIN cdp.sources AS o ON o.source_id = r.source_id" : "") +
         " WHERE i.profile_id = s.profile_id AND r.event_id + 0 <= s.seq" + bound + ") AS e";
}

// `true` in front would not hurt, but this keeps the texts readable.
std::string when(const std::string &guard, const std::string &value) {
  return guard == "true" ? value : "CASE WHEN " + guard + " THEN " + value + " END";
}

// A value far beyond the calendar would overflow, and turns nothing.
std::string shifted(const Comparison &one, std::int64_t offset) {
  const std::string at = "(" + one.inputs[0] + ")";
  std::string moved = at;
  if (offset != 0)
    moved += " + '" + std::to_string(offset) + " microseconds'::interval";
  return when(one.guard, "CASE WHEN " + at +
                             " BETWEEN '4000-01-01 00:00:00+00 BC'::timestamptz AND '9999-12-31 "
                             "00:00:00+00'::timestamptz THEN " +
                             moved + " END");
}

std::string turns(const pg::Rule &rule, Level level) {
  std::string values;
  for (const auto &one : rule.comparisons)
    if (one.level == level)
      for (auto offset : one.offsets)
        values += (values.empty() ? "(" : ", (") + shifted(one, offset) + ")";
  return values;
}

// c: each step's candidate instants, each with the next one. Between them nothing that is searched for can
// turn.
std::string candidates(const pg::Rule &rule) {
  std::string sql = std::string(kSteps) +
                    ",\nc AS MATERIALIZED (\n  SELECT s.step, s.profile_id, s.seq, s.traits, "
                    "s.until_at, a.at, lead(a.at) OVER (PARTITION BY s.step ORDER BY a.at) "
                    "AS next_at\n  FROM s CROSS JOIN LATERAL (\n    SELECT s.from_at AS at\n";
  sql += "    UNION SELECT e.occurred_at FROM " +
         events(rule, " AND r.occurred_at > s.from_at AND r.occurred_at < s.until_at") + "\n";
  if (auto values = turns(rule, Level::event); !values.empty())
    sql += "    UNION SELECT v.at FROM " + events(rule, "") + " CROSS JOIN LATERAL (VALUES " + values +
           ") AS v (at) WHERE v.at > s.from_at AND v.at < s.until_at\n";
  if (auto values = turns(rule, Level::person); !values.empty())
    sql += "    UNION SELECT v.at FROM (VALUES " + values +
           ") AS v (at) WHERE v.at > s.from_at AND v.at < s.until_at\n";
  sql += "    UNION SELECT x.at FROM unnest(($9::timestamptz[])[s.low:s.high]) AS x (at) WHERE s.low <= "
         "s.high\n";
  return sql + "  ) AS a)\n";
}

std::string key_text(const pg::Rule &rule) {
  return (rule.key.empty() ? std::string("NULL") : "(" + rule.key + ")") + "::text";
}

std::string group_by(const pg::Rule &rule) {
  return rule.key.empty() ? "" : " GROUP BY " + rule.key;
}

std::string judge(const pg::Rule &rule) {
  return candidates(rule) +
         "SELECT s.step, t.key, s.at, coalesce(s.next_at, s.until_at)\nFROM c AS s CROSS JOIN LATERAL (\n  "
         "SELECT " +
         key_text(rule) + " AS key FROM " + events(rule, " AND r.occurred_at <= s.at") + group_by(rule) +
         "\n  HAVING " + rule.having + ") AS t\nORDER BY s.step, t.key COLLATE \"C\", s.at";
}

const char *level_name(Level level) {
  return level == Level::person ? "person" : level == Level::event ? "event" : "group";
}

// The columns of a level's query, after the ones every such query has; fills in the plans.
std::string inputs(const pg::Rule &rule, Level level, int first, std::vector<SearchPlan> &plans) {
  std::string columns;
  for (const auto &one : rule.comparisons) {
    if (one.level != level || (level != Level::group && !one.offsets.empty()))
      continue;
    plans.push_back({level_name(level), first, static_cast<int>(one.inputs.size()), one.tests, one.zones,
                     one.wide, one.offsets});
    for (std::size_t i = 0; i < one.inputs.size(); ++i)
      columns += ", " + when(one.guard, "(" + one.inputs[i] + ")") + " AS x" + std::to_string(first++);
  }
  return columns;
}

std::string input_query(const pg::Rule &rule, Level level, std::vector<SearchPlan> &plans) {
  const auto before = plans.size();
  const auto columns = inputs(rule, level, 4, plans);
  if (plans.size() == before)
    return {};
  if (level == Level::person)
    return std::string(kSteps) + "\nSELECT s.step, s.from_at, s.until_at" + columns + " FROM s";
  if (level == Level::event)
    return std::string(kSteps) + "\nSELECT s.step, s.from_at, s.until_at" + columns +
           " FROM s CROSS JOIN LATERAL " + events(rule, "");
  std::string names;
  for (int i = 4; i < plans.back().first + plans.back().count; ++i)
    names += ", g.x" + std::to_string(i);
  return candidates(rule) + "SELECT s.step, s.at, coalesce(s.next_at, s.until_at)" + names +
         " FROM c AS s CROSS JOIN LATERAL (SELECT " + (columns.empty() ? "" : columns.substr(2)) + " FROM " +
         events(rule, " AND r.occurred_at <= s.at") + group_by(rule) + ") AS g";
}

std::string quoted(const std::string &text) {
  std::string out = "E'";
  for (char c : text) {
    if (c == '\'' || c == '\\')
      out += c;
    out += c;
  }
  return out + "'";
}

// One row a condition and key: its text, truth, values and the events behind it.
std::string explain(const pg::Rule &rule) {
  std::string columns, rows;
  int count = 0;
  for (const auto &condition : rule.conditions) {
    std::string values, evidence;
    for (const auto &one : condition.evidence) {
      const std::string name = (values.empty() ? "" : ", ") + quoted(one.text) + "::text";
      const std::string filter = " FILTER (WHERE " + one.filter + ")";
      values += name + ", " + one.value;
      evidence += name + ", jsonb_build_object('count', count(*)" + filter +
                  ", 'events', to_jsonb((array_agg(e.event_id ORDER BY e.event_id)" + filter + ")[1:100]))";
    }
    const std::string number = std::to_string(++count);
    columns += ", " + condition.truth + " AS h" + number + ", jsonb_build_object(" + values + ") AS v" +
               number + ", jsonb_build_object(" + evidence + ") AS e" + number;
    rows += std::string(rows.empty() ? "" : ",\n") + "(" + quoted(condition.text) + "::text, g.h" + number +
            ", g.v" + number + ", g.e" + number + ")";
  }
  return "SELECT v.condition, coalesce(v.holds, false), v.\"values\", v.evidence, g.key FROM (SELECT "
         "$1::int8 AS "
         "profile_id, $2::text::jsonb AS traits, $3::timestamptz AS at, 9223372036854775807 AS seq) AS s "
         "CROSS JOIN "
         "LATERAL (SELECT " +
         key_text(rule) + " AS key" + columns + " FROM " + events(rule, " AND r.occurred_at <= s.at") +
         group_by(rule) + ") AS g CROSS JOIN LATERAL (VALUES " + rows +
         ") AS v (condition, holds, \"values\", evidence)";
}

} // namespace

Statements make_statements(const pg::Rule &rule) {
  Statements made;
  made.judge = judge(rule);
  made.person_inputs = input_query(rule, Level::person, made.searches);
  made.event_inputs = input_query(rule, Level::event, made.searches);
  made.group_inputs = input_query(rule, Level::group, made.searches);
  made.explain = explain(rule);
  return made;
}

} // namespace cdp::segment
