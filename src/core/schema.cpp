#include "schema.hpp"

#include "json.hpp"
#include "schema_node.hpp"
#include "text.hpp"
#include "timestamp.hpp"

#include <algorithm>

namespace cdp::core {

namespace {

using json::Cursor;
using json::Kind;
using json::kind_of;
using Node = Schema::Node;

constexpr std::int32_t kMostSteps = 100; // of the regular expression engine, about a millisecond each
constexpr std::int32_t kMostStack = 1 << 20;

unsigned type_bits(std::string_view value) {
  switch (kind_of(value)) {
  case Kind::boolean:
    return Node::boolean;
  case Kind::object:
    return Node::object;
  case Kind::array:
    return Node::array;
  case Kind::number:
    return Node::number | (Decimal(value).is_integer() ? Node::integer : 0u);
  case Kind::string:
    return Node::string;
  case Kind::null:
    break;
  }
  return Node::null;
}

std::string inside(const std::string &place, const std::string &name) {
  return place.empty() ? shorten(name) : place + '.' + shorten(name);
}

/// Found somewhere in it, as JSON Schema has it. What takes too long does not match.
bool matches(const icu::RegexPattern &pattern, const std::string &text) {
  UErrorCode status = U_ZERO_ERROR;
  const auto input = icu::UnicodeString::fromUTF8(text);
  const std::unique_ptr<icu::RegexMatcher> matcher(pattern.matcher(input, status));
  if (U_FAILURE(status))
    return false;
  matcher->setTimeLimit(kMostSteps, status);
  matcher->setStackLimit(kMostStack, status);
  const bool found = matcher->find(status);
  return U_SUCCESS(status) && found;
}

bool is_uuid(const std::string &text) {
  if (text.size() != 36)
    return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    const char c = ascii_lower(text[i]);
    if (dash ? c != '-' : !is_ascii_digit(c) && (c < 'a' || c > 'f'))
      return false;
  }
  return true;
}

bool has_format(Node::Format format, const std::string &text) {
  switch (format) {
  case Node::Format::date_time:
    return text.size() > 10 && parse_iso8601(text);
  case Node::Format::date:
    return text.size() == 10 && parse_iso8601(text);
  case Node::Format::email: {
    const auto at = text.find('@');
    return at != 0 && at != std::string::npos && at + 1 < text.size() &&
           text.find('@', at + 1) == std::string::npos && !has_space_or_control(text);
  }
  case Node::Format::uuid:
    return is_uuid(text);
  case Node::Format::none:
    break;
  }
  return true;
}

class Checker {
public:
  explicit Checker(Violations &violations) : violations_(violations) {}

  void check(const Node &node, std::string_view value, const std::string &place) {
    if (node.allows_nothing)
      return violations_.add(place, "false", value);
    const unsigned types = type_bits(value);
    if (node.types && !(node.types & types))
      violations_.add(place, "type", value);
    if (node.choices && !node.choices->contains(canonical_json(value)))
      violations_.add(place, "enum", value);
    if (types & Node::number)
      check_number(node, value, place);
    else if (types & Node::string)
      check_string(node, value, place);
    else if (types & Node::object)
      check_object(node, value, place);
    else if (types & Node::array && node.items)
      for (Cursor cursor(value); cursor.next();)
        check(*node.items, cursor.value(), place + "[]");
  }

private:
  void check_number(const Node &node, std::string_view value, const std::string &place) {
    if (node.minimum && Decimal(value) < *node.minimum)
      violations_.add(place, "minimum", value);
    if (node.maximum && *node.maximum < Decimal(value))
      violations_.add(place, "maximum", value);
  }

  void check_string(const Node &node, std::string_view value, const std::string &place) {
    if (node.pattern && !matches(*node.pattern, json::unescape(value)))
      violations_.add(place, "pattern", value);
    if (node.format != Node::Format::none && !has_format(node.format, json::unescape(value)))
      violations_.add(place, "format", value);
  }

  void check_object(const Node &node, std::string_view value, const std::string &place) {
    const auto members = members_of(value);
    for (const auto &name : node.required)
      if (!members.contains(name))
        violations_.add(inside(place, name), "required", "");
    for (const auto &[name, member] : members) {
      if (const auto known = node.properties.find(name); known != node.properties.end())
        check(known->second, member, inside(place, name));
      else if (node.additional && node.additional->allows_nothing)
        violations_.add(inside(place, name), "additionalProperties", member);
      else if (node.additional)
        check(*node.additional, member, inside(place, name));
    }
  }

  Violations &violations_;
};

} // namespace

void Violations::add(std::string place, std::string_view keyword, std::string_view found) {
  if (all_.size() < kMost || all_.contains({place, std::string(keyword)}))
    all_.emplace(std::pair(std::move(place), std::string(keyword)), shorten(found));
  else
    all_.emplace(std::pair(std::string(), std::string("more")), std::string());
}

std::map<std::string, std::string_view> members_of(std::string_view object) {
  std::map<std::string, std::string_view> members;
  for (Cursor cursor(object); cursor.next();)
    members[json::unescape(cursor.raw_key())] = cursor.value();
  return members;
}

std::string canonical_json(std::string_view value) {
  const auto quoted = [](const std::string &text) { return std::to_string(text.size()) + ':' + text; };
  switch (kind_of(value)) {
  case Kind::number:
    return Decimal(value).text();
  case Kind::string:
    return '"' + quoted(json::unescape(value));
  case Kind::array: {
    std::string text = "[";
    for (Cursor cursor(value); cursor.next();)
      text += quoted(canonical_json(cursor.value()));
    return text + ']';
  }
  case Kind::object: {
    std::string text = "{";
    for (const auto &[name, member] : members_of(value))
      text += quoted(name) + quoted(canonical_json(member));
    return text + '}';
  }
  default:
    return std::string(value);
  }
}

void Schema::check(std::string_view value, Violations &violations, const std::string &place) const {
  Checker(violations).check(*root_, value, place);
}

} // namespace cdp::core
