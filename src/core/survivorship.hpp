// Which of the values that sources claim for a trait becomes the golden one. A rule is a chain of strategies:
// the first that comes to a value decides. Pure functions of the claims, the rule and an instant; values are
// JSON texts as jsonb prints them.
#pragma once

#include "core/timestamp.hpp"
#include "core/trait_type.hpp"

#include <functional>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace cdp::core {

/// What one message says about one trait.
struct Claim {
  std::string value;
  Timestamp asserted_at = 0;
  std::int64_t decision_seq = 0;
  std::int32_t source_id = 0;
  bool verified = false; // the message says <trait>_verified: true, too
};

enum class Strategy {
  latest,
  earliest,
  most_frequent,
  source_priority,
  min,
  max,
  sum,
  average,
  longest,
  shortest,
  any_true,
  all_true,
  union_list,
  intersection_list,
  counted_list,
  first_non_empty,
  verified_first,
  maximum_age,
  never,
  aggregate,
  computed
};

std::optional<Strategy> strategy_from(std::string_view name);
std::string_view to_string(Strategy strategy);

struct Link {
  Strategy strategy = Strategy::latest;
  std::vector<std::string> sources; // first the best
  Timestamp maximum_age = 0;        // only claims younger than this count; 0: all
  std::string aggregate, argument;  // any aggregate of PostgreSQL, and the type it takes
  std::string settings;             // whose it is and how its names are looked up; for who runs it
  std::int32_t computed = 0;        // the computed trait whose value it is, whatever was said
};

/// What a computed trait is for a person, and until when if nothing new happens.
struct Computed {
  std::string value = "null";
  Timestamp until = kInfinity;
};
using ComputedValues = std::map<std::int32_t, Computed>; // who has none may be left out

/// What an aggregate made of values; an error is a value that is not there, with the reason.
struct Aggregated {
  std::string value = "null", error;
};

/// What a decision needs to know beside the claims.
struct World {
  std::unordered_map<std::int32_t, std::string> sources;  // by id
  std::unordered_map<std::int32_t, std::string> computed; // names of computed traits, by id
  std::function<Aggregated(const Link &, const std::vector<std::string> &)> aggregate;
};

struct Verdict {
  std::string value = "null";         // null: absent
  std::vector<std::size_t> made_from; // places of the claims that it is, or is made of
  int link = -1;                      // the place in the chain that decided; -1: none
  bool conflict = false;              // values differ, and the rule chooses none of them
  Timestamp until = kInfinity;        // from then on claims are too old
  std::string error = {};             // of an aggregate on the way
  std::vector<int> asks = {};         // computed traits that come before what decided: places in the chain
};

/// One policy's rules and all definitions, in one version.
class Rules {
public:
  /// Links of one pattern in order. A pattern is a trait's name, or has * for any characters.
  void add(const std::string &pattern, Link link);
  void define(const std::string &trait, TraitDefinition definition) {
    definitions_[trait] = std::move(definition);
  }
  void trust(const std::string &source, std::int32_t trust) { trust_[source] = trust; }
  /// The rules of another policy hold for traits that this one says nothing about.
  void fall_back(const Rules *other);

  /// Nothing: the latest value wins. The exact name goes before patterns, of these the one with more
  /// characters that stand for themselves, then the first by byte.
  const std::vector<Link> *chain(std::string_view trait) const;
  const TraitDefinition *definition(std::string_view trait) const;
  /// The pattern whose chain it is; empty when there is none.
  std::string pattern(std::string_view trait) const;

  /// Whether its golden value cannot be carried on from itself: all claims are needed.
  bool governs(std::string_view trait) const;
  bool governs_any() const { return !chains_.empty() || (other_ && other_->governs_any()); }
  bool is_default() const { return !governs_any() && definitions_.empty(); }
  /// Traits that may be what a computed trait is; who asks must know what was said about everybody.
  const std::set<std::string, std::less<>> &computed() const { return computed_; }
  bool has_computed() const { return !computed_.empty(); }
  bool has_ages() const { return has_ages_ || (other_ && other_->has_ages()); }
  std::int32_t trust_in(const std::string &source) const;

private:
  using Chains = std::map<std::string, std::vector<Link>, std::less<>>;
  const Chains::value_type *find(std::string_view trait) const;

  Chains chains_;
  std::vector<std::string> patterns_; // with *, the best first
  std::map<std::string, TraitDefinition, std::less<>> definitions_;
  std::map<std::string, std::int32_t, std::less<>> trust_;
  bool has_ages_ = false;
  std::set<std::string, std::less<>> computed_;
  const Rules *other_ = nullptr;
};

bool matches(std::string_view pattern, std::string_view trait);

/// Claims are in order of (asserted_at, decision_seq). A null takes back what the same source said before.
Verdict decide(std::span<const Claim> claims, const std::vector<Link> &chain, const Rules &rules,
               const World &world, Timestamp at);

/// What a verdict is when the computed traits that it asks for are known: the first that has a value decides.
void answer(Verdict &verdict, const std::vector<Link> &chain, const TraitDefinition *definition,
            const ComputedValues &values);

/// Whether a later null of the same source took the claim back, a place each.
std::vector<bool> taken_back(std::span<const Claim> claims);

} // namespace cdp::core
