#include "text.hpp"

#include <algorithm>
#include <simdjson.h>

namespace cdp::core {

namespace {

/// Bytes of the white space character that starts (or, for the second, ends) the text; 0 if none does.
std::size_t space_at_start(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  if (text.empty())
    return 0;
  if (byte(0) == ' ' || (byte(0) >= 0x09 && byte(0) <= 0x0D))
    return 1;
  if (byte(0) == 0xC2 && text.size() >= 2)
    return byte(1) == 0x85 || byte(1) == 0xA0 ? 2 : 0; // U+0085 U+00A0
  if (text.size() < 3)
    return 0;
  const unsigned code = (byte(0) & 0x0Fu) << 12 | (byte(1) & 0x3Fu) << 6 | (byte(2) & 0x3Fu);
  if (byte(0) < 0xE0 || byte(0) > 0xEF)
    return 0;
  const bool space = code == 0x1680 || (code >= 0x2000 && code <= 0x200A) || code == 0x2028 ||
                     code == 0x2029 || code == 0x202F || code == 0x205F || code == 0x3000 || code == 0xFEFF;
  return space ? 3 : 0;
}

std::size_t space_at_end(std::string_view text) {
  for (std::size_t width = 1; width <= 3 && width <= text.size(); ++width)
    if (space_at_start(text.substr(text.size() - width)) == width)
      return width;
  return 0;
}

/// Length of the valid UTF-8 sequence at the start, 0 if there is none.
std::size_t utf8_sequence(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned lead = byte(0);
  if (lead < 0x80)
    return 1;
  const std::size_t width = lead >= 0xC2 && lead <= 0xDF   ? 2
                            : lead >= 0xE0 && lead <= 0xEF ? 3
                            : lead >= 0xF0 && lead <= 0xF4 ? 4
                                                           : 0;
  if (width == 0 || text.size() < width)
    return 0;
  for (std::size_t i = 1; i < width; ++i)
    if ((byte(i) & 0xC0) != 0x80)
      return 0;
  const bool overlong = (lead == 0xE0 && byte(1) < 0xA0) || (lead == 0xF0 && byte(1) < 0x90);
  const bool outside = (lead == 0xED && byte(1) >= 0xA0) || (lead == 0xF4 && byte(1) >= 0x90);
  return overlong || outside ? 0 : width;
}

} // namespace

bool is_valid_utf8(std::string_view text) {
  return simdjson::validate_utf8(text.data(), text.size());
}

std::size_t valid_utf8_prefix(std::string_view text) {
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t width = utf8_sequence(text.substr(at));
    if (width == 0)
      break;
    at += width;
  }
  return at;
}

std::string_view trim(std::string_view text) {
  while (const std::size_t width = space_at_start(text))
    text.remove_prefix(width);
  while (const std::size_t width = space_at_end(text))
    text.remove_suffix(width);
  return text;
}

bool has_space_or_control(std::string_view text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c <= 0x20 || c == 0x7F || (c >= 0xC2 && space_at_start(text.substr(i)) != 0))
      return true;
  }
  return false;
}

std::string shorten(std::string_view text, std::size_t limit) {
  if (text.size() <= limit)
    return std::string(text);
  while (limit > 0 && (static_cast<unsigned char>(text[limit]) & 0xC0) == 0x80)
    --limit;
  return std::string(text.substr(0, limit)) + "...";
}

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

std::string ascii_lower(std::string_view text) {
  std::string lower(text);
  for (char &c : lower)
    c = ascii_lower(c);
  return lower;
}

std::string region_from_country(std::string_view country) {
  country = trim(country);
  if (country.size() != 2 || !is_ascii_letter(country[0]) || !is_ascii_letter(country[1]))
    return {};
  return {ascii_upper(country[0]), ascii_upper(country[1])};
}

std::string region_from_locale(std::string_view locale) {
  locale = trim(locale);
  locale = locale.substr(0, locale.find_first_of(".@"));
  for (bool language = true; !locale.empty(); language = false) {
    const std::size_t end = std::min(locale.find_first_of("-_"), locale.size());
    const std::string_view subtag = locale.substr(0, end);
    locale.remove_prefix(std::min(end + 1, locale.size()));
    if (language)
      continue;
    if (subtag.size() == 1) // an extension starts here: "en-u-ca-..." names no country
      return {};
    if (std::string region = region_from_country(subtag); !region.empty())
      return region;
  }
  return {};
}

} // namespace cdp::core
