// A condition over a few integers and booleans, such as ($1 >= 3 AND $1 * 10 >= $2 * 4), worked out without
// PostgreSQL: in any thread. Says what PostgreSQL would say, or that it cannot.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <vector>

namespace cdp::pg {

class Expression;

class IntegerRule {
public:
  static constexpr std::size_t kMostValues = 8;
  static constexpr std::int64_t kNull = INT64_MIN;
  using Values = std::array<std::int64_t, kMostValues>; // kNull: NULL

  // None when there is more to it. The parameter numbered `first` is the first of the values.
  static std::optional<IntegerRule> of(const Expression &expression, int first);

  enum class Said : std::int8_t { no, yes, null, beyond }; // beyond: an integer would not hold a result
  Said evaluate(const Values &values) const;

private:
  enum class Does : std::int8_t {
    value,
    constant,
    eq,
    ne,
    lt,
    le,
    gt,
    ge,
    add,
    subtract,
    multiply,
    both,
    either,
    negate
  };
  struct Step {
    Does does;
    std::int64_t operand;
  };
  static constexpr std::size_t kMostDepth = 16;
  struct Making;

  std::vector<Step> steps_; // operands first
};

} // namespace cdp::pg
