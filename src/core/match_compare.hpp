// Two records held against each other: tests and gammas. Memory is that of the records and a few fixed
// caches; nothing grows with the number of pairs. Throws std::bad_alloc only.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "large_array.hpp"
#include "match_plan.hpp"
#include "match_records.hpp"
#include "match_wanted.hpp"
#include "prefetch.hpp"
#include "short_text.hpp"
#include "similarity.hpp"

namespace cdp::core::match {

using Place = std::uint32_t; // of a record

struct Candidate {
  Place left, right; // left < right
  std::int32_t rule;
};

/// Evaluates the tests of a model. Model and records must outlive it.
class Evaluator {
public:
  Evaluator(const Model &model, const Records &records);

  /// 1, 0, or -1 for unknown.
  int test(int test, Place left, Place right);
  /// What a pair of the model comes to for two values that are not NULL; not of numbers.
  double measure(int pair, Code left, Code right);
  Code true_code() const { return true_; } // of the text that PostgreSQL writes for true; 0: there is none

private:
  struct Measured { // of the last pair of values, and what is prepared of the left one
    Code left = 0, right = 0, prepared = 0;
    double value = 0;
    JaroWinkler winkler;
  };
  int held_against(const Test &test, Place left, Place right);
  double of_texts(const Pair &pair, Measured &kept, Code left, Code right);

  const Model &model_;
  const Records &records_;
  std::vector<Measured> measured_; // a pair of the model
  Code true_ = 0;
};

/// The level of every comparison for a pair: gamma, -1 for a null level. A copy may work in another thread.
class Comparer {
public:
  Comparer(const Model &model, const Records &records);

  void compare(Place left, Place right, std::int8_t *gammas);
  std::int8_t compare(std::size_t comparison, Place left, Place right) {
    return level(firsts_[comparison], row(left), row(right));
  }
  /// The levels of many pairs, one after the other; what the next ones need is on its way meanwhile.
  void compare_all(const Candidate *pairs, std::size_t number, std::int8_t *gammas);
  std::size_t comparisons() const { return firsts_.size(); }
  Evaluator &evaluator() { return evaluator_; }
  std::size_t bytes() const;

private:
  static constexpr std::size_t kLine = 16; // codes in a line of the processor's cache

  /// A step whose features are places in a row, and that leads to a place in steps_ or, below 0, to a gamma.
  struct Turn {
    Step::Kind kind;
    Sign sign;
    bool right, wanted;
    std::uint16_t a, b, number_a, number_b;
    int pair, yes, no;
    double bound;
  };
  struct Measured { // of the last two values
    Code left = 0, right = 0;
    double value = 0;
  };
  struct Measuring { // of a pair of the model
    Measure measure;
    std::size_t limit;
    double least; // of a similarity: below this all tests say the same
    Measured last;
    std::vector<Measured> cache; // of what is slow
  };
  struct Layout;

  void expect_row(Place record) const {
    prefetch(row(record));
    prefetch(row(record) + std::min(width_, 2 * kLine) - 1);
  }
  void expect_texts(const Code *left, const Code *right) const {
    for (const auto &[a, b] : texts_)
      if (left[a] != right[b]) {
        prefetch(shorts_->data() + left[a]);
        prefetch(shorts_->data() + right[b]);
      }
  }
  const Code *row(Place record) const { return rows_->data() + record * width_; }
  std::int8_t level(int at, const Code *left, const Code *right);
  bool holds(const Turn &turn, const Code *left, const Code *right);
  double measured(int pair, Code left, Code right);
  double slowly(int pair, Code left, Code right);
  void fill(const Layout &layout);

  const Records &records_;
  Evaluator evaluator_;
  std::vector<Turn> turns_;
  std::vector<int> firsts_; // of a comparison
  std::vector<Measuring> measures_;
  std::vector<std::pair<std::uint16_t, std::uint16_t>> texts_; // places whose texts are measured
  Patience patience_;
  std::size_t width_ = 0;
  Code true_ = 0;
  // What comparisons look at, a record's together: values as numbers, those that are measured first. Copies
  // share them.
  std::shared_ptr<const RoughArray<Code>> rows_;
  std::shared_ptr<const RoughArray<ShortText>> shorts_;
  std::shared_ptr<const std::vector<std::uint64_t>> lists_; // a bit or several a value that is a list
};

} // namespace cdp::core::match
