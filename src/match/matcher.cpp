#include "match/matcher.hpp"

#include "pg/shown_progress.hpp"

#include <algorithm>
#include <cmath>
#include <set>

namespace cdp::match {

namespace {

engine::Level level_of(const pg::Rows &rows, std::size_t row) {
  engine::Level level;
  level.label = rows.text(row, 2);
  level.condition = rows.text(row, 3);
  level.is_null = rows.boolean(row, 4);
  const auto number = [&](int column) { return std::strtod(rows.text(row, column).c_str(), nullptr); };
  if (!rows.is_null(row, 5))
    level.m = number(5);
  if (!rows.is_null(row, 6))
    level.u = number(6);
  level.fixed_m = rows.boolean(row, 7);
  level.fixed_u = rows.boolean(row, 8);
  level.tf_column = rows.optional_text(row, 9).value_or("");
  level.tf_weight = number(10);
  level.tf_minimum_u = number(11);
  level.own_u = rows.boolean(row, 12);
  return level;
}

void load_comparisons(Matcher &matcher) {
  static pg::Statement select("SELECT c.name, l.label, l.condition, l.is_null_level, l.m::text, l.u::text, "
                              "l.fix_m, l.fix_u, l.tf_column, "
                              "l.tf_weight::text, l.tf_minimum_u::text, l.tf_own_u, l.comparison FROM "
                              "cdp.matcher_comparisons AS c JOIN "
                              "cdp.matcher_levels AS l USING (matcher, comparison) WHERE c.matcher = $1 "
                              "ORDER BY l.comparison, l.level");
  const auto rows = select.run(pg::Params().text(matcher.name));
  for (std::size_t row = 0; row < rows.size();) {
    engine::Comparison comparison;
    comparison.name = rows.text(row, 1);
    const auto number = rows.integer(row, 13);
    for (; row < rows.size() && rows.integer(row, 13) == number; ++row)
      comparison.levels.push_back(level_of(rows, row));
    matcher.labels.emplace_back(comparison.name, static_cast<int>(comparison.levels.size()));
    // Each level by itself first, so that the error names the one at fault.
    for (const auto &level : comparison.levels)
      explained("comparison \"" + comparison.name + "\", level \"" + level.label + "\"", level.condition,
                [&] {
                  engine::Model trial;
                  engine::Comparison alone;
                  engine::Level other;
                  other.condition = "ELSE";
                  alone.levels = {level, other, other};
                  trial.add(std::move(alone));
                });
    explained("comparison \"" + comparison.name + "\"", "", [&] {
      matcher.model.add(comparison);
      for (const auto &level : matcher.model.comparisons.back().levels)
        if (!level.tf_column.empty())
          engine::term_frequency_u(matcher.model.comparisons.back(), level);
    });
  }
}

// Compiling a statement that reads a table once costs more than it saves.
class WithoutJit {
public:
  WithoutJit() { jit_enabled = false; }
  ~WithoutJit() { jit_enabled = before_; }
  WithoutJit(const WithoutJit &) = delete;
  WithoutJit &operator=(const WithoutJit &) = delete;

private:
  const bool before_ = jit_enabled;
};

} // namespace

void each_batch(const std::string &sql, const std::function<void(const pg::Rows &)> &take) {
  constexpr long kRows = 10000;
  SPIParseOpenOptions options{};
  options.read_only = true;
  Portal portal = [&] {
    const WithoutJit planned;
    return pg::call([&] { return SPI_cursor_parse_open(nullptr, sql.c_str(), &options); });
  }();
  for (bool more = true; more;) {
    pg::check_for_interrupts();
    pg::call([&] { SPI_cursor_fetch(portal, true, kRows); });
    const pg::Rows rows(SPI_tuptable, SPI_processed);
    more = rows.size() > 0;
    if (more)
      take(rows);
  }
  pg::call([&] { SPI_cursor_close(portal); });
}

std::vector<std::size_t> Matcher::rules(const std::string &purpose) const {
  std::vector<std::size_t> places;
  for (std::size_t i = 0; i < purposes.size(); ++i)
    if (purposes[i] == purpose)
      places.push_back(i);
  return places;
}

Matcher load_matcher(const std::string &name, const std::vector<std::string> &purposes) {
  static pg::Statement find("SELECT id_column, source_column, link_type, prior::text, recall::text, "
                            "em_convergence::text, max_iterations, pairs_per_record::text, "
                            "total_pairs_per_record::text FROM cdp.matchers WHERE name = $1");
  static pg::Statement find_uniques("SELECT pg_catalog.jsonb_array_elements_text(settings -> "
                                    "'unique_columns') FROM cdp.matchers WHERE name = $1");
  static pg::Statement find_rules(
      "SELECT purpose, rule FROM cdp.matcher_rules WHERE matcher = $1 AND purpose = "
      "ANY ($2) ORDER BY purpose, number");
  const auto found = find.run(pg::Params().text(name));
  if (found.size() == 0)
    throw Error(ERRCODE_UNDEFINED_OBJECT, "there is no matcher \"" + name + "\"", {},
                "SELECT name FROM cdp.matchers shows those there are; cdp.create_matcher makes one.");
  Matcher matcher;
  matcher.name = name;
  matcher.id_column = found.text(0, 1);
  matcher.source_column = found.optional_text(0, 2).value_or("");
  const auto link = found.text(0, 3);
  matcher.link = link == "dedupe_only" ? engine::Link::dedupe
                 : link == "link_only" ? engine::Link::sources
                                       : engine::Link::both;
  matcher.model.prior = std::strtod(found.text(0, 4).c_str(), nullptr);
  matcher.recall = std::strtod(found.text(0, 5).c_str(), nullptr);
  matcher.em = {std::strtod(found.text(0, 6).c_str(), nullptr), found.integer(0, 7)};
  if (!found.is_null(0, 8))
    matcher.pairs_per_record = std::strtod(found.text(0, 8).c_str(), nullptr);
  if (!found.is_null(0, 9))
    matcher.total_pairs_per_record = std::strtod(found.text(0, 9).c_str(), nullptr);
  load_comparisons(matcher);
  const auto uniques = find_uniques.run(pg::Params().text(name));
  for (std::size_t row = 0; row < uniques.size(); ++row)
    matcher.model.add_unique(uniques.text(row, 1));
  const auto rows = find_rules.run(pg::Params().text(name).texts(purposes));
  for (std::size_t row = 0; row < rows.size(); ++row) {
    const auto text = rows.text(row, 2);
    explained(rows.text(row, 1) + " rule", text, [&] { matcher.model.add_rule(text); });
    matcher.purposes.push_back(rows.text(row, 1));
  }
  return matcher;
}

namespace {

std::string text_of(const std::string &column) {
  return "(" + column + ")::pg_catalog.text";
}

std::string column_of(const std::string &name) {
  return "t." + engine::quoted_identifier(name);
}

struct Relation {
  std::string name, id_type;
  bool has_integer_id;
  std::uint64_t expected; // rows; 0: unknown
};

Relation describe(const Matcher &matcher, Oid relation) {
  static pg::Statement select(
      "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname), pg_catalog.format_type(a.atttypid, "
      "a.atttypmod), coalesce(a.atttypid = ANY ('{int2,int4,int8}'::regtype[]), false), "
      "greatest(c.reltuples, 0)::bigint FROM "
      "pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace LEFT JOIN "
      "pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attname = $2 AND a.attnum > 0 AND NOT "
      "a.attisdropped WHERE c.oid = $1");
  const auto rows =
      select.run(pg::Params().datum(OIDOID, ObjectIdGetDatum(relation)).text(matcher.id_column));
  if (rows.size() == 0)
    throw Error(ERRCODE_UNDEFINED_TABLE, "there is no such table or view");
  return {rows.text(0, 1), rows.optional_text(0, 2).value_or("text"), rows.boolean(0, 3),
          static_cast<std::uint64_t>(rows.bigint(0, 4))};
}

std::string literal(const std::string &text) {
  static pg::Statement quote("SELECT pg_catalog.quote_literal($1)");
  return quote.run(pg::Params().text(text)).text(0, 1);
}

std::string query_for(const Matcher &matcher, const Relation &from, const std::string &only) {
  const auto id = column_of(matcher.id_column);
  const auto source = matcher.source_column.empty() ? std::string() : column_of(matcher.source_column);
  std::string sql = "SELECT " + text_of(id) + ", " + (source.empty() ? "''" : text_of(source));
  for (const auto &feature : matcher.model.features)
    sql += ", " + feature.sql;
  sql += " FROM " + from.name + " AS t" + only + " ORDER BY ";
  if (!source.empty())
    return sql + text_of(source) + " || '-__-' || " + text_of(id) + " COLLATE \"C\"";
  return sql + (from.has_integer_id ? id : text_of(id) + " COLLATE \"C\"");
}

// Compared as what they are, so that an index of the table serves. Of several sources more than these.
std::string those_with(const Matcher &matcher, const Relation &from, const std::vector<RecordKey> &keys) {
  static pg::Statement quote("SELECT pg_catalog.quote_literal($1::text)");
  std::vector<std::string> ids, sources;
  for (const auto &key : keys) {
    ids.push_back(key.id);
    sources.push_back(key.source);
  }
  std::sort(sources.begin(), sources.end());
  sources.erase(std::unique(sources.begin(), sources.end()), sources.end());
  const auto any = [](const std::vector<std::string> &values) {
    return quote.run(pg::Params().texts(values)).text(0, 1);
  };
  auto sql = " WHERE " + column_of(matcher.id_column) + " = ANY (" + any(ids) + "::" + from.id_type + "[])";
  if (!matcher.source_column.empty())
    sql += " AND " + text_of(column_of(matcher.source_column)) + " = ANY (" + any(sources) + "::text[])";
  return sql;
}

void need_id(const Matcher &matcher, const engine::Records &records,
             const std::vector<std::string_view> &row) {
  if (!row[0].data() || !row[1].data())
    throw Error(ERRCODE_NOT_NULL_VIOLATION,
                "a record has no \"" + (row[0].data() ? matcher.source_column : matcher.id_column) + "\"", {},
                "Every record needs an id, and a source where the matcher has a source column.");
  const auto last = records.size();
  if (last > 0 && records.id(last - 1) == row[0] && records.text(records.source(last - 1)) == row[1])
    throw Error(ERRCODE_UNIQUE_VIOLATION, "two records have the id \"" + std::string(row[0]) + "\"", {},
                "Ids must be unique within a source.");
}

engine::Records read_all(const Matcher &matcher, const std::string &sql, std::uint64_t expected,
                         const std::function<bool(const std::string &, const std::string &)> &wanted = {}) {
  engine::Records records(matcher.model);
  std::vector<std::string_view> texts; // id, source, features
  std::vector<const std::string_view *> values(matcher.model.features.size());
  pg::ShownProgress progress(pg::Task::read_records, expected);
  each_batch(sql, [&](const pg::Rows &rows) {
    progress.step(rows.size());
    for (std::size_t row = 0; row < rows.size(); ++row) {
      rows.views(row, texts);
      if (wanted && !wanted(std::string(texts[0]), std::string(texts[1])))
        continue;
      need_id(matcher, records, texts);
      for (std::size_t f = 0; f < values.size(); ++f)
        values[f] = texts[f + 2].data() ? &texts[f + 2] : nullptr;
      records.add(texts[0], texts[1], values);
    }
  });
  return records;
}

} // namespace

engine::Records read_records(const Matcher &matcher, Oid relation) {
  const auto from = describe(matcher, relation);
  return read_all(matcher, query_for(matcher, from, ""), from.expected);
}

engine::Records read_some(const Matcher &matcher, Oid relation, const std::vector<RecordKey> &keys) {
  const auto from = describe(matcher, relation);
  std::set<std::pair<std::string, std::string>> chosen;
  for (const auto &key : keys)
    chosen.emplace(key.id, matcher.source_column.empty() ? "" : key.source);
  return read_all(matcher, query_for(matcher, from, those_with(matcher, from, keys)), keys.size(),
                  [&](const std::string &id, const std::string &source) {
                    return chosen.contains({id, source});
                  });
}

bool has_integer_id(const Matcher &matcher, Oid relation) {
  return matcher.source_column.empty() && describe(matcher, relation).has_integer_id;
}

engine::Records read_records(const Matcher &matcher, Oid relation, const std::vector<RecordKey> &keys) {
  auto records = read_some(matcher, relation, keys);
  for (const auto &key : keys) {
    bool found = false;
    for (std::size_t i = 0; i < records.size() && !found; ++i)
      found = records.id(i) == key.id &&
              (matcher.source_column.empty() || records.text(records.source(i)) == key.source);
    if (!found)
      throw Error(ERRCODE_NO_DATA_FOUND,
                  "there is no record with the " + matcher.id_column + " \"" + key.id + "\"" +
                      (matcher.source_column.empty() ? "" : " in source \"" + key.source + "\""));
  }
  return records;
}

std::vector<double> read_log_frequencies(const Matcher &matcher, Oid relation, const engine::Records &records,
                                         int feature) {
  const auto &sql = matcher.model.features[static_cast<std::size_t>(feature)].sql;
  std::string query = "SELECT pg_catalog.count(v)";
  for (std::size_t i = 0; i < records.size(); ++i)
    if (const auto code = records.code(feature, i))
      query += ", pg_catalog.count(*) FILTER (WHERE v = " + literal(std::string(records.text(code))) + ")";
    else
      query += ", 0::bigint";
  query += " FROM (SELECT " + sql + " AS v FROM " + describe(matcher, relation).name + " AS t) AS f";
  std::vector<double> logs;
  each_batch(query, [&](const pg::Rows &rows) {
    for (std::size_t i = 0; i < records.size(); ++i) {
      const auto count = static_cast<double>(rows.bigint(0, static_cast<int>(i) + 2));
      logs.push_back(count > 0 ? std::log2(count / static_cast<double>(rows.bigint(0, 1))) : 1);
    }
  });
  return logs;
}

std::vector<std::size_t> usable_rules(const Matcher &matcher, const engine::Blocking &blocking,
                                      const engine::Records &records) {
  constexpr double kFew = 1e7; // pairs in all that are made whatever the number of records
  const auto size = static_cast<double>(records.size());
  const auto limit = [&](double a_record) { return a_record > 0 ? a_record * size : HUGE_VAL; };
  return blocking.within(matcher.rules("blocking"), limit(matcher.pairs_per_record),
                         std::max(limit(matcher.total_pairs_per_record), kFew));
}

std::string describe_key(const Matcher &matcher, const engine::Records &records, std::size_t rule,
                         engine::Place example) {
  std::string values;
  for (const auto &key : matcher.model.rules[rule].keys)
    values += (values.empty() ? "" : ", ") + std::string(records.text(records.code(key.right, example)));
  return values;
}

void need_bounded_pairs(const Matcher &matcher, const engine::Blocking &blocking,
                        const engine::Records &records, const std::vector<std::size_t> &rules,
                        std::int64_t most) {
  std::uint64_t all = 0;
  engine::Blocking::Size worst;
  std::size_t worst_rule = 0;
  for (const auto rule : rules) {
    const auto size = blocking.size(rule);
    all += size.pairs;
    if (size.pairs >= worst.pairs) {
      worst = size;
      worst_rule = rule;
    }
  }
  if (all <= static_cast<std::uint64_t>(std::max<std::int64_t>(most, 0)))
    return;
  throw Error(ERRCODE_PROGRAM_LIMIT_EXCEEDED,
              "the rules of matcher \"" + matcher.name + "\" give " + std::to_string(all) +
                  " pairs, and at most " + std::to_string(most) + " are allowed",
              "The rule " + matcher.model.rules[worst_rule].text + " gives " + std::to_string(worst.pairs) +
                  ": " + std::to_string(worst.members) + " records have the key " +
                  describe_key(matcher, records, worst_rule, worst.example) + ".",
              "cdp.blocking_analysis shows every rule. Make the rule narrower, or raise max_pairs.");
}

} // namespace cdp::match
