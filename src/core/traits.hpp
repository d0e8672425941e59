// Golden traits of one person: the newest value asserted for each trait, folded one assertion at a time.
// Values are JSON texts; owns its strings, throws std::bad_alloc only.
#pragma once

#include "core/timestamp.hpp"

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace cdp::core {

class Traits {
public:
  Traits() = default;

  /// From their two stored forms, both JSON objects; see traits_json and origins_json.
  Traits(std::string_view traits, std::string_view origins);

  /// One message's traits (a JSON object). The newest asserted_at wins a trait, then the latest decision.
  /// True: a golden value is another now.
  bool assert_all(std::string_view traits, Timestamp asserted_at, std::int64_t decision_seq);

  /// What was asserted about somebody who turned out to be the same person.
  void absorb(const Traits &other);

  /// {"trait": value}; a trait whose newest value is null is absent.
  std::string traits_json() const;

  /// {"trait": [asserted_at in microseconds since 2000-01-01 UTC, decision_seq]}, those that are null too.
  std::string origins_json() const;

private:
  struct Golden {
    std::string value; // JSON text; "null" when the newest assertion was null
    Timestamp asserted_at;
    std::int64_t decision_seq;
  };
  bool offer(const std::string &raw_key, Golden golden);

  std::map<std::string, Golden> golden_; // by the key as JSON string, quotes included
};

} // namespace cdp::core
