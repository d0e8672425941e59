// JSON values compared: equality as jsonb has it, and the order of plain numbers. Values are texts as jsonb
// prints them, without exponents. Nothing here throws but std::bad_alloc.
#pragma once

#include <string>
#include <string_view>

namespace cdp::core::json {

/// The same text for equal values: 1.50 and 1.5 are one number, also inside arrays and objects.
std::string equal_form(std::string_view value);

/// Below 0, 0 or above 0, for two plain numbers of any length.
int compare_numbers(std::string_view one, std::string_view other);

/// A text as a JSON string, quotes included.
std::string quoted(std::string_view text);

/// How many characters a UTF-8 text has.
std::size_t characters(std::string_view text);

} // namespace cdp::core::json
