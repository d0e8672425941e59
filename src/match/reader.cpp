// Records out of their tables and views, with the caller's rights.
#include "core/match_reading.hpp"
#include "match/matcher.hpp"
#include "pg/helper.hpp"
#include "pg/shown_progress.hpp"
#include "pg/text_rows.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>

namespace cdp::match {

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
  if (!rows.optional_text(0, 2))
    throw Error(ERRCODE_UNDEFINED_COLUMN, rows.text(0, 1) + " has no column \"" + matcher.id_column + "\"",
                {},
                "It is what this matcher tells records by: cdp.people_matcher(…, id_column => 'id') names "
                "another.");
  return {rows.text(0, 1), rows.text(0, 2), rows.boolean(0, 3),
          static_cast<std::uint64_t>(rows.bigint(0, 4))};
}

engine::RecordOrder order_of(const Matcher &matcher, const Relation &from) {
  const bool sourced = !matcher.source_column.empty();
  return {from.has_integer_id && !sourced, sourced};
}

std::string literal(const std::string &text) {
  static pg::Statement quote("SELECT pg_catalog.quote_literal($1)");
  return quote.run(pg::Params().text(text)).text(0, 1);
}

// Columns that are texts, with their collations: what features make of these depends on the text alone.
// Characters are told apart as UTF-8 has them.
std::map<std::string, std::string> text_columns(Oid relation) {
  static pg::Statement select(
      "SELECT a.attname::text, pg_catalog.format('%I.%I', n.nspname, c.collname) FROM "
      "pg_catalog.pg_attribute "
      "AS a JOIN pg_catalog.pg_collation AS c ON c.oid = a.attcollation AND c.collisdeterministic JOIN "
      "pg_catalog.pg_namespace AS n ON n.oid = c.collnamespace WHERE a.attrelid = $1 AND a.attnum > 0 AND "
      "NOT "
      "a.attisdropped AND a.atttypid = ANY ('{text,varchar}'::regtype[]) AND "
      "pg_catalog.getdatabaseencoding() = 'UTF8'");
  const auto rows = select.run(pg::Params().datum(OIDOID, ObjectIdGetDatum(relation)));
  std::map<std::string, std::string> columns;
  for (std::size_t i = 0; i < rows.size(); ++i)
    columns.emplace(rows.text(i, 1), rows.text(i, 2));
  return columns;
}

// What is asked of the table, and what features make of it.
struct Plan {
  std::vector<std::string> columns; // in SQL, beside id and source
  std::vector<engine::Reading::From> features;
  std::map<std::size_t, std::string> collations; // of columns that features are made of
  std::vector<std::string> names;                // of these

  std::size_t column(const std::string &sql, const std::string &name) {
    const auto found = std::find(columns.begin(), columns.end(), sql);
    const auto place = static_cast<std::size_t>(found - columns.begin());
    if (found == columns.end()) {
      columns.push_back(sql);
      names.push_back(name);
    }
    return place;
  }
};

// Of a few records everything is asked of PostgreSQL.
Plan plan_for(const engine::Model &model, const std::map<std::string, std::string> &texts) {
  Plan plan;
  for (const auto &feature : model.features) {
    const auto found = feature.columns.size() == 1 ? texts.find(feature.columns[0]) : texts.end();
    if (found == texts.end() || feature.cut == engine::Feature::Cut::whole) {
      plan.features.push_back({plan.column(feature.sql, ""), false});
    } else {
      const auto &name = feature.columns[0];
      const auto column = plan.column(text_of(column_of(name)), name);
      plan.names[column] = name;
      plan.collations[column] = found->second;
      plan.features.push_back({column, true});
    }
  }
  return plan;
}

std::string query_for(const Matcher &matcher, const Relation &from, const Plan &plan,
                      const std::string &only) {
  std::string sql =
      "SELECT " + text_of(column_of(matcher.id_column)) + ", " +
      (matcher.source_column.empty() ? "''::pg_catalog.text" : text_of(column_of(matcher.source_column)));
  for (const auto &column : plan.columns)
    sql += ", " + column;
  return sql + " FROM " + from.name + " AS t" + only;
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

void need_keys(const Matcher &matcher, const std::vector<std::string_view> &cells, std::size_t width) {
  for (std::size_t at = 0; at < cells.size(); at += width)
    if (!cells[at].data() || !cells[at + 1].data())
      throw Error(ERRCODE_NOT_NULL_VIOLATION,
                  "a record has no \"" + (cells[at].data() ? matcher.source_column : matcher.id_column) +
                      "\"",
                  {}, "Every record needs an id, and a source where the matcher has a source column.");
}

void need_different(const engine::Records &records) {
  engine::Patience patience;
  for (engine::Place i = 1; i < records.size(); ++i, patience.step())
    if (records.id(i - 1) == records.id(i) && records.source(i - 1) == records.source(i))
      throw Error(ERRCODE_UNIQUE_VIOLATION, "two records have the id \"" + std::string(records.id(i)) + "\"",
                  {}, "Ids must be unique within a source.");
}

// What PostgreSQL makes of a column's texts, each asked for once: so many bytes of them at a time.
void make_features(const Matcher &matcher, const Plan &plan, std::size_t column,
                   const std::vector<std::size_t> &features, engine::Reading &reading) {
  constexpr std::size_t kTexts = 100000, kBytes = std::size_t{8} << 20;
  std::string sql = "SELECT ";
  for (const auto feature : features)
    sql += (feature == features[0] ? "" : ", ") + matcher.model.features[feature].sql;
  sql += " FROM (SELECT u COLLATE " + plan.collations.at(column) + " AS " +
         engine::quoted_identifier(plan.names[column]) + " FROM pg_catalog.unnest($1) AS u) AS t";
  const auto texts = reading.texts(column);
  std::vector<engine::Dictionary> kept(features.size());
  std::vector<std::vector<engine::Code>> codes(features.size());
  for (std::size_t first = 0, next; first < texts.size(); first = next) {
    std::vector<std::optional<std::string>> some;
    std::size_t bytes = 0;
    for (next = first; next < texts.size() && some.size() < kTexts && bytes < kBytes; ++next) {
      bytes += texts[next].size();
      some.push_back(texts[next].data() ? std::optional(std::string(texts[next])) : std::nullopt);
    }
    pg::TextRows rows(sql, pg::Params().optional_texts(some));
    while (true) {
      const auto &cells = rows.next();
      if (cells.empty())
        break;
      for (std::size_t i = 0; i < cells.size(); ++i) {
        const auto f = i % features.size();
        codes[f].push_back(cells[i].data() ? kept[f].code(cells[i]) : 0);
      }
    }
    rows.close();
  }
  for (std::size_t f = 0; f < features.size(); ++f) {
    std::vector<std::string_view> made;
    for (const auto code : codes[f])
      made.push_back(code ? kept[f].text(code) : std::string_view());
    if (made.size() != texts.size())
      throw Error(ERRCODE_INTERNAL_ERROR, "a column's texts were not all answered for");
    reading.make(features[f], made);
  }
}

void make_features(const Matcher &matcher, const Plan &plan, engine::Reading &reading) {
  for (std::size_t column = 0; column < plan.columns.size(); ++column) {
    std::vector<std::size_t> asked;
    for (std::size_t f = 0; f < plan.features.size(); ++f) {
      if (!plan.features[f].made || plan.features[f].column != column)
        continue;
      if (matcher.model.features[f].cut == engine::Feature::Cut::none)
        asked.push_back(f);
      else
        reading.cut(f);
    }
    if (!asked.empty())
      make_features(matcher, plan, column, asked, reading);
  }
}

// Rows are numbered in a second thread, where there is a core for it, while the next ones are read.
void read_rows(const Matcher &matcher, const std::string &sql, std::size_t width, std::uint64_t expected,
               engine::Reading &reading) {
  pg::ShownProgress progress(pg::Task::read_records, expected);
  pg::TextRows rows(sql); // outlives the job that reads them
  std::optional<pg::Helper> helper;
  std::optional<pg::Helper::Job> job;
  while (true) {
    const auto &cells = rows.next();
    if (job)
      job->wait();
    job.reset();
    if (cells.empty())
      break;
    need_keys(matcher, cells, width);
    progress.step(cells.size() / width);
    if (!helper && reading.size() > 10000 && pg::Helper::is_worthwhile())
      helper.emplace();
    if (helper)
      job.emplace(*helper, [&] { reading.add(cells); });
    else
      reading.add(cells);
  }
  rows.close();
}

} // namespace

void each_batch(const std::string &sql, const std::function<void(const pg::Rows &)> &take) {
  constexpr long kRows = 10000;
  SPIParseOpenOptions options{};
  options.read_only = true;
  Portal portal = [&] {
    const pg::WithoutJit planned;
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

engine::Records read_records(const Matcher &matcher, Oid relation) {
  const auto from = describe(matcher, relation);
  const auto plan = plan_for(matcher.model, text_columns(relation));
  engine::Reading reading(matcher.model, plan.columns.size(), plan.features);
  read_rows(matcher, query_for(matcher, from, plan, ""), plan.columns.size() + 2, from.expected, reading);
  reading.put_in_order(order_of(matcher, from));
  make_features(matcher, plan, reading);
  auto records = reading.finish();
  need_different(records);
  return records;
}

engine::Records read_some(const Matcher &matcher, Oid relation, const std::vector<RecordKey> &keys) {
  const auto from = describe(matcher, relation);
  std::set<std::pair<std::string, std::string>, std::less<>> chosen;
  for (const auto &key : keys)
    chosen.emplace(key.id, matcher.source_column.empty() ? "" : key.source);
  const auto plan = plan_for(matcher.model, {});
  const auto width = plan.columns.size() + 2;
  engine::Reading reading(matcher.model, plan.columns.size(), plan.features);
  pg::TextRows rows(query_for(matcher, from, plan, those_with(matcher, from, keys)));
  pg::ShownProgress progress(pg::Task::read_records, keys.size());
  while (true) {
    const auto &cells = rows.next();
    if (cells.empty())
      break;
    need_keys(matcher, cells, width);
    progress.step(cells.size() / width);
    for (std::size_t at = 0; at < cells.size(); at += width)
      if (chosen.contains({std::string(cells[at]), std::string(cells[at + 1])}))
        reading.add(std::span(cells).subspan(at, width));
  }
  rows.close();
  reading.put_in_order(order_of(matcher, from));
  auto records = reading.finish();
  need_different(records);
  return records;
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

} // namespace cdp::match
