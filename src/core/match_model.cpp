#include "match_model.hpp"
#include "text.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <functional>

namespace cdp::core::match {

namespace {

struct Named {
  std::string_view name;
  Measure measure;
};

constexpr std::array<Named, 13> kMeasures{{{"jaro_winkler_similarity", Measure::jaro_winkler},
                                           {"jaro_winkler", Measure::jaro_winkler},
                                           {"jaro_similarity", Measure::jaro},
                                           {"jaro_sim", Measure::jaro},
                                           {"jaro", Measure::jaro},
                                           {"levenshtein", Measure::levenshtein},
                                           {"editdist3", Measure::levenshtein},
                                           {"damerau_levenshtein", Measure::damerau},
                                           {"optimal_alignment", Measure::alignment},
                                           {"jaccard", Measure::jaccard},
                                           {"jaccard_similarity", Measure::jaccard},
                                           {"jaccard_sim", Measure::jaccard},
                                           {"qgram_distance", Measure::qgrams}}};

std::optional<Sign> sign_of(std::string_view text) {
  constexpr std::array<std::string_view, 6> kSigns{"=", "<>", "<", "<=", ">", ">="};
  const auto found = std::find(kSigns.begin(), kSigns.end(), text);
  if (found == kSigns.end())
    return std::nullopt;
  return static_cast<Sign>(found - kSigns.begin());
}

Sign turned(Sign sign) {
  switch (sign) {
  case Sign::less:
    return Sign::more;
  case Sign::at_most:
    return Sign::at_least;
  case Sign::more:
    return Sign::less;
  case Sign::at_least:
    return Sign::at_most;
  default:
    return sign;
  }
}

double number_of(const Node &node) {
  double value = 0;
  std::from_chars(node.name.data(), node.name.data() + node.name.size(), value);
  return value;
}

bool is_call(const Node &node, std::string_view name, std::size_t parts) {
  return node.is(Op::call, name) && node.parts.size() == parts;
}

enum class As { text, number, list };

/// Whether a text of a column is no more than its beginning; where not, the feature is left as it is.
void find_cut(const Node &node, Feature &feature) {
  if (node.op == Op::column) {
    feature.cut = Feature::Cut::whole;
  } else if (is_call(node, "left", 2) && node.parts[0].op == Op::column && node.parts[1].op == Op::number) {
    const auto &digits = node.parts[1].name;
    if (digits.size() < 9 && std::all_of(digits.begin(), digits.end(), is_ascii_digit)) {
      feature.cut = Feature::Cut::first;
      feature.length = static_cast<std::size_t>(number_of(node.parts[1]));
    }
  } else if (is_call(node, "nullif", 2) && node.parts[1].is(Op::text, "")) {
    find_cut(node.parts[0], feature);
    if (feature.cut == Feature::Cut::whole)
      feature.cut = Feature::Cut::none;
    feature.empty_is_unknown = true;
  } else if (node.is(Op::call, "regexp_extract") && node.parts.size() > 1 && node.parts[0].op == Op::column &&
             node.parts[1].is(Op::text, "^[^@]+") &&
             (node.parts.size() == 2 || node.parts[2].is(Op::number, "0"))) {
    feature.cut = Feature::Cut::before_at;
  }
}

/// Puts conditions into a model.
class Compiler {
public:
  explicit Compiler(Model &model) : model_(model) {}

  int test(const Node &node);
  int feature(const Node &node, As as);
  int add(Test test) {
    model_.tests.push_back(std::move(test));
    return static_cast<int>(model_.tests.size()) - 1;
  }

private:
  int one_sided(const Node &node);
  int comparison(const Node &node);
  int sides(Measure measure, const Node &a, const Node &b, As as, Sign sign, double bound);
  int measure(const Node &node, Sign sign, const Node &bound);
  int grams(const Node &node, Sign sign, double bound);
  std::optional<int> numbers(const Node &node, Sign sign, double bound);
  int list(Test::Kind kind, const Node &node);

  Model &model_;
};

int Compiler::feature(const Node &node, As as) {
  auto sql = to_sql(node);
  if (as == As::number)
    sql = "((" + sql + ")::pg_catalog.float8)::pg_catalog.text";
  else if (as == As::list && is_call(node, "name_forms", 1)) // the same, and no array is made
    sql = "cdp_internal.listed_name_forms((" + to_sql(node.parts[0]) + ")::pg_catalog.text)";
  else if (as == As::list) // an empty list is not NULL
    sql = "(SELECT CASE WHEN l.e IS NOT NULL THEN COALESCE((SELECT "
          "pg_catalog.string_agg(u.e::pg_catalog.text || "
          "pg_catalog.chr(31), '') FROM pg_catalog.unnest(l.e) AS u (e)), '') END FROM (SELECT " +
          sql + ") AS l (e))";
  else
    sql = "(" + sql + ")::pg_catalog.text";
  for (std::size_t i = 0; i < model_.features.size(); ++i)
    if (model_.features[i].sql == sql)
      return static_cast<int>(i);
  Feature made{std::move(sql), {}, as == As::number, as == As::list};
  collect_columns(node, made.columns);
  if (as == As::text)
    find_cut(node, made);
  model_.features.push_back(std::move(made));
  return static_cast<int>(model_.features.size()) - 1;
}

int Compiler::test(const Node &node) {
  switch (node.op) {
  case Op::both:
    return list(Test::Kind::all, node);
  case Op::either:
    return list(Test::Kind::any, node);
  case Op::negation:
    return list(Test::Kind::negation, node);
  case Op::boolean:
    if (node.name == "true")
      return add({});
    break;
  default:
    break;
  }
  if (node.sides == kNeither)
    throw Unclear("this says nothing about the records", node.place);
  if (node.sides != kTwo)
    return one_sided(node);
  if (node.op == Op::compare)
    return comparison(node);
  if (node.op == Op::call && (node.name == "list_has_any" || node.name == "array_has_any"))
    return sides(Measure::common_elements, node.parts.at(0), node.parts.at(1), As::list, Sign::at_least, 1);
  if (node.op == Op::call)
    throw Unclear("function " + node.name + " is not known here", node.place);
  throw Unclear("this form is not known here", node.place);
}

int Compiler::list(Test::Kind kind, const Node &node) {
  Test made;
  made.kind = kind;
  for (const auto &part : node.parts)
    made.parts.push_back(test(part));
  return add(std::move(made));
}

/// PostgreSQL says whether it holds, as true or false.
int Compiler::one_sided(const Node &node) {
  Test made;
  made.left = node.sides == kLeft;
  if (node.op == Op::is_null) {
    made.kind = Test::Kind::unknown;
    made.feature = feature(node.parts[0], As::text);
  } else {
    made.kind = Test::Kind::truth;
    made.feature = feature(node, As::text);
  }
  return add(std::move(made));
}

/// One of the nodes is of the left record and the other of the right.
int Compiler::sides(Measure measure, const Node &a, const Node &b, As as, Sign sign, double bound) {
  if ((a.sides | b.sides) != kTwo || a.sides == kTwo || b.sides == kTwo)
    throw Unclear("one of the two must be about the left record, and the other about the right", a.place);
  const bool turned_round = a.sides == kRight;
  Pair pair{measure, feature(turned_round ? b : a, as), feature(turned_round ? a : b, as), bound};
  if (measure == Measure::difference && turned_round) {
    sign = turned(sign);
    bound = -bound;
  }
  Test made;
  made.kind = Test::Kind::measure;
  made.sign = sign;
  made.bound = bound;
  auto &pairs = model_.pairs;
  const auto found = std::find_if(pairs.begin(), pairs.end(), [&](const Pair &other) {
    return other.measure == measure && other.left == pair.left && other.right == pair.right;
  });
  made.pair = static_cast<int>(found - pairs.begin());
  if (found == pairs.end())
    pairs.push_back(pair);
  else
    found->limit = std::max(found->limit, bound);
  return add(std::move(made));
}

int Compiler::comparison(const Node &node) {
  const Node &a = node.parts[0], &b = node.parts[1];
  if (node.name == "&&")
    return sides(Measure::common_elements, a, b, As::list, Sign::at_least, 1);
  const auto sign = *sign_of(node.name);
  if (a.sides == kTwo && b.op == Op::number)
    return measure(a, sign, b);
  if (b.sides == kTwo && a.op == Op::number)
    return measure(b, turned(sign), a);
  if (a.sides == kTwo || b.sides == kTwo)
    throw Unclear("a measure of both records must be held against a number", node.place);
  if (sign == Sign::equal || sign == Sign::unequal)
    return sides(Measure::equal, a, b, As::text, sign == Sign::equal ? Sign::at_least : Sign::less, 1);
  return sides(Measure::difference, a, b, As::number, sign, 0);
}

int Compiler::measure(const Node &node, Sign sign, const Node &limit) {
  const double bound = number_of(limit);
  if (const auto made = numbers(node, sign, bound))
    return *made;
  if (node.op != Op::call)
    throw Unclear("this measure is not known here", node.place);
  if (node.name == "jaccard" || node.name == "qgram_distance")
    return grams(node, sign, bound);
  for (const auto &[name, measure] : kMeasures)
    if (is_call(node, name, 2))
      return sides(measure, node.parts[0], node.parts[1], As::text, sign, bound);
  if ((node.name == "array_length" || node.name == "len" || node.name == "length" ||
       node.name == "cardinality") &&
      node.parts.size() == 1 &&
      (is_call(node.parts[0], "list_intersect", 2) || is_call(node.parts[0], "array_intersect", 2)))
    return sides(Measure::common_elements, node.parts[0].parts[0], node.parts[0].parts[1], As::list, sign,
                 bound);
  throw Unclear("function " + node.name + " is not known here", node.place);
}

int Compiler::grams(const Node &node, Sign sign, double bound) {
  if (node.parts.size() != 2)
    throw Unclear(node.name + " takes two arguments here", node.place);
  const auto measure = node.name == "jaccard" ? Measure::jaccard : Measure::qgrams;
  return sides(measure, node.parts[0], node.parts[1], As::text, sign, bound);
}

/// abs(a - b), abs(date_diff('day', a, b)), and abs(a - b) / the larger of them.
std::optional<int> Compiler::numbers(const Node &node, Sign sign, double bound) {
  if (node.is(Op::arithmetic, "-"))
    return sides(Measure::difference, node.parts[0], node.parts[1], As::number, sign, bound);
  if (is_call(node, "abs", 1)) {
    const Node &inner = node.parts[0];
    if (inner.is(Op::arithmetic, "-"))
      return sides(Measure::distance, inner.parts[0], inner.parts[1], As::number, sign, bound);
    if (is_call(inner, "date_diff", 3) || is_call(inner, "datediff", 3)) {
      if (!inner.parts[0].is(Op::text, "day"))
        throw Unclear(inner.name + " is known for 'day' alone", inner.place);
      Node days[2];
      for (int i = 0; i < 2; ++i) {
        Node epoch{Op::call,
                   "epoch",
                   inner.parts[1].sides,
                   inner.place,
                   {inner.parts[static_cast<std::size_t>(i) + 1]}};
        epoch.sides = epoch.parts[0].sides;
        Node day{Op::number, "86400", kNeither, inner.place, {}};
        Node quotient{Op::arithmetic, "/", epoch.sides, inner.place, {epoch, day}};
        days[i] = Node{Op::call, "floor", epoch.sides, inner.place, {quotient}};
      }
      return sides(Measure::distance, days[0], days[1], As::number, sign, bound);
    }
  }
  if (node.is(Op::arithmetic, "/") && is_call(node.parts[0], "abs", 1) &&
      node.parts[0].parts[0].is(Op::arithmetic, "-")) {
    const Node &difference = node.parts[0].parts[0], &larger = node.parts[1];
    const auto a = signature(difference.parts[0]), b = signature(difference.parts[1]);
    const bool choice = larger.op == Op::choice && larger.parts.size() == 3 && a == b &&
                        larger.parts[0].is(Op::compare, ">") && signature(larger.parts[0].parts[0]) == a &&
                        signature(larger.parts[1]) == a && signature(larger.parts[2]) == a &&
                        larger.parts[0].parts[0].sides == larger.parts[1].sides &&
                        larger.parts[0].parts[1].sides == larger.parts[2].sides;
    if (choice || is_call(larger, "greatest", 2))
      return sides(Measure::relative_distance, difference.parts[0], difference.parts[1], As::number, sign,
                   bound);
  }
  return std::nullopt;
}

/// Everything that AND joins at the top.
void conjuncts_of(Node node, std::vector<Node> &out) {
  if (node.op != Op::both) {
    out.push_back(std::move(node));
    return;
  }
  for (auto &part : node.parts)
    conjuncts_of(std::move(part), out);
}

bool is_plain_equality(const Node &node) {
  return node.is(Op::compare, "=") && node.parts[0].sides != kTwo && node.parts[1].sides != kTwo &&
         (node.parts[0].sides | node.parts[1].sides) == kTwo;
}

std::string exact_column_of(const Node &node) {
  const bool exact = is_plain_equality(node) && node.parts[0].op == Op::column &&
                     node.parts[1].op == Op::column && node.parts[0].name == node.parts[1].name;
  return exact ? node.parts[0].name : "";
}

bool is_else(std::string_view condition) {
  std::string letters;
  for (char c : condition)
    if (c > ' ')
      letters += static_cast<char>(c | 0x20);
  return letters == "else";
}

void collect_features(const Model &model, int test, std::vector<int> &features) {
  const auto add = [&](int feature) {
    if (feature >= 0 && std::find(features.begin(), features.end(), feature) == features.end())
      features.push_back(feature);
  };
  const Test &made = model.tests[static_cast<std::size_t>(test)];
  for (int part : made.parts)
    collect_features(model, part, features);
  add(made.feature);
  if (made.pair >= 0) {
    add(model.pairs[static_cast<std::size_t>(made.pair)].left);
    add(model.pairs[static_cast<std::size_t>(made.pair)].right);
  }
}

} // namespace

int Comparison::others() const {
  return static_cast<int>(
      std::count_if(levels.begin(), levels.end(), [](const Level &level) { return !level.is_null; }));
}

bool Rule::symmetric() const {
  return std::all_of(keys.begin(), keys.end(), [](const Key &key) { return key.left == key.right; });
}

void Model::add(Comparison comparison) {
  Compiler compiler(*this);
  for (auto &level : comparison.levels) {
    if (is_else(level.condition)) {
      level.test = compiler.add({});
    } else {
      const Node node = parse_condition(level.condition);
      level.test = compiler.test(node);
      level.exact_column = exact_column_of(node);
      collect_columns(node, comparison.columns);
    }
    if (!level.tf_column.empty()) {
      const Node column{Op::column, level.tf_column, kLeft, 0, {}};
      level.tf_feature = compiler.feature(column, As::text);
    }
    collect_features(*this, level.test, comparison.features);
  }
  if (comparison.others() < 2)
    throw Unclear("comparison " + comparison.name + " needs at least two levels that are not null levels");
  if (comparison.others() > kMostLevels)
    throw Unclear("comparison " + comparison.name + " has more than " + std::to_string(kMostLevels) +
                  " levels");
  comparisons.push_back(std::move(comparison));
}

void Model::add_unique(const std::string &column) {
  const Node node{Op::column, column, kLeft, 0, {}};
  uniques.push_back(Compiler(*this).feature(node, As::text));
}

void Model::add_rule(std::string_view text) {
  Compiler compiler(*this);
  Rule rule;
  rule.text = text;
  std::vector<Node> conjuncts;
  Node whole = parse_condition(text);
  collect_columns(whole, rule.columns);
  conjuncts_of(std::move(whole), conjuncts);
  for (const auto &node : conjuncts) {
    if (!is_plain_equality(node)) {
      rule.tests.push_back(compiler.test(node));
      continue;
    }
    const auto &left = node.parts[node.parts[0].sides == kLeft ? 0 : 1],
               &right = node.parts[node.parts[0].sides == kLeft ? 1 : 0];
    rule.keys.push_back({compiler.feature(left, As::text), compiler.feature(right, As::text)});
    if (const auto column = exact_column_of(node); !column.empty())
      rule.exact_columns.push_back(column);
  }
  if (rule.keys.empty())
    throw Unclear(
        "a blocking rule needs something that is equal on both sides, or every record would be held "
        "against every other");
  rules.push_back(std::move(rule));
}

double default_m(int levels, int gamma) {
  return gamma == levels - 1 ? 0.95 : 0.05 / (levels - 1);
}

double default_u(int levels, int gamma) {
  double weight = 10;
  if (gamma < levels - 1)
    weight = levels == 2 ? -5 : -5 + 8.0 * gamma / (levels - 2);
  return default_m(levels, gamma) / std::exp2(weight);
}

double weight_of(double m, double u) {
  constexpr double kLeast = 1e-10, kMost = 100;
  return std::clamp(std::log2(std::max(m, kLeast) / std::max(u, kLeast)), -kMost, kMost);
}

double term_frequency_u(const Comparison &comparison, const Level &level) {
  if (level.own_u)
    return level.u.value_or(0);
  for (const auto &other : comparison.levels)
    if (!other.is_null && other.exact_column == level.tf_column)
      return other.u.value_or(0);
  throw Unclear("comparison " + comparison.name + " adjusts for the frequency of " + level.tf_column +
                " and has no level for " + level.tf_column + " being the same");
}

} // namespace cdp::core::match
