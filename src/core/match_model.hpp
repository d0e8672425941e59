// A model of who is the same person: comparisons with ordered levels, and rules that say which pairs are
// looked at. Conditions are taken apart into features, which are of one record and which PostgreSQL computes,
// and measures of two features, which are computed here.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "match_expression.hpp"

namespace cdp::core::match {

/// Something a condition asks of one record.
struct Feature {
  std::string sql; // of record t; text, or elements that each end with U+001F
  std::vector<std::string> columns;
  bool is_number = false, is_list = false;
  /// What need not be asked of PostgreSQL when the one column is a text.
  enum class Cut {
    none,
    whole,    // the column as it is
    first,    // so many characters
    before_at // what is before the first @
  };
  Cut cut = Cut::none;
  std::size_t length = 0;
  bool empty_is_unknown = false;
};

enum class Measure {
  equal,
  jaro,
  jaro_winkler,
  levenshtein,
  damerau,
  alignment,
  jaccard,
  qgrams,
  common_elements,
  difference,
  distance,         // absolute difference
  relative_distance // to the larger of the two
};

enum class Sign { equal, unequal, less, at_most, more, at_least };

/// A part of a condition. Features and tests are places in the model; the second feature is of the right
/// record.
struct Test {
  enum class Kind { all, any, negation, unknown, truth, measure, always };
  Kind kind = Kind::always;
  std::vector<int> parts;  // of all, any and negation
  int feature = -1;        // of unknown (is null) and truth
  bool left = true;        // whose feature
  int pair = -1;           // of measure
  Sign sign = Sign::equal; // how the measure stands to
  double bound = 0;
};

/// A measure of two features; computed once for all tests of it.
struct Pair {
  Measure measure = Measure::equal;
  int left = -1, right = -1;
  double limit = 0; // the largest bound that a test has, for distances
};

inline constexpr int kMostLevels = 13; // that are not null levels

struct Level {
  std::string condition, label;
  bool is_null = false, fixed_m = false, fixed_u = false;
  std::optional<double> m, u;
  std::string tf_column;
  double tf_weight = 1, tf_minimum_u = 0;
  bool own_u = false; // the term frequency is held against this level's u, not that of an exact level
  int test = -1;      // place in the model
  int tf_feature = -1;
  std::string exact_column; // when the condition is no more than column = column
};

struct Comparison {
  std::string name;
  std::vector<Level> levels; // null levels anywhere; gamma counts the others down to 0
  std::vector<int> features;
  std::vector<std::string> columns;
  int others() const; // levels that are not null levels
};

/// l.key = r.key, for all keys, and what else must hold.
struct Rule {
  struct Key {
    int left, right;
  };
  std::string text;
  std::vector<Key> keys;
  std::vector<int> tests;
  std::vector<std::string> columns;
  std::vector<std::string> exact_columns; // of keys that are no more than column = column
  bool symmetric() const;
};

struct Model {
  std::vector<Feature> features;
  std::vector<Pair> pairs;
  std::vector<Test> tests;
  std::vector<Comparison> comparisons;
  std::vector<Rule> rules;
  std::vector<int> uniques; // features of which nobody has two values
  double prior = 0.0001;    // that two records drawn at random are one person's

  /// Throw Unclear; the model is then not to be used any more.
  void add(Comparison comparison);
  void add_rule(std::string_view text);
  void add_unique(const std::string &column);
};

/// m and u that Splink gives levels that were never trained; number of levels that are not null, gamma from
/// 0.
double default_m(int levels, int gamma);
double default_u(int levels, int gamma);

/// log2(m / u), each at least 1e-10, and within ±100, as Splink 5 has it.
double weight_of(double m, double u);

/// The u that a level's term frequencies stand against. Throws Unclear when there is none.
double term_frequency_u(const Comparison &comparison, const Level &level);

} // namespace cdp::core::match
