// Small helpers for UTF-8 text that the parser and the normalisers share. Views returned point into the
// argument.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace cdp::core {

bool is_valid_utf8(std::string_view text);

/// The length of the longest valid prefix; slow, for error messages.
std::size_t valid_utf8_prefix(std::string_view text);

/// Without leading and trailing Unicode White_Space and U+FEFF, which JavaScript's trim() removes too.
std::string_view trim(std::string_view text);

/// Unicode White_Space or U+FEFF anywhere, or an ASCII control character.
bool has_space_or_control(std::string_view text);

/// At most `limit` bytes plus "...", cut between characters; for details shown to people.
std::string shorten(std::string_view text, std::size_t limit = 100);

constexpr bool is_ascii_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
constexpr bool is_ascii_digit(char c) {
  return c >= '0' && c <= '9';
}
constexpr char ascii_lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}
constexpr char ascii_upper(char c) {
  return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
}
bool is_ascii(std::string_view text);
std::string ascii_lower(std::string_view text);

/// "nl" → "NL"; "" unless it is two ASCII letters.
std::string region_from_country(std::string_view country);

/// "en-GB", "nl_NL.UTF-8", "zh-Hant-TW" → "GB", "NL", "TW"; "" when it names no country.
std::string region_from_locale(std::string_view locale);

} // namespace cdp::core
