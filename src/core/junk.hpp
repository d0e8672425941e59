// Values that identify nobody: what forms, SDKs and exports send when there is nothing to send. Two people
// who both have one must not become one person.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

namespace cdp::core {

struct JunkValue {
  std::string_view value;      // in lower case; of a pattern, its description in parentheses
  std::string_view applies_to; // a type of identifier, or "" for all
  std::string_view why;        // a phrase for people
};

/// Why this value of an identifier of this type, raw or normalised, identifies nobody; nothing when it may
/// identify somebody. Case and white space around it do not matter.
std::optional<std::string_view> junk_reason(std::string_view type, std::string_view value);

/// All there is: the values, then the patterns.
std::vector<JunkValue> junk_list();

} // namespace cdp::core
