// Two records held against each other: tests and gammas. Memory is that of the records and a few fixed
// caches; nothing grows with the number of pairs. Throws std::bad_alloc only.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "large_array.hpp"
#include "match_records.hpp"
#include "prefetch.hpp"
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

private:
  struct Measured { // of the last pair of values, and what is prepared of the left one
    Code left = 0, right = 0, prepared = 0;
    double value = 0;
    JaroWinkler winkler;
  };
  int held_against(const Test &test, Place left, Place right);
  double of_texts(const Pair &pair, Measured &kept, Code left, Code right);
  double of_numbers(const Pair &pair, Place left, Place right) const;

  const Model &model_;
  const Records &records_;
  std::vector<Measured> measured_; // a pair of the model
  Code true_ = 0;
};

/// The level of every comparison for a pair: gamma, -1 for a null level. A copy may work in another thread.
class Comparer {
public:
  Comparer(const Model &model, const Records &records);

  void compare(Place left, Place right, std::int8_t *gammas) {
    for (std::size_t c = 0; c < compared_.size(); ++c)
      gammas[c] = compare(c, left, right);
  }
  std::int8_t compare(std::size_t comparison, Place left, Place right) {
    Compared &of = compared_[comparison];
    const Code l = (*values_)[left * compared_.size() + comparison],
               r = (*values_)[right * compared_.size() + comparison];
    if (of.null_first && (l == 0 || r == 0))
      return -1;
    if (of.equal_next && l == r)
      return of.equal_gamma;
    if (of.else_next)
      return 0;
    const std::uint64_t key = key_of(l, r);
    std::uint64_t &slot = of.cache[slot_of(key)];
    if ((slot & ~std::uint64_t{15}) != key || slot == 0)
      slot = key | static_cast<std::uint64_t>(decide(of, left, right) + 2);
    return static_cast<std::int8_t>(static_cast<int>(slot & 15) - 2);
  }
  /// For a record that is compared soon.
  void expect(Place record) const { prefetch(values_->data() + record * compared_.size()); }
  /// For a pair that is compared soon and whose records were expected before: what is remembered of it, and
  /// the texts.
  void expect(Place left, Place right) const {
    const Code *l = values_->data() + left * compared_.size(),
               *r = values_->data() + right * compared_.size();
    for (const auto &of : compared_) {
      if (!of.else_next && *l != *r) {
        prefetch(&of.cache[slot_of(key_of(*l, *r))]);
        if (of.comparison->features.size() == 1)
          records_.expect_text(*r);
      }
      ++l;
      ++r;
    }
  }
  std::size_t comparisons() const { return compared_.size(); }
  Evaluator &evaluator() { return evaluator_; }
  std::size_t bytes() const;

private:
  static constexpr int kCacheBits = 15;
  static std::uint64_t key_of(Code left, Code right) {
    return static_cast<std::uint64_t>(left) << 34 | static_cast<std::uint64_t>(right) << 4;
  }
  static std::size_t slot_of(std::uint64_t key) { return (key * 0x9E3779B97F4A7C15u) >> (64 - kCacheBits); }
  struct Compared {
    const Comparison *comparison;
    // Of one feature: unknown on either side is a null level, then comes the same value, then all else.
    bool null_first = false, equal_next = false, else_next = false;
    std::int8_t equal_gamma = 0;
    std::vector<std::uint64_t> cache;
  };
  void see_shortcuts(const Model &model, Compared &of) const;
  int decide(const Compared &of, Place left, Place right);

  const Records &records_;
  Evaluator evaluator_;
  std::vector<Compared> compared_;
  // All that a comparison looks at, as one number; a record's lie together. Copies share it.
  std::shared_ptr<const LargeArray<Code>> values_;
};

} // namespace cdp::core::match
