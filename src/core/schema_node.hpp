// A compiled schema. Private to core.
#pragma once

#include "decimal.hpp"
#include "schema.hpp"

#include <optional>
#include <set>
#include <unicode/regex.h>
#include <vector>

namespace cdp::core {

struct Schema::Node {
  enum Type : unsigned {
    null = 1,
    boolean = 2,
    object = 4,
    array = 8,
    number = 16,
    string = 32,
    integer = 64
  };
  enum class Format { none, date_time, date, email, uuid };

  bool allows_nothing = false;
  unsigned types = 0; // 0: any
  std::string type_text;
  std::optional<std::set<std::string>> choices; // canonical
  std::vector<std::string> required;
  std::map<std::string, Node, std::less<>> properties;
  std::unique_ptr<Node> additional, items;
  std::optional<Decimal> minimum, maximum;
  std::unique_ptr<icu::RegexPattern> pattern;
  Format format = Format::none;
};

/// The same text for values that are equal: keys sorted, numbers by value, the last of duplicate keys.
std::string canonical_json(std::string_view value);

/// The members of an object by name; of duplicates the last.
std::map<std::string, std::string_view> members_of(std::string_view object);

} // namespace cdp::core
