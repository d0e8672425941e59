#include "json.hpp"

#include "json_scan.hpp"
#include "text.hpp"

#include <algorithm>
#include <charconv>

namespace cdp::core::json {

namespace {

void append_utf8(std::string &out, unsigned code) {
  const auto put = [&out](unsigned byte) { out.push_back(static_cast<char>(byte)); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0 | code >> 6);
    put(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    put(0xE0 | code >> 12);
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  } else {
    put(0xF0 | code >> 18);
    put(0x80 | (code >> 12 & 0x3F));
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  }
}

/// The hex digits of a validated \u escape.
unsigned escape_unit(std::string_view text, std::size_t at) {
  unsigned unit = 0;
  for (std::size_t i = at; i < at + 4 && i < text.size(); ++i) {
    const char c = ascii_lower(text[i]);
    unit = unit * 16 + static_cast<unsigned>(is_ascii_digit(c) ? c - '0' : c - 'a' + 10) % 16;
  }
  return unit;
}

/// Appends what the escape at `at` means; returns where it ends.
std::size_t append_escape(std::string &out, std::string_view text, std::size_t at) {
  static constexpr std::string_view names = "bfnrt", meanings = "\b\f\n\r\t";
  const char c = at + 1 < text.size() ? text[at + 1] : '\\';
  if (c != 'u') {
    const std::size_t index = names.find(c);
    out.push_back(index == std::string_view::npos ? c : meanings[index]);
    return at + 2;
  }
  unsigned code = escape_unit(text, at + 2);
  if (code < 0xD800 || code > 0xDBFF) {
    append_utf8(out, code);
    return at + 6;
  }
  code = 0x10000 + ((code - 0xD800) << 10) + ((escape_unit(text, at + 8) - 0xDC00) & 0x3FF);
  append_utf8(out, code);
  return at + 12;
}

} // namespace

std::string_view to_string(Kind kind) {
  switch (kind) {
  case Kind::null:
    return "null";
  case Kind::boolean:
    return "boolean";
  case Kind::number:
    return "number";
  case Kind::string:
    return "string";
  case Kind::array:
    return "array";
  case Kind::object:
    return "object";
  }
  return "null";
}

Kind kind_of(std::string_view value) {
  const char c = value.empty() ? 'n' : value.front();
  switch (c) {
  case '{':
    return Kind::object;
  case '[':
    return Kind::array;
  case '"':
    return Kind::string;
  case 't':
  case 'f':
    return Kind::boolean;
  default:
    return c == '-' || is_ascii_digit(c) ? Kind::number : Kind::null;
  }
}

std::string_view trim_space(std::string_view text) {
  while (!text.empty() && is_space(text.front()))
    text.remove_prefix(1);
  while (!text.empty() && is_space(text.back()))
    text.remove_suffix(1);
  return text;
}

std::string unescape(std::string_view value) {
  if (value.size() < 2)
    return {};
  const std::string_view text = value.substr(1, value.size() - 2);
  std::size_t at = text.find('\\');
  if (at == std::string_view::npos)
    return std::string(text);
  std::string out;
  out.reserve(text.size());
  for (std::size_t from = 0; from < text.size();) {
    at = std::min(text.find('\\', from), text.size());
    out.append(text, from, at - from);
    from = at < text.size() ? append_escape(out, text, at) : at;
  }
  return out;
}

bool key_is(std::string_view raw_key, std::string_view name) {
  if (raw_key.size() == name.size() + 2)
    return raw_key.substr(1, name.size()) == name;
  // only escapes can make a longer text mean a shorter name
  return raw_key.size() > name.size() + 2 && raw_key.find('\\') != std::string_view::npos &&
         unescape(raw_key) == name;
}

inline void Cursor::skip_space() {
  while (at_ < text_.size() && is_space(text_[at_]))
    ++at_;
}

Cursor::Cursor(std::string_view container) : text_(container) {
  if (text_.empty() || (text_.front() != '{' && text_.front() != '[')) {
    done_ = broken_ = true;
    return;
  }
  object_ = text_.front() == '{';
  at_ = 1;
}

bool Cursor::fail() {
  done_ = broken_ = true;
  return false;
}

bool Cursor::next() {
  if (done_)
    return false;
  skip_space();
  if (at_ < text_.size() && text_[at_] == (object_ ? '}' : ']')) {
    ++at_;
    done_ = true;
    return false;
  }
  if (!first_) {
    if (at_ >= text_.size() || text_[at_] != ',')
      return fail();
    ++at_;
    skip_space();
  }
  first_ = false;
  if (object_) {
    has_escape_ = false;
    if (!take_string(key_))
      return fail();
    key_has_escape_ = has_escape_;
    skip_space();
    if (at_ >= text_.size() || text_[at_] != ':')
      return fail();
    ++at_;
    skip_space();
  }
  return take_value() || fail();
}

bool Cursor::take_string(std::string_view &slice) {
  const std::size_t start = at_;
  if (at_ >= text_.size() || text_[at_] != '"')
    return false;
  ++at_;
  while (at_ < text_.size()) {
    at_ = find_string_stop(text_, at_);
    if (at_ >= text_.size())
      return false;
    if (text_[at_] == '"') {
      slice = text_.substr(start, ++at_ - start);
      return true;
    }
    const bool escape = text_[at_] == '\\';
    has_escape_ |= escape;
    at_ += escape ? 2 : 1; // a bare control character is the strict pass's business
  }
  return false;
}

bool Cursor::take_value() {
  if (at_ >= text_.size())
    return false;
  const std::size_t start = at_;
  const char c = text_[at_];
  if (c == '"')
    return take_string(value_);
  if (c == '{' || c == '[') {
    if (!skip_container())
      return false;
  } else {
    while (at_ < text_.size() && !is_space(text_[at_]) && text_[at_] != ',' && text_[at_] != '}' &&
           text_[at_] != ']')
      ++at_;
    if (at_ == start)
      return false;
  }
  value_ = text_.substr(start, at_ - start);
  return true;
}

bool Cursor::skip_container() {
  std::size_t depth = 0;
  std::string_view ignored;
  while (at_ < text_.size()) {
    switch (text_[at_]) {
    case '"':
      if (!take_string(ignored))
        return false;
      continue;
    case '{':
    case '[':
      ++depth;
      break;
    case '}':
    case ']':
      if (--depth == 0) {
        ++at_;
        return true;
      }
      break;
    default:
      break;
    }
    ++at_;
  }
  return false;
}

std::string plain_number(std::string_view number) {
  constexpr long kMost = 255;
  const bool negative = number.starts_with('-');
  if (negative)
    number.remove_prefix(1);
  long exponent = 0;
  if (const auto e = number.find_first_of("eE"); e != std::string_view::npos) {
    auto digits = number.substr(e + 1);
    if (digits.starts_with('+'))
      digits.remove_prefix(1);
    const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), exponent);
    if (result.ec != std::errc() || exponent > kMost || exponent < -kMost)
      return {};
    number = number.substr(0, e);
  }
  const auto point = std::min(number.find('.'), number.size());
  std::string digits(number.substr(0, point));
  if (point < number.size())
    digits += number.substr(point + 1);
  long whole = static_cast<long>(point) + exponent; // how many digits stand before the point
  if (whole < 1)
    digits.insert(0, static_cast<std::size_t>(1 - whole), '0'), whole = 1;
  if (whole > static_cast<long>(digits.size()))
    digits.append(static_cast<std::size_t>(whole) - digits.size(), '0');
  std::string before = digits.substr(0, static_cast<std::size_t>(whole));
  const std::string after = digits.substr(static_cast<std::size_t>(whole));
  before.erase(0, std::min(before.find_first_not_of('0'), before.size() - 1));
  const bool zero = digits.find_first_not_of('0') == std::string::npos;
  std::string plain = (negative && !zero ? "-" : "") + before + (after.empty() ? "" : "." + after);
  return plain.size() > static_cast<std::size_t>(kMost) ? std::string() : plain;
}

} // namespace cdp::core::json
