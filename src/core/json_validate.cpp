// The strict pass: one loop over the text, no recursion, no allocation.
#include "json.hpp"
#include "json_scan.hpp"
#include "text.hpp"

#include <algorithm>
#include <bitset>
#include <climits>

namespace cdp::core::json {

namespace {

constexpr std::size_t kStackSize = 1024;

/// The four hex digits at the start, or -1.
int hex4(std::string_view text) {
  int value = 0;
  if (text.size() < 4)
    return -1;
  for (std::size_t i = 0; i < 4; ++i) {
    const char c = ascii_lower(text[i]);
    if (!is_ascii_digit(c) && (c < 'a' || c > 'f'))
      return -1;
    value = value * 16 + (is_ascii_digit(c) ? c - '0' : c - 'a' + 10);
  }
  return value;
}

/// A number as written, taken apart: jsonb keeps it as numeric, whose range depends on all of this.
struct NumberParts {
  std::size_t integer_digits = 0;
  std::size_t fraction_digits = 0;
  std::size_t leading_zeros = 0; // of integer and fraction digits together
  bool zero = true;
  long exponent = 0; // clamped to ±INT_MAX
};

/// numeric has 131,072 digits before the point and 16,383 after it.
bool fits_numeric(const NumberParts &number) {
  constexpr long exponent_limit = INT_MAX / 2;
  if (number.exponent >= exponent_limit || number.exponent <= -exponent_limit)
    return false;
  if (static_cast<long>(number.fraction_digits) - number.exponent > 16'383)
    return false;
  const long place = static_cast<long>(number.integer_digits) - 1 - static_cast<long>(number.leading_zeros);
  return number.zero || place + number.exponent <= 131'071;
}

class Validator {
public:
  Validator(std::string_view text, std::size_t max_depth)
      : text_(text), max_depth_(std::min(max_depth, kStackSize)) {}

  std::optional<Error> run() {
    if (value() && trailing())
      return std::nullopt;
    return error_;
  }

private:
  bool fail(std::string_view code, std::string_view reason, std::size_t offset) {
    error_ = {code, reason, offset};
    return false;
  }
  bool fail(std::string_view reason) {
    if (at_ >= text_.size())
      return fail("invalid_json", "the text ends inside a JSON value", text_.size());
    return fail("invalid_json", reason, at_);
  }

  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  void skip_space() {
    while (at_ < text_.size() && is_space(text_[at_]))
      ++at_;
  }
  bool accept(char wanted) {
    if (peek() != wanted || at_ >= text_.size())
      return false;
    ++at_;
    return true;
  }

  /// One value with all it holds; a loop over members instead of recursion.
  bool value() {
    for (;;) {
      skip_space();
      const char c = peek();
      if (c == '{' || c == '[') {
        bool empty = false;
        if (!open(c == '{', empty))
          return false;
        if (!empty)
          continue;
      } else if (!scalar(c)) {
        return false;
      }
      bool more = false;
      if (!after_value(more))
        return false;
      if (!more)
        return true;
    }
  }

  /// Enters a container, up to its first value; an empty one is left again.
  bool open(bool object, bool &empty) {
    if (depth_ >= max_depth_)
      return fail("too_deep", "arrays and objects are nested too deeply", at_);
    ++at_;
    is_object_[depth_++] = object;
    skip_space();
    empty = accept(object ? '}' : ']');
    if (empty)
      --depth_;
    else if (object)
      return key();
    return true;
  }

  /// Leaves what ends here; `more` when another value follows in an open container.
  bool after_value(bool &more) {
    while (depth_ > 0) {
      skip_space();
      const bool object = is_object_[depth_ - 1];
      if (accept(',')) {
        more = true;
        skip_space();
        return !object || key();
      }
      if (!accept(object ? '}' : ']'))
        return fail(object ? "a comma or a closing brace was expected"
                           : "a comma or a closing bracket was expected");
      --depth_;
    }
    more = false;
    return true;
  }

  bool key() {
    if (peek() != '"')
      return fail("a key in double quotes was expected");
    if (!string())
      return false;
    skip_space();
    return accept(':') || fail("a colon was expected after a key");
  }

  bool scalar(char c) {
    switch (c) {
    case '"':
      return string();
    case 't':
      return word("true");
    case 'f':
      return word("false");
    case 'n':
      return word("null");
    default:
      return c == '-' || is_ascii_digit(c) ? number() : fail("a JSON value was expected");
    }
  }

  bool word(std::string_view wanted) {
    if (text_.substr(at_, wanted.size()) != wanted)
      return fail("a JSON value was expected");
    at_ += wanted.size();
    return true;
  }

  bool string() {
    ++at_;
    for (;;) {
      at_ = find_string_stop(text_, at_);
      if (accept('"'))
        return true;
      if (peek() != '\\' || at_ >= text_.size())
        return fail("a control character in a string must be escaped");
      if (!escape())
        return false;
    }
  }

  bool escape() {
    const std::size_t start = at_;
    const char c = at_ + 1 < text_.size() ? text_[at_ + 1] : '\0';
    if (c != 'u') {
      if (c == '\0' || std::string_view("\"\\/bfnrt").find(c) == std::string_view::npos)
        return fail("a backslash in a string starts no known escape");
      at_ += 2;
      return true;
    }
    const int unit = hex4(text_.substr(at_ + 2));
    if (unit < 0)
      return fail("four hexadecimal digits were expected after \\u");
    at_ += 6;
    if (unit == 0)
      return fail("invalid_unicode", "PostgreSQL text cannot hold \\u0000", start);
    if (unit < 0xD800 || unit > 0xDFFF)
      return true;
    const int low = text_.substr(at_, 2) == "\\u" ? hex4(text_.substr(at_ + 2)) : -1;
    if (unit >= 0xDC00 || low < 0xDC00 || low > 0xDFFF)
      return fail("invalid_unicode", "a \\u escape is half of a surrogate pair", start);
    at_ += 6;
    return true;
  }

  std::size_t digits(NumberParts &parts) {
    const std::size_t start = at_;
    for (; is_ascii_digit(peek()); ++at_) {
      parts.zero = parts.zero && text_[at_] == '0';
      parts.leading_zeros += parts.zero;
    }
    return at_ - start;
  }

  bool number() {
    const std::size_t start = at_;
    NumberParts parts;
    accept('-');
    const bool leading_zero = peek() == '0';
    parts.integer_digits = digits(parts);
    bool good = parts.integer_digits == 1 || (parts.integer_digits > 1 && !leading_zero);
    if (good && accept('.')) {
      parts.fraction_digits = digits(parts);
      good = parts.fraction_digits > 0;
    }
    if (good && (peek() == 'e' || peek() == 'E'))
      good = exponent(parts);
    if (!good)
      return fail("invalid_json", "a number is not written as JSON wants it", start);
    return fits_numeric(parts) ||
           fail("invalid_number", "a number is outside what PostgreSQL's numeric holds", start);
  }

  bool exponent(NumberParts &parts) {
    ++at_;
    const bool negative = accept('-');
    if (!negative)
      accept('+');
    const std::size_t start = at_;
    for (; is_ascii_digit(peek()); ++at_)
      parts.exponent = std::min<long>(parts.exponent * 10 + (text_[at_] - '0'), INT_MAX);
    if (negative)
      parts.exponent = -parts.exponent;
    return at_ > start;
  }

  bool trailing() {
    skip_space();
    return at_ == text_.size() || fail("there is text after the JSON value");
  }

  std::string_view text_;
  std::size_t max_depth_;
  std::size_t at_ = 0;
  std::size_t depth_ = 0;
  std::bitset<kStackSize> is_object_;
  Error error_{};
};

} // namespace

std::optional<Error> validate(std::string_view text, std::size_t max_depth) {
  if (is_valid_utf8(text))
    return Validator(text, max_depth).run();
  const std::size_t good = valid_utf8_prefix(text);
  auto error = Validator(text.substr(0, good), max_depth).run(); // an earlier fault is the one to name
  if (!error || error->offset >= good)
    error = Error{"invalid_unicode", "the text is not valid UTF-8", good};
  return error;
}

} // namespace cdp::core::json
