#include "core/timeline.hpp"

#include <limits>

namespace cdp::core {

namespace {

void put(std::uint64_t number, std::string &into) {
  for (; number >= 0x80; number >>= 7)
    into += static_cast<char>(number | 0x80);
  into += static_cast<char>(number);
}

void put_signed(std::int64_t number, std::string &into) {
  put((static_cast<std::uint64_t>(number) << 1) ^ static_cast<std::uint64_t>(number >> 63), into);
}

void put(std::string_view bytes, std::string &into) {
  put(bytes.size(), into);
  into += bytes;
}

bool take(std::string_view &rest, std::uint64_t &number) {
  number = 0;
  if (!rest.empty() && static_cast<unsigned char>(rest.front()) < 0x80) { // mostly
    number = static_cast<unsigned char>(rest.front());
    rest.remove_prefix(1);
    return true;
  }
  for (unsigned shift = 0; shift < 64 && !rest.empty(); shift += 7) {
    const auto byte = static_cast<unsigned char>(rest.front());
    rest.remove_prefix(1);
    number |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80)
      return true;
  }
  return false;
}

bool take_signed(std::string_view &rest, std::int64_t &number) {
  std::uint64_t zigzag;
  if (!take(rest, zigzag))
    return false;
  number = static_cast<std::int64_t>(zigzag >> 1) ^ -static_cast<std::int64_t>(zigzag & 1);
  return true;
}

bool take(std::string_view &rest, std::string_view &bytes) {
  std::uint64_t size;
  if (!take(rest, size) || size > rest.size())
    return false;
  bytes = rest.substr(0, size);
  rest.remove_prefix(size);
  return true;
}

// An input's number, what kind its value is, and whether it has a key.
constexpr std::uint64_t kKinds = 8, kKeys = 3;

// Differences may overflow, and overflow back.
std::int64_t minus(std::int64_t a, std::int64_t b) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) - static_cast<std::uint64_t>(b));
}

std::int64_t plus(std::int64_t a, std::int64_t b) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
}

} // namespace

void pack(const InputValue &value, std::string &into) {
  const auto key = static_cast<std::uint64_t>(value.key_kind);
  put((static_cast<std::uint64_t>(value.input) * kKeys + key) * kKinds +
          static_cast<std::uint64_t>(value.kind),
      into);
  if (value.key_kind == InputValue::Key::text)
    put(*value.key(), into);
  if (value.kind == InputValue::Kind::bytes)
    put(value.bytes(), into);
  if (value.kind == InputValue::Kind::decimal) {
    put_signed(value.mantissa, into);
    put(value.scale, into);
  }
}

bool InputValues::next() {
  if (rest_.empty() || broken_)
    return false;
  broken_ = true;
  std::uint64_t head;
  if (!take(rest_, head))
    return false;
  value_ = {};
  const auto kind = head % kKinds, key = head / kKinds % kKeys, input = head / kKinds / kKeys;
  if (kind > static_cast<std::uint64_t>(InputValue::Kind::odd) ||
      input > static_cast<std::uint64_t>(std::numeric_limits<std::int32_t>::max()))
    return false;
  value_.input = static_cast<std::int32_t>(input);
  value_.kind = static_cast<InputValue::Kind>(kind);
  value_.key_kind = static_cast<InputValue::Key>(key);
  std::string_view bytes;
  if (value_.key_kind == InputValue::Key::text) {
    if (!take(rest_, bytes))
      return false;
    value_.set_key(bytes);
  }
  if (value_.kind == InputValue::Kind::bytes) {
    if (!take(rest_, bytes))
      return false;
    value_.set_bytes(bytes);
  }
  if (value_.kind == InputValue::Kind::decimal) {
    std::uint64_t scale;
    if (!take_signed(rest_, value_.mantissa) || !take(rest_, scale) || scale > 18)
      return false;
    value_.scale = static_cast<std::uint8_t>(scale);
  }
  broken_ = false;
  return true;
}

std::string pack(const std::vector<TimelineEvent> &events) {
  std::string packed;
  Timestamp at = 0;
  std::int64_t id = 0;
  for (const auto &event : events) {
    put_signed(minus(event.at, at), packed);
    put_signed(minus(event.event_id, id), packed);
    put(event.values, packed);
    at = event.at;
    id = event.event_id;
  }
  return packed;
}

bool unpack_timeline(std::string_view packed, std::vector<TimelineEvent> &into, Timestamp from) {
  Timestamp at = 0;
  std::int64_t id = 0;
  while (!packed.empty()) {
    std::int64_t later, further;
    std::string_view values;
    if (!take_signed(packed, later) || !take_signed(packed, further) || !take(packed, values))
      return false;
    at = plus(at, later);
    id = plus(id, further);
    if (at >= from)
      into.push_back({at, id, values});
  }
  return true;
}

std::optional<Decimal> parse_decimal(std::string_view text) {
  const bool negative = !text.empty() && text.front() == '-';
  if (negative)
    text.remove_prefix(1);
  if (text.empty())
    return std::nullopt;
  Decimal made{0, 0};
  bool behind = false;
  for (char c : text) {
    if (c == '.' && !behind) {
      behind = true;
      continue;
    }
    if (c < '0' || c > '9' || made.scale == 15 || made.mantissa > 99'999'999'999'999'999)
      return std::nullopt;
    made.mantissa = made.mantissa * 10 + (c - '0');
    made.scale = static_cast<std::uint8_t>(made.scale + behind);
  }
  made.mantissa = negative ? -made.mantissa : made.mantissa;
  return made;
}

} // namespace cdp::core
