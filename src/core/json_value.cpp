#include "core/json_value.hpp"

#include "core/json_text.hpp"

#include <algorithm>

namespace cdp::core::json {

namespace {

bool is_number_byte(char c) {
  return (c >= '0' && c <= '9') || c == '.' || c == '-';
}

std::string_view without_zeros(std::string_view number) {
  if (number.find('.') == std::string_view::npos)
    return number;
  while (number.ends_with('0'))
    number.remove_suffix(1);
  if (number.ends_with('.'))
    number.remove_suffix(1);
  return number;
}

// The end of the string that starts at `at`, past its closing quote.
std::size_t string_end(std::string_view value, std::size_t at) {
  for (++at; at < value.size() && value[at] != '"'; ++at)
    at += value[at] == '\\';
  return std::min(at + 1, value.size());
}

// The digits before and after the point, without what says nothing.
struct Plain {
  bool negative = false;
  std::string_view whole, fraction;
  explicit Plain(std::string_view number) {
    negative = number.starts_with('-');
    number.remove_prefix(negative);
    const auto point = std::min(number.find('.'), number.size());
    whole = number.substr(0, point);
    whole.remove_prefix(std::min(whole.find_first_not_of('0'), whole.size()));
    if (point < number.size()) {
      fraction = number.substr(point + 1);
      fraction = fraction.substr(0, fraction.find_last_not_of('0') + 1);
    }
    negative = negative && !(whole.empty() && fraction.empty());
  }
};

int sign(int of) {
  return of < 0 ? -1 : of > 0;
}

} // namespace

std::string equal_form(std::string_view value) {
  std::string form;
  form.reserve(value.size());
  for (std::size_t at = 0; at < value.size();) {
    auto end = at + 1;
    if (value[at] == '"') {
      end = string_end(value, at);
      form.append(value, at, end - at);
    } else if (is_number_byte(value[at])) {
      while (end < value.size() && is_number_byte(value[end]))
        ++end;
      form += without_zeros(value.substr(at, end - at));
    } else {
      form += value[at];
    }
    at = end;
  }
  return form;
}

int compare_numbers(std::string_view one, std::string_view other) {
  const Plain a(one), b(other);
  if (a.negative != b.negative)
    return a.negative ? -1 : 1;
  int order = 0;
  if (a.whole.size() != b.whole.size())
    order = a.whole.size() < b.whole.size() ? -1 : 1;
  else if (order = sign(a.whole.compare(b.whole)); order == 0)
    order = sign(a.fraction.compare(b.fraction)); // one that goes on is larger
  return a.negative ? -order : order;
}

std::string quoted(std::string_view text) {
  return Text().add(text).str();
}

std::size_t characters(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

} // namespace cdp::core::json
