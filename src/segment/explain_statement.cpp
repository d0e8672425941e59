#include "segment/statement_parts.hpp"

namespace cdp::segment {

namespace parts {

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

std::string events_until_now(const pg::Rule &rule) {
  return events(rule, rule.is_ordered ? " AND r.occurred_at <= s.at ORDER BY r.occurred_at, r.event_id"
                                      : " AND r.occurred_at <= s.at");
}

std::string key_text(const pg::Rule &rule) {
  return (!rule.value.empty() ? rule.value : rule.key.empty() ? "NULL" : "(" + rule.key + ")") + "::text";
}

std::string group_by(const pg::Rule &rule) {
  return rule.key.empty() ? "" : " GROUP BY " + rule.key;
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

std::string array_of(const std::vector<std::string> &texts) {
  std::string out = "ARRAY[";
  for (const auto &text : texts)
    out += (out.back() == '[' ? "" : ", ") + quoted(text);
  return out + "]::text[]";
}

std::string segments_column(const std::vector<std::int32_t> &segments, std::size_t computed,
                            const std::string &profile_id, const std::string &at) {
  std::string inside, values;
  for (std::size_t place = 0; place < segments.size(); ++place) {
    const auto of_segment =
        "FROM cdp.memberships AS m WHERE m.segment_id = " + std::to_string(segments[place]) +
        " AND m.entered_at <= " + at + " AND m.left_at > " + at;
    if (place + computed < segments.size())
      inside += (inside.empty() ? "" : ", ") + profile_id + " IN (SELECT m.profile_id " + of_segment + ")";
    else
      values += (values.empty() ? "(SELECT m.key::jsonb " : ", (SELECT m.key::jsonb ") + of_segment +
                " AND m.profile_id = " + profile_id + ")";
  }
  return (inside.empty() ? "" : ", ARRAY[" + inside + "] AS segments") +
         (values.empty() ? "" : ", ARRAY[" + values + "] AS computed");
}

std::string since_column(const std::vector<std::string> &traits, const std::string &profile_id) {
  std::string sql;
  for (const auto &trait : traits)
    sql += (sql.empty() ? "" : ", ") + ("cdp.trait_since(" + quoted(trait)) + ", " + profile_id + ")";
  return sql.empty() ? "" : ", ARRAY[" + sql + "] AS since";
}

} // namespace parts

namespace {

using namespace parts;

const char *words_of(const pg::Compared &one) {
  if (one.op == "=")
    return "";
  if (one.op == "<>")
    return "another value than ";
  if (one.op == "in")
    return "one of ";
  if (one.op == "<")
    return one.is_time ? "earlier than " : "less than ";
  if (one.op == "<=")
    return one.is_time ? "no later than " : "at most ";
  if (one.op == ">")
    return one.is_time ? "later than " : "more than ";
  return one.is_time ? "no earlier than " : "at least ";
}

// What is, and what would have to be.
std::string needed(const pg::Condition &condition, const std::vector<std::string> &names) {
  if (!condition.parts.empty())
    return "CASE WHEN (" + condition.truth + ") IS NOT TRUE THEN 'needs " +
           (condition.joined == "OR" ? "one" : "all") + " of its parts' END";
  if (condition.is_membership)
    return "CASE WHEN (" + condition.truth + ") IS NOT TRUE THEN " +
           quoted("is " + std::string(condition.is_negated ? "in" : "not in") + " segment " +
                  names[condition.segments[0]] + ", needs " + (condition.is_negated ? "not " : "") +
                  "to be") +
           " END";
  if (!condition.compared)
    return "NULL::text";
  const auto &one = *condition.compared;
  const auto bound =
      one.op == "in" ? "array_to_string(" + one.bound + ", ' or ')" : "(" + one.bound + ")::text";
  return "CASE WHEN (" + condition.truth + ") IS NOT TRUE THEN concat('is ', coalesce((" + one.value +
         ")::text, 'not known'), ', needs ', '" + words_of(one) + "', coalesce(" + bound +
         ", 'what is not known')) END";
}

// A row a condition, and a part of one: its text, truth, values, the events behind it, what it needs.
class Rows {
public:
  Rows(const std::vector<std::string> &segments, const std::vector<std::string> &computed,
       const std::vector<std::string> &since)
      : segments_(segments), computed_(computed), since_(since) {}

  std::string columns, rows;

  void add(const pg::Condition &condition, const std::string *part_of) {
    std::string values, evidence;
    const auto comma = [](const std::string &text) { return text.empty() ? "" : ", "; };
    for (const auto &one : condition.evidence) {
      const std::string name = quoted(one.text) + "::text";
      const std::string filter = " FILTER (WHERE " + one.filter + ")";
      values += comma(values) + name + ", " + one.value;
      evidence += comma(evidence) + name + ", jsonb_build_object('count', count(*)" + filter +
                  ", 'events', to_jsonb((array_agg(e.event_id ORDER BY e.event_id)" + filter + ")[1:100]))";
    }
    for (const auto &trait : condition.traits)
      values += comma(values) + quoted("trait " + trait) + "::text, s.traits -> " + quoted(trait);
    for (auto place : condition.segments)
      values += comma(values) + quoted("segment " + segments_[place]) + "::text, s.segments[" +
                std::to_string(place + 1) + "]";
    for (auto place : condition.computed)
      values += comma(values) + quoted("computed " + computed_[place]) + "::text, s.computed[" +
                std::to_string(place + 1) + "]";
    for (auto place : condition.since)
      values += comma(values) + quoted("trait " + since_[place] + " since") + "::text, s.since[" +
                std::to_string(place + 1) + "]";
    const std::string number = std::to_string(++count_);
    columns += ", " + condition.truth + " AS h" + number + ", jsonb_build_object(" + values + ") AS v" +
               number + ", jsonb_build_object(" + evidence + ") AS e" + number + ", " +
               needed(condition, segments_) + " AS n" + number;
    rows += std::string(comma(rows)) + "\n(" + quoted(condition.text) + "::text, g.h" + number + ", g.v" +
            number + ", g.e" + number + ", g.n" + number + ", " + (part_of ? quoted(*part_of) : "NULL") +
            "::text, " + array_of(condition.traits) + ")";
  }

private:
  const std::vector<std::string> &segments_, &computed_, &since_; // names
  int count_ = 0;
};

} // namespace

std::string explain_statement(const pg::Rule &rule) {
  std::vector<std::int32_t> asked;
  std::vector<std::string> computed, since;
  for (const auto &one : rule.segments) {
    asked.push_back(one.segment_id);
    if (one.is_value)
      computed.push_back(one.name);
  }
  for (const auto &one : rule.since)
    since.push_back(one.name);
  Rows made(rule.mentions.segments, computed, since);
  for (const auto &condition : rule.conditions) {
    made.add(condition, nullptr);
    for (const auto &part : condition.parts)
      made.add(part, &condition.text);
  }
  // HAVING: one row, whether or not there is an aggregate.
  return "SELECT v.condition, coalesce(v.holds, false), v.\"values\", v.evidence, g.key, v.needed, "
         "v.part_of, "
         "v.traits FROM (SELECT $1::int8 AS profile_id, $2::text::jsonb AS traits, $3::timestamptz AS at, "
         "9223372036854775807 AS seq" +
         segments_column(asked, computed.size(), "$1", "$3") + since_column(since, "$1") +
         ") AS s CROSS JOIN LATERAL (SELECT " + key_text(rule) + " AS key" + made.columns + " FROM " +
         events_until_now(rule) + group_by(rule) + " HAVING true) AS g CROSS JOIN LATERAL (VALUES " +
         made.rows + ") AS v (condition, holds, \"values\", evidence, needed, part_of, traits)";
}

} // namespace cdp::segment
