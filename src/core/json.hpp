// JSON as text slices: one strict pass that accepts what jsonb accepts, and bounded cursors that hand out
// slices without changing a byte (numbers never become doubles). Slices point into the argument and own
// nothing. simdjson's DOM refuses 1e400 and its on-demand API skips unchecked, so the pass is our own; the
// unit tests and the fuzzer hold it against simdjson. Only unescape and shorten allocate.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace cdp::core::json {

enum class Kind { null, boolean, number, string, array, object };

std::string_view to_string(Kind kind);

struct Error {
  std::string_view code; // invalid_json, invalid_unicode, invalid_number, too_deep
  std::string_view reason;
  std::size_t offset; // of the byte at fault
};

/// Nothing when the text is exactly one value that PostgreSQL casts to jsonb. Does not check the size.
std::optional<Error> validate(std::string_view text, std::size_t max_depth);

/// The kind of a value that starts without white space; an empty or broken value counts as null.
Kind kind_of(std::string_view value);

std::string_view trim_space(std::string_view text);

/// The text of a validated string value, its quotes included in the argument.
std::string unescape(std::string_view value);

/// A number without its exponent, as jsonb prints it: 1e2 is 100, 1.0e1 is 10, 1.50 stays. Empty when it
/// would have more than 255 characters.
std::string plain_number(std::string_view number);

/// True when a key as written (quotes included) spells `name`; escapes are understood.
bool key_is(std::string_view raw_key, std::string_view name);

/// Walks the members of an object or the elements of an array. On unchecked text it stops at the first byte
/// that makes no sense to it and never reads outside; `broken()` then says so.
class Cursor {
public:
  /// `container` starts with its bracket; `Cursor` must not outlive the text.
  explicit Cursor(std::string_view container);

  /// Moves to the next member; false at the end.
  bool next();
  std::string_view raw_key() const { return key_; } // with quotes; empty in arrays
  bool key_is(std::string_view name) const {
    return key_.size() == name.size() + 2 ? key_.substr(1, name.size()) == name
                                          : key_has_escape_ && json::key_is(key_, name);
  }
  std::string_view value() const { return value_; }
  bool broken() const { return broken_; }
  /// Where the container's text ends, after its closing bracket; meaningful once next() returned false.
  std::size_t end_offset() const { return at_; }

private:
  bool fail();
  void skip_space();
  bool take_string(std::string_view &slice);
  bool take_value();
  bool skip_container();

  std::string_view text_;
  std::string_view key_;
  std::string_view value_;
  std::size_t at_ = 0;
  bool object_ = false;
  bool has_escape_ = false, key_has_escape_ = false;
  bool first_ = true;
  bool done_ = false;
  bool broken_ = false;
};

} // namespace cdp::core::json
