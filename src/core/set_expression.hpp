// What people write about sets: names, & (both), | (either), - (not the other), parentheses.
#pragma once
#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace cdp::core {

struct SetSyntaxError : std::runtime_error {
  SetSyntaxError(const std::string &message, std::size_t where)
      : std::runtime_error(message), position(where) {}
  std::size_t position; // of the offending character, from 0
};

// Names once each, and what to do with them on a stack: a name's number, or an operator.
struct SetExpression {
  static constexpr int both = -1, either = -2, without = -3;
  std::vector<std::string> names;
  std::vector<int> program;
};

// & binds tighter than | and -, which go from left to right, as INTERSECT, UNION and EXCEPT do.
SetExpression parse_set_expression(std::string_view text);

} // namespace cdp::core
