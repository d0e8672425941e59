// The name that somebody may have meant.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cdp::core {

// Letters to add, leave out, change or swap with their neighbour; upper and lower case are the same.
std::size_t misspelling(std::string_view one, std::string_view other);

// The closest of them, the first of equals; nothing when none is alike.
std::optional<std::string> nearest(std::string_view name, const std::vector<std::string> &known);

} // namespace cdp::core
