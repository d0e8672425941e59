// What a trait is defined to be, and how what was said about it becomes such a value. What was said is never
// changed: a definition is applied when profiles are folded. Nothing here throws but std::bad_alloc.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cdp::core {

enum class TraitType { text, integer, numeric, money, boolean, date, timestamp, list, object };

std::optional<TraitType> trait_type_from(std::string_view name);

struct TraitDefinition {
  TraitType type = TraitType::text;
  std::string unit;                 // of money the currency
  std::vector<std::string> allowed; // JSON values in equal_form; empty: any
};

struct Fit {
  std::string value;     // as the definition has it; meaningful without a code
  std::string_view code; // empty: it fits; else a stable name of the reason, such as not_a_number
};

/// `value` is JSON as jsonb prints it. Null fits everything.
Fit fit(const TraitDefinition &definition, std::string_view value);

/// What to do about a value that does not fit.
std::string hint_for(std::string_view code, const TraitDefinition &definition);

} // namespace cdp::core
