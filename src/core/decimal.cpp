#include "decimal.hpp"

#include <charconv>

namespace cdp::core {

Decimal::Decimal(std::string_view number) {
  const bool minus = !number.empty() && number.front() == '-';
  number.remove_prefix(minus ? 1 : 0);
  const auto exponent_at = number.find_first_of("eE");
  if (exponent_at != std::string_view::npos) {
    auto exponent = number.substr(exponent_at + 1);
    if (!exponent.empty() && exponent.front() == '+')
      exponent.remove_prefix(1);
    std::from_chars(exponent.data(), exponent.data() + exponent.size(),
                    point_); // jsonb's range is far smaller
    number = number.substr(0, exponent_at);
  }
  const auto dot = number.find('.');
  digits_ = number.substr(0, dot);
  point_ += static_cast<std::int64_t>(digits_.size());
  if (dot != std::string_view::npos)
    digits_ += number.substr(dot + 1);
  const auto first = digits_.find_first_not_of('0');
  if (first == std::string::npos) {
    digits_.clear();
    point_ = 0;
    return;
  }
  negative_ = minus;
  point_ -= static_cast<std::int64_t>(first);
  digits_ = digits_.substr(first, digits_.find_last_not_of('0') + 1 - first);
}

std::string Decimal::text() const {
  return digits_.empty() ? "0" : (negative_ ? "-." : ".") + digits_ + "e" + std::to_string(point_);
}

bool Decimal::operator<(const Decimal &other) const {
  const auto sign = [](const Decimal &one) { return one.digits_.empty() ? 0 : one.negative_ ? -1 : 1; };
  if (sign(*this) != sign(other))
    return sign(*this) < sign(other);
  const Decimal &low = negative_ ? other : *this, &high = negative_ ? *this : other;
  return low.point_ != high.point_ ? low.point_ < high.point_ : low.digits_ < high.digits_;
}

} // namespace cdp::core
