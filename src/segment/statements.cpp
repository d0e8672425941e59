#include "segment/statement_parts.hpp"

namespace cdp::segment {

namespace {

using pg::Comparison;
using pg::Level;
using namespace parts;

const char kSteps[] = R"(
  FROM unnest($1::int4[], $2::int8[], $3::int8[], $4::timestamptz[], $5::timestamptz[], $6::text[], $7::int4[], $8::int4[])
    AS u (step, profile_id, seq, from_at, until_at, traits, low, high)))";

// $12 has them all, a step after the other.
std::string since(const pg::Rule &rule) {
  std::string sql;
  const auto places = std::to_string(rule.since.size());
  for (std::size_t place = 1; place <= rule.since.size(); ++place)
    sql += (place > 1 ? ", " : "") +
           ("nullif(($12::timestamptz[])[u.step * " + places + " + " + std::to_string(place)) +
           "], '-infinity')";
  return sql.empty() ? "" : ", ARRAY[" + sql + "] AS since";
}

// The steps, with what is known of each person.
std::string steps(const pg::Rule &rule) {
  return "WITH s AS MATERIALIZED (\n  SELECT u.step, u.profile_id, u.seq, u.from_at, u.until_at, "
         "u.traits::jsonb AS "
         "traits, u.low, u.high" +
         since(rule) + kSteps;
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

// What is stored of a segment at one place: $10 has the instants at which people enter and leave by turns,
// all people's one after the other, $13 the value that a computed trait has from each on, and $11 where each
// one's begin.
std::string slice(const char *array, const std::string &places, std::size_t place) {
  const std::string slot = "($11::int4[])[s.step * " + places + " + " + std::to_string(place);
  return "(" + std::string(array) + ")[" + slot + " + 1] + 1 : " + slot + " + 2]]";
}

// Whether the person is in at a.at.
std::string is_inside(const std::string &places, std::size_t place) {
  return "(SELECT count(*) % 2 = 1 FROM unnest(" + slice("$10::timestamptz[]", places, place) +
         ") AS b (at) WHERE b.at <= a.at)";
}

// The value at a.at.
std::string computed(const std::string &places, std::size_t place) {
  return "(SELECT b.value::jsonb FROM unnest(" + slice("$10::timestamptz[]", places, place) + ", " +
         slice("$13::text[]", places, place) +
         ") AS b (at, value) WHERE b.at <= a.at ORDER BY b.at DESC LIMIT 1)";
}

std::string segments(const pg::Rule &rule) {
  std::string inside, values;
  const auto places = std::to_string(rule.segments.size());
  for (std::size_t place = 0; place < rule.segments.size(); ++place)
    if (rule.segments[place].is_value)
      values += (values.empty() ? "" : ", ") + computed(places, place);
    else
      inside += (inside.empty() ? "" : ", ") + is_inside(places, place);
  return (inside.empty() ? "" : ", ARRAY[" + inside + "] AS segments") +
         (values.empty() ? "" : ", ARRAY[" + values + "] AS computed");
}

// c: each step's candidate instants, each with the next one. Between them nothing that is searched for can
// turn.
std::string candidates(const pg::Rule &rule) {
  std::string sql = steps(rule) +
                    ",\nc AS MATERIALIZED (\n  SELECT s.step, s.profile_id, s.seq, s.traits, "
                    "s.until_at" +
                    (rule.since.empty() ? "" : ", s.since") +
                    ", a.at, lead(a.at) OVER (PARTITION BY s.step ORDER BY a.at) "
                    "AS next_at" +
                    segments(rule) + "\n  FROM s CROSS JOIN LATERAL (\n    SELECT s.from_at AS at\n";
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

std::string judge(const pg::Rule &rule) {
  return candidates(rule) +
         "SELECT s.step, t.key, s.at, coalesce(s.next_at, s.until_at)\nFROM c AS s CROSS JOIN LATERAL (\n  "
         "SELECT " +
         key_text(rule) + " AS key FROM " + events_until_now(rule) + group_by(rule) + "\n  HAVING " +
         rule.having + ") AS t\nORDER BY s.step, t.key COLLATE \"C\", s.at";
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
    return steps(rule) + "\nSELECT s.step, s.from_at, s.until_at" + columns + " FROM s";
  if (level == Level::event)
    return steps(rule) + "\nSELECT s.step, s.from_at, s.until_at" + columns + " FROM s CROSS JOIN LATERAL " +
           events(rule, "");
  std::string names;
  for (int i = 4; i < plans.back().first + plans.back().count; ++i)
    names += ", g.x" + std::to_string(i);
  return candidates(rule) + "SELECT s.step, s.at, coalesce(s.next_at, s.until_at)" + names +
         " FROM c AS s CROSS JOIN LATERAL (SELECT " + (columns.empty() ? "" : columns.substr(2)) + " FROM " +
         events_until_now(rule) + group_by(rule) + ") AS g";
}

} // namespace

Statements make_statements(const pg::Rule &rule) {
  Statements made;
  made.judge = judge(rule);
  made.person_inputs = input_query(rule, Level::person, made.searches);
  made.event_inputs = input_query(rule, Level::event, made.searches);
  made.group_inputs = input_query(rule, Level::group, made.searches);
  made.explain = explain_statement(rule);
  return made;
}

} // namespace cdp::segment
