// How the message parser and the batch splitter word what they refuse. Private to core.
#pragma once

#include "json.hpp"
#include "message.hpp"
#include "text.hpp"

namespace cdp::core::detail {

inline Rejection rejection(std::string_view code, std::string reason, std::string detail = {}) {
  return {std::string(code), std::move(reason), std::move(detail), {}};
}

inline Rejection too_large(std::size_t bytes) {
  return rejection("too_large", "the JSON text is larger than " + std::to_string(kMaxJsonBytes) + " bytes",
                   std::to_string(bytes) + " bytes");
}

/// The start of a text that may be anything, as something that can be stored.
inline std::string show(std::string_view text, std::size_t limit) {
  text = text.substr(0, limit + 8);
  std::string shown = shorten(text.substr(0, valid_utf8_prefix(text)), limit); // a broken character ends it
  for (char &c : shown)
    c = static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  return shown;
}

/// For a fault the strict pass found; `text` is what it looked at.
inline Rejection broken(const json::Error &error, std::string_view text) {
  std::string detail = "at byte " + std::to_string(error.offset + 1);
  const std::string shown = show(text.substr(error.offset), 40);
  if (!shown.empty())
    detail += ": " + shown;
  return rejection(error.code, std::string(error.reason), std::move(detail));
}

/// "`userId` must be a string or a number" with what it is instead.
inline Rejection wrong_kind(std::string_view field, std::string_view wanted, std::string_view value) {
  return rejection("invalid_field", "`" + std::string(field) + "` must be " + std::string(wanted),
                   std::string(field) + " is of JSON type " +
                       std::string(json::to_string(json::kind_of(value))) + ": " + show(value, 100));
}

inline Rejection bad_timestamp(std::string_view field, std::string_view value) {
  return rejection("invalid_timestamp",
                   "`" + std::string(field) + "` must be an ISO 8601 date and time in the years 1900 to 9999",
                   std::string(field) + " is " + shorten(value));
}

/// A timestamp field's value as written; nothing when it is not a string with an instant of 1900..9999.
std::optional<Timestamp> read_instant(std::string_view value, bool *has_zone = nullptr);

} // namespace cdp::core::detail
