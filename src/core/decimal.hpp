// A JSON number as the exact value that was written: never a double.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace cdp::core {

class Decimal {
public:
  /// `number` must be a valid JSON number.
  explicit Decimal(std::string_view number);

  bool is_integer() const { return digits_.empty() || point_ >= static_cast<std::int64_t>(digits_.size()); }
  /// The same text for the same value: 1.50 and 15e-1 are one.
  std::string text() const;
  bool operator<(const Decimal &other) const;

private:
  bool negative_ = false;
  std::string digits_;     // without zeros at either end; empty: 0
  std::int64_t point_ = 0; // the value is 0.DIGITS times ten to this
};

} // namespace cdp::core
