#include "core/json_text.hpp"

#include <charconv>

namespace cdp::core::json {

namespace {

std::int64_t to_number(std::string_view text) {
  std::int64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

void add_quoted(std::string &out, std::string_view text) {
  static const char *kHex = "0123456789abcdef";
  out += '"';
  for (char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += "\\u00";
      out += kHex[(c >> 4) & 15];
      out += kHex[c & 15];
    } else {
      out += c;
    }
  }
  out += '"';
}

} // namespace

void Text::separate() {
  if (!after_key_ && !out_.empty() && out_.back() != '{' && out_.back() != '[')
    out_ += ", ";
  after_key_ = false;
}

Text &Text::open(char bracket) {
  separate();
  out_ += bracket;
  closers_ += bracket == '{' ? '}' : ']';
  return *this;
}

Text &Text::close() {
  out_ += closers_.back();
  closers_.pop_back();
  return *this;
}

Text &Text::key(std::string_view name) {
  separate();
  add_quoted(out_, name);
  out_ += ": ";
  after_key_ = true;
  return *this;
}

Text &Text::add(std::string_view text) {
  separate();
  add_quoted(out_, text);
  return *this;
}

Text &Text::add(std::int64_t number) {
  separate();
  out_ += std::to_string(number);
  return *this;
}

Text &Text::add(bool value) {
  separate();
  out_ += value ? "true" : "false";
  return *this;
}

Text &Text::add(const std::vector<std::string> &texts) {
  open('[');
  for (const auto &text : texts)
    add(std::string_view(text));
  return close();
}

Text &Text::add(const std::vector<std::int64_t> &numbers) {
  open('[');
  for (auto number : numbers)
    add(number);
  return close();
}

std::string_view member(std::string_view object, std::string_view name) {
  if (object.empty())
    return {};
  for (Cursor each(object); each.next();)
    if (key_is(each.raw_key(), name))
      return each.value();
  return {};
}

std::string text_member(std::string_view object, std::string_view name) {
  const auto value = member(object, name);
  return value.empty() || value == "null" ? std::string() : unescape(value);
}

std::int64_t number_member(std::string_view object, std::string_view name) {
  return to_number(member(object, name));
}

bool true_member(std::string_view object, std::string_view name) {
  return member(object, name) == "true";
}

std::vector<std::string_view> elements(std::string_view array) {
  std::vector<std::string_view> found;
  if (!array.empty())
    for (Cursor each(array); each.next();)
      found.push_back(each.value());
  return found;
}

std::vector<std::string> texts_member(std::string_view object, std::string_view name) {
  std::vector<std::string> texts;
  for (auto value : elements(member(object, name)))
    texts.push_back(unescape(value));
  return texts;
}

std::vector<std::int64_t> numbers_member(std::string_view object, std::string_view name) {
  std::vector<std::int64_t> numbers;
  for (auto value : elements(member(object, name)))
    numbers.push_back(to_number(value));
  return numbers;
}

} // namespace cdp::core::json
