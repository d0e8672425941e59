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

} // namespace

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
