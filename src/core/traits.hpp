// Golden traits of one person, folded one assertion at a time. Where the newest value wins, its origin is all
// that has to be known of what was said before; where another rule decides, all claims are kept here.
// Values are JSON texts; owns its strings, throws std::bad_alloc only.
#pragma once

#include "core/survivorship.hpp"

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace cdp::core {

/// What one identify message says.
struct Assertion {
  std::string_view traits; // a JSON object
  Timestamp asserted_at = 0;
  std::int64_t decision_seq = 0;
  std::int32_t source_id = 0;
  Timestamp received_at = kInfinity;

  /// What is said of a time to come counts from when it is received.
  Timestamp counts_from() const { return std::min(asserted_at, received_at); }
};

/// A value that does not fit its trait's definition.
struct Misfit {
  std::int64_t decision_seq;
  std::string trait, value, code, hint;
};

/// Golden traits at one moment, where computed traits that rules ask for are still to be known. The rules
/// must outlive this.
class OpenTraits {
public:
  struct One {
    std::string raw_key;
    Verdict verdict; // of what was said
    const std::vector<Link> *chain;
    const TraitDefinition *definition;
  };

  /// The computed traits that matter.
  const std::vector<std::int32_t> &asked() const { return asked_; }
  /// As Traits::traits_json(); until: when an answer is another, if nothing new happens.
  std::string traits_json(const ComputedValues &values, Timestamp &until) const;

private:
  friend class Traits;
  std::string rest_ = "{"; // of the others, not closed
  std::vector<One> open_;
  std::vector<std::int32_t> asked_;
};

class Traits {
public:
  /// With nothing said yet. The rules must outlive this.
  explicit Traits(const Rules &rules) : rules_(&rules) {}

  /// From their two stored forms, both JSON objects; see traits_json and origins_json. Good for traits whose
  /// newest value wins.
  Traits(std::string_view traits, std::string_view origins, const Rules &rules);

  /// Whether one of the traits of a message can only be decided with all claims at hand.
  static bool needs_claims(std::string_view traits, const Rules &rules);
  /// The same for what is stored.
  bool needs_claims() const;

  /// The newest asserted_at wins a trait, then the latest decision, unless a rule says otherwise; then
  /// settle() decides. True: a golden value is another now, as far as that is known without settle().
  bool assert_all(const Assertion &said, std::vector<Misfit> &misfits);
  /// What was said before about traits that rules govern, where the others are known already.
  void recall(const Assertion &said);

  /// What was asserted about somebody who turned out to be the same person.
  void absorb(const Traits &other);

  /// Decides what rules govern, as of an instant. True: a golden value is another now. `values`: what
  /// computed traits are for the person, as far as rules may ask for them.
  bool settle(const World &world, Timestamp at, const ComputedValues &values = {});

  /// As settled, for whatever computed traits will be.
  OpenTraits open() const;

  /// From then on, claims that count now are too old.
  Timestamp until() const;

  /// {"trait": value}; a trait whose newest value is null is absent.
  std::string traits_json() const;

  /// {"trait": [asserted_at in microseconds since 2000-01-01 UTC, decision_seq]} of the message whose value
  /// it is; of the newest where the value is absent, or made of many.
  std::string origins_json() const;

  struct Governed {
    std::vector<Claim> claims; // by asserted_at, decision_seq
    Verdict of_claims;         // computed traits left out
    Verdict verdict;
    bool decided = false;
  };
  /// By the trait's name.
  const std::map<std::string, Governed, std::less<>> &governed() const { return governed_; }

  struct Golden {
    std::string value; // JSON text; "null" when absent
    Timestamp asserted_at;
    std::int64_t decision_seq;
  };
  /// By the trait's name as a JSON string.
  const std::map<std::string, Golden> &golden() const { return golden_; }

private:
  bool offer(const std::string &raw_key, Golden golden);
  bool assert_one(const Assertion &said, std::string_view raw_key, std::string value,
                  std::vector<Misfit> &misfits);
  void claim(std::string name, Claim claim);

  const Rules *rules_;
  std::map<std::string, Golden> golden_; // by the key as JSON string, quotes included
  std::map<std::string, Governed, std::less<>> governed_;
};

/// In order of time, then of decision.
void add_claim(std::vector<Claim> &claims, Claim claim);

} // namespace cdp::core
