// What segments know of one identifier's events, packed: for each event, in order of time, the inputs it
// gives a value to. A tenth of the events' size, and read without touching them.
// Readers point into the bytes they are given; broken bytes end the reading and say so.
#pragma once
#include "core/timestamp.hpp"

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cdp::core {

// What an event says to an input. Points into bytes that it does not own; millions are held at once.
struct InputValue {
  enum class Kind : std::uint8_t { happened, decimal, bytes, null, odd }; // odd: only PostgreSQL can say
  enum class Key : std::uint8_t { none, null, text };

  std::int32_t input = 0;
  Kind kind = Kind::happened;
  Key key_kind = Key::none;
  std::uint8_t scale = 0; // Kind::decimal: mantissa / 10^scale
  union {
    std::int64_t mantissa = 0;
    const char *bytes_start;
  };
  std::uint32_t bytes_size = 0, key_size = 0;
  const char *key_start = nullptr;

  std::string_view bytes() const {
    return kind == Kind::bytes ? std::string_view(bytes_start, bytes_size) : std::string_view();
  }
  std::optional<std::string_view> key() const {
    return key_kind == Key::text ? std::optional(std::string_view(key_start, key_size)) : std::nullopt;
  }
  void set_bytes(std::string_view bytes) {
    kind = Kind::bytes;
    bytes_start = bytes.data();
    bytes_size = static_cast<std::uint32_t>(bytes.size());
  }
  void set_key(std::optional<std::string_view> key) {
    key_kind = key ? Key::text : Key::null;
    if (key) {
      key_start = key->data();
      key_size = static_cast<std::uint32_t>(key->size());
    }
  }
};

void pack(const InputValue &value, std::string &into);

// Walks packed values.
class InputValues {
public:
  explicit InputValues(std::string_view packed) : rest_(packed) {}
  bool next();
  const InputValue &value() const { return value_; }
  bool broken() const { return broken_; }

private:
  std::string_view rest_;
  InputValue value_;
  bool broken_ = false;
};

struct TimelineEvent {
  Timestamp at;
  std::int64_t event_id;
  std::string_view values; // packed
  auto order() const { return std::pair(at, event_id); }
};

// Events of one identifier, or a stretch of them, sorted by time and id.
std::string pack(const std::vector<TimelineEvent> &events);
// Those from an instant on. False: broken bytes.
bool unpack_timeline(std::string_view packed, std::vector<TimelineEvent> &into,
                     Timestamp from = kMinusInfinity);

// 15 digits behind the point at most, no more than fits: nothing otherwise.
struct Decimal {
  std::int64_t mantissa;
  std::uint8_t scale;
};
std::optional<Decimal> parse_decimal(std::string_view text);

} // namespace cdp::core
