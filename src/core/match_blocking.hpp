// Which pairs of records are looked at: those that some rule gives, each once, without a set of all pairs.
// A rule's records are sorted by its keys, as numbers; a pair that an earlier rule gives is known by its
// values. Memory is a few numbers a record and rule. Throws std::bad_alloc only, and what callbacks throw.
#pragma once

#include <algorithm>
#include <functional>
#include <optional>

#include "match_compare.hpp"

namespace cdp::core::match {

enum class Link {
  dedupe,  // any two records
  sources, // records of two sources
  both     // any two, of the same source or not
};

class Blocking {
public:
  Blocking(const Model &model, const Records &records, Link link, Evaluator &evaluator);

  struct Size {
    std::uint64_t pairs = 0;   // that have the keys in common, whatever else the rule and earlier rules say
    std::uint64_t largest = 0; // of these with one key
    Place example = 0;         // a record with that key
    std::uint64_t members = 0; // records with that key
  };
  const Size &size(std::size_t rule) const { return blocks(rule).size; }
  std::uint64_t all_pairs() const; // of the records

  /// Those of the rules that give at most so many pairs each, and of these the ones with the fewest pairs, as
  /// long as they stay below so many together. What another chosen rule gives, too, counts once where that is
  /// seen from the rules themselves.
  std::vector<std::size_t> within(std::vector<std::size_t> rules, double most_each,
                                  double most_together) const;

  using Take = std::function<void(const std::vector<Candidate> &)>;
  /// Pairs of these rules, each once, under the first rule that gives it; some thousands at a time. Also
  /// empty batches, so that whoever takes them can stop.
  void each(const std::vector<std::size_t> &rules, const Take &take) { each(rules, take, {}); }

  /// A part of them, the same every time: those whose mixed-up numbers are below a limit of 2^32.
  struct Part {
    std::uint64_t limit = std::uint64_t{1} << 32, seed = 0;
    bool has(Place left, Place right) const {
      const std::uint64_t mixed =
          ((static_cast<std::uint64_t>(left) << 32 | right) + seed) * 0x9E3779B97F4A7C15u;
      return ((mixed ^ mixed >> 29) * 0xBF58476D1CE4E5B9u >> 32) < limit;
    }
  };
  void each(const std::vector<std::size_t> &rules, const Take &take, const Part &part);

  /// Whether one of these rules gives the pair.
  bool gives(const std::vector<std::size_t> &rules, Place left, Place right) const {
    return wanted(left, right) && std::any_of(rules.begin(), rules.end(),
                                              [&](std::size_t rule) { return holds(rule, left, right); });
  }
  /// Of these rules those that give all pairs that any of them gives, as far as is seen from the rules.
  std::vector<std::size_t> widest(std::vector<std::size_t> rules) const;

private:
  struct Entry {
    std::uint64_t key; // the last bit: on the right
    Place record;
  };
  /// Records that share a rule's keys with others; in order within a block, those on the left first where the
  /// two sides differ.
  struct Blocks {
    std::vector<Place> members;
    std::vector<std::uint32_t> ends, middles; // middles only where the sides differ
    Size size;
  };
  /// Values of a feature that several records have, as numbers from 1, in the order of their codes; 0 of
  /// others.
  struct Groups {
    RoughArray<Code> of_records;
    Code number = 0;
  };
  struct Giver; // gives the pairs of one call
  using Mask = std::uint64_t;

  const Blocks &blocks(std::size_t rule) const;
  Blocks make_blocks(const Rule &rule) const;
  const Groups &groups(int feature) const;
  void sort_by_groups(const Rule &rule) const;
  void sort_by_sides(const Rule &rule) const;
  void add_block(Blocks &blocks, const Entry *first, const Entry *end, bool sides) const;
  void lay_out_values();
  Mask equal_values(Place left, Place right) const;
  bool holds(std::size_t rule, Place left, Place right) const;
  bool wanted(Place left, Place right) const {
    return link_ != Link::sources || records_.source(left) != records_.source(right);
  }
  std::uint64_t pairs_of(const Entry *left, const Entry *left_end, const Entry *right,
                         const Entry *end) const;

  const Model &model_;
  const Records &records_;
  Link link_;
  Evaluator &evaluator_;
  std::vector<Mask> masks_; // a rule: the values that must be the same, when that is all it asks; else 0
  std::size_t width_ = 0;
  RoughArray<Code> values_;                           // that masks are about; a record's lie together
  mutable std::vector<std::optional<Blocks>> blocks_; // a rule, once it was asked for
  mutable std::vector<std::optional<Groups>> groups_; // a feature
  mutable RoughArray<Entry> entries_, other_;         // of the rule at hand
};

} // namespace cdp::core::match
