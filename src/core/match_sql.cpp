// One side of a condition in PostgreSQL's words. Only what is known here is passed on, so that a condition
// from elsewhere can call nothing else.
#include "match_expression.hpp"
#include "similarity.hpp"
#include "text.hpp"

#include <algorithm>
#include <array>

namespace cdp::core::match {

namespace {

std::string doubled(std::string_view text, char quote) {
  std::string out(1, quote);
  for (char c : text) {
    if (c == quote)
      out += c;
    out += c;
  }
  return out + quote;
}

struct Function {
  std::string_view name;  // as conditions say it
  std::string_view calls; // as PostgreSQL says it
  std::size_t least, most;
  bool of_text; // its first argument
};

constexpr std::array<Function, 28> kFunctions{{
    {"lower", "pg_catalog.lower", 1, 1, true},
    {"upper", "pg_catalog.upper", 1, 1, true},
    {"trim", "pg_catalog.btrim", 1, 2, true},
    {"ltrim", "pg_catalog.ltrim", 1, 2, true},
    {"rtrim", "pg_catalog.rtrim", 1, 2, true},
    {"length", "pg_catalog.length", 1, 1, true},
    {"left", "pg_catalog.left", 2, 2, true},
    {"right", "pg_catalog.right", 2, 2, true},
    {"substr", "pg_catalog.substr", 2, 3, true},
    {"substring", "pg_catalog.substr", 2, 3, true},
    {"replace", "pg_catalog.replace", 3, 3, true},
    {"reverse", "pg_catalog.reverse", 1, 1, true},
    {"split_part", "pg_catalog.split_part", 3, 3, true},
    {"concat", "pg_catalog.concat", 1, 20, false},
    {"coalesce", "COALESCE", 1, 20, false},
    {"nullif", "NULLIF", 2, 2, false},
    {"greatest", "GREATEST", 1, 20, false},
    {"least", "LEAST", 1, 20, false},
    {"abs", "pg_catalog.abs", 1, 1, false},
    {"floor", "pg_catalog.floor", 1, 1, false},
    {"round", "pg_catalog.round", 1, 2, false},
    {"md5", "pg_catalog.md5", 1, 1, true},
    {"string_split", "pg_catalog.string_to_array", 2, 2, true},
    {"string_to_array", "pg_catalog.string_to_array", 2, 2, true},
    {"double_metaphone", "cdp.double_metaphone", 1, 1, true},
    {"cologne_phonetics", "cdp.cologne_phonetics", 1, 1, true},
    {"regexp_replace", "pg_catalog.regexp_replace", 3, 4, true},
    {"regexp_matches", "pg_catalog.regexp_like", 2, 2, true},
}};

constexpr std::array<std::pair<std::string_view, std::string_view>, 15> kTypes{{
    {"text", "text"},
    {"varchar", "text"},
    {"string", "text"},
    {"int", "integer"},
    {"integer", "integer"},
    {"bigint", "bigint"},
    {"smallint", "smallint"},
    {"float", "double precision"},
    {"double", "double precision"},
    {"real", "real"},
    {"numeric", "numeric"},
    {"decimal", "numeric"},
    {"date", "date"},
    {"timestamp", "timestamp"},
    {"boolean", "boolean"},
}};

std::string list_of(const std::vector<Node> &parts, std::size_t first = 0) {
  std::string list;
  for (std::size_t i = first; i < parts.size(); ++i)
    list += (i > first ? ", " : "") + to_sql(parts[i]);
  return list;
}

void need_parts(const Node &node, std::size_t least, std::size_t most) {
  if (node.parts.size() < least || node.parts.size() > most)
    throw Unclear("function " + node.name + " takes another number of arguments", node.place);
}

std::string text_of(const Node &node) {
  return "(" + to_sql(node) + ")::pg_catalog.text";
}

/// DuckDB gives '' when nothing is found, and NULL of NULL.
std::string extract_of(const Node &node) {
  need_parts(node, 2, 3);
  const Node &pattern = node.parts[1];
  if (pattern.op != Op::text)
    throw Unclear("regexp_extract needs its pattern as a text", pattern.place);
  const bool whole = node.parts.size() < 3 || node.parts[2].is(Op::number, "0");
  if (!whole && node.parts[2].op != Op::number)
    throw Unclear("regexp_extract needs its group as a number", node.parts[2].place);
  const auto subject = text_of(node.parts[0]);
  const auto found = "(pg_catalog.regexp_match(" + subject + ", " +
                     quoted_literal(whole ? "(" + pattern.name + ")" : pattern.name) + "))[" +
                     (whole ? "1" : node.parts[2].name) + "]";
  return "CASE WHEN " + subject + " IS NOT NULL THEN COALESCE(" + found + ", '') END";
}

std::string date_of(const Node &node) {
  need_parts(node, 2, 2);
  const Node &format = node.parts[1];
  if (format.op != Op::text || !is_date_format(format.name))
    throw Unclear("the format of a date is not known: " + format.name, format.place);
  return "cdp.parse_date(" + text_of(node.parts[0]) + ", " + quoted_literal(format.name) + ")";
}

std::string call_of(const Node &node) {
  if (node.name == "regexp_extract")
    return extract_of(node);
  if (node.name == "try_strptime" || node.name == "strptime" || node.name == "parse_date")
    return date_of(node);
  if (node.name == "epoch" || node.name == "year" || node.name == "month" || node.name == "day") {
    need_parts(node, 1, 1);
    return "pg_catalog.date_part('" + node.name + "', (" + to_sql(node.parts[0]) + ")::pg_catalog.timestamp)";
  }
  if (node.name.starts_with("normal_")) { // NULL where cdp.normalize_… refuses
    need_parts(node, 1, 1);
    const auto kind = node.name.substr(7);
    if (kind != "name" && kind != "address" && kind != "email" && kind != "phone" && kind != "text")
      throw Unclear("function " + node.name + " is not known here", node.place);
    return "cdp_internal.normalize(" + quoted_literal(kind) + ", " + text_of(node.parts[0]) +
           ", NULL, false)";
  }
  if (node.name == "name_forms") {
    need_parts(node, 1, 1);
    return "cdp.name_forms(" + text_of(node.parts[0]) + ")";
  }
  const auto *known = std::find_if(kFunctions.begin(), kFunctions.end(),
                                   [&](const Function &function) { return function.name == node.name; });
  if (known == kFunctions.end())
    throw Unclear("function " + node.name + " is not known here", node.place);
  need_parts(node, known->least, known->most);
  const auto first = known->of_text ? text_of(node.parts[0]) : to_sql(node.parts[0]);
  const auto rest = list_of(node.parts, 1);
  return std::string(known->calls) + "(" + first + (rest.empty() ? "" : ", " + rest) + ")";
}

std::string cast_of(const Node &node) {
  for (const auto &[name, type] : kTypes)
    if (name == node.name)
      return "(" + to_sql(node.parts[0]) + ")::pg_catalog." +
             (type == "double precision" ? "float8"
              : type == "integer"        ? "int4"
              : type == "bigint"         ? "int8"
              : type == "smallint"       ? "int2"
              : type == "real"           ? "float4"
              : type == "boolean"        ? "bool"
                                         : std::string(type));
  throw Unclear("type " + node.name + " is not known here", node.place);
}

std::string choice_of(const Node &node) {
  std::string sql = "CASE";
  for (std::size_t i = 0; i + 1 < node.parts.size(); i += 2)
    sql += " WHEN " + to_sql(node.parts[i]) + " THEN " + to_sql(node.parts[i + 1]);
  return sql + " ELSE " + to_sql(node.parts.back()) + " END";
}

} // namespace

std::string quoted_identifier(std::string_view name) {
  return doubled(name, '"');
}

std::string quoted_literal(std::string_view text) {
  const bool escaped = text.find('\\') != std::string_view::npos;
  if (!escaped)
    return doubled(text, '\'');
  std::string slashes;
  for (char c : text)
    slashes += c == '\\' ? std::string("\\\\") : std::string(1, c);
  return "E" + doubled(slashes, '\'');
}

std::string to_sql(const Node &node) {
  const auto pair = [&](std::string_view sign) {
    return "((" + to_sql(node.parts[0]) + ") " + std::string(sign) + " (" + to_sql(node.parts[1]) + "))";
  };
  switch (node.op) {
  case Op::column:
    return "t." + quoted_identifier(node.name);
  case Op::text:
    return quoted_literal(node.name);
  case Op::number:
    return "(" + node.name + ")";
  case Op::null:
    return "NULL";
  case Op::boolean:
    return node.name;
  case Op::call:
    return call_of(node);
  case Op::cast:
    return cast_of(node);
  case Op::compare:
  case Op::arithmetic:
    return pair(node.name);
  case Op::both:
    return pair("AND");
  case Op::either:
    return pair("OR");
  case Op::negation:
    return "(NOT (" + to_sql(node.parts[0]) + "))";
  case Op::is_null:
    return "((" + to_sql(node.parts[0]) + ") IS NULL)";
  case Op::choice:
    return choice_of(node);
  }
  return {};
}

} // namespace cdp::core::match
