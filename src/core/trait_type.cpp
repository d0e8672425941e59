#include "core/trait_type.hpp"

#include "core/json_text.hpp"
#include "core/json_value.hpp"
#include "core/timestamp.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace cdp::core {

namespace {

using json::Kind;

constexpr std::array<std::pair<std::string_view, TraitType>, 9> kTypes{{{"text", TraitType::text},
                                                                        {"integer", TraitType::integer},
                                                                        {"numeric", TraitType::numeric},
                                                                        {"money", TraitType::money},
                                                                        {"boolean", TraitType::boolean},
                                                                        {"date", TraitType::date},
                                                                        {"timestamp", TraitType::timestamp},
                                                                        {"list", TraitType::list},
                                                                        {"object", TraitType::object}}};

using Value = std::optional<std::string>;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ')
    text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ')
    text.remove_suffix(1);
  return text;
}

// A plain decimal, as people and spreadsheets write it: a sign, digits, a point and digits.
Value decimal(std::string_view text) {
  text = trimmed(text);
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+'))
    text.remove_prefix(1);
  const auto point = std::min(text.find('.'), text.size());
  const auto whole = text.substr(0, point), fraction = text.substr(std::min(point + 1, text.size()));
  if (whole.empty() || (point < text.size() && fraction.empty()) ||
      !std::all_of(whole.begin(), whole.end(), is_digit) ||
      !std::all_of(fraction.begin(), fraction.end(), is_digit))
    return std::nullopt;
  const auto plain = json::plain_number((negative ? "-" : "") + std::string(text));
  return plain.empty() ? std::nullopt : Value(plain);
}

Value number(std::string_view value) {
  if (json::kind_of(value) == Kind::number)
    return std::string(value);
  return json::kind_of(value) == Kind::string ? decimal(json::unescape(value)) : std::nullopt;
}

Value integer(std::string_view value) {
  const auto found = number(value);
  if (!found)
    return found;
  const auto whole = json::equal_form(*found);
  return whole.find('.') == std::string::npos ? Value(whole) : std::nullopt;
}

Value text(std::string_view value) {
  switch (json::kind_of(value)) {
  case Kind::string:
    return std::string(value);
  case Kind::number:
  case Kind::boolean:
    return json::quoted(value);
  default:
    return std::nullopt;
  }
}

Value boolean(std::string_view value) {
  const auto kind = json::kind_of(value);
  if (kind == Kind::boolean)
    return std::string(value);
  if (kind != Kind::number && kind != Kind::string)
    return std::nullopt;
  std::string word = kind == Kind::string ? std::string(trimmed(json::unescape(value))) : std::string(value);
  std::transform(word.begin(), word.end(), word.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  const auto is = [&](std::initializer_list<std::string_view> words) {
    return std::find(words.begin(), words.end(), word) != words.end();
  };
  if (is({"true", "t", "yes", "y", "on", "1"}))
    return "true";
  return is({"false", "f", "no", "n", "off", "0"}) ? Value("false") : std::nullopt;
}

// A date may come without its zeros: 2024-1-5.
std::string padded(std::string_view text) {
  std::string made(text.substr(0, std::min(text.find('-'), text.size())));
  for (auto at = made.size(); at < text.size();) {
    auto end = at + 1;
    while (end < text.size() && is_digit(text[end]))
      ++end;
    if (text[at] != '-' || end - at < 2 || end - at > 3)
      return std::string(text);
    made += end - at == 2 ? "-0" : "-";
    made += text.substr(at + 1, end - at - 1);
    at = end;
  }
  return made;
}

std::optional<Timestamp> instant(std::string_view value) {
  if (json::kind_of(value) != Kind::string)
    return std::nullopt;
  const auto written = json::unescape(value);
  const auto said = trimmed(written);
  if (const auto at = parse_iso8601(said))
    return at;
  return parse_iso8601(padded(said));
}

Value timestamp(std::string_view value) {
  const auto at = instant(value);
  return at ? Value(json::quoted(format_iso8601(*at))) : std::nullopt;
}

// The day as it is written, whatever zone it is in: a birthday is the same everywhere.
Value date(std::string_view value) {
  if (!instant(value))
    return std::nullopt;
  const auto written = json::unescape(value);
  return json::quoted(padded(trimmed(written)).substr(0, 10));
}

// A number in the currency of the definition, or {"amount": …, "currency": …} in the same.
Fit money(const TraitDefinition &definition, std::string_view value) {
  std::string_view amount = value;
  if (json::kind_of(value) == Kind::object) {
    amount = json::member(value, "amount");
    if (!definition.unit.empty() && json::text_member(value, "currency") != definition.unit)
      return {{}, "other_currency"};
  }
  const auto found = number(amount);
  return found ? Fit{*found, {}} : Fit{{}, "not_a_number"};
}

Fit made(Value value, std::string_view code) {
  return value ? Fit{std::move(*value), {}} : Fit{{}, code};
}

Fit converted(const TraitDefinition &definition, std::string_view value) {
  switch (definition.type) {
  case TraitType::text:
    return made(text(value), "not_a_text");
  case TraitType::integer:
    return made(integer(value), "not_an_integer");
  case TraitType::numeric:
    return made(number(value), "not_a_number");
  case TraitType::money:
    return money(definition, value);
  case TraitType::boolean:
    return made(boolean(value), "not_a_boolean");
  case TraitType::date:
    return made(date(value), "not_a_date");
  case TraitType::timestamp:
    return made(timestamp(value), "not_a_timestamp");
  case TraitType::list:
    return made(json::kind_of(value) == Kind::array ? Value(value) : std::nullopt, "not_a_list");
  case TraitType::object:
    return made(json::kind_of(value) == Kind::object ? Value(value) : std::nullopt, "not_an_object");
  }
  return {{}, "not_a_text"};
}

} // namespace

std::optional<TraitType> trait_type_from(std::string_view name) {
  for (const auto &[known, type] : kTypes)
    if (known == name)
      return type;
  return std::nullopt;
}

Fit fit(const TraitDefinition &definition, std::string_view value) {
  if (json::kind_of(value) == Kind::null)
    return {"null", {}};
  auto found = converted(definition, value);
  if (found.code.empty() && !definition.allowed.empty() &&
      std::find(definition.allowed.begin(), definition.allowed.end(), json::equal_form(found.value)) ==
          definition.allowed.end())
    return {{}, "not_allowed"};
  return found;
}

std::string hint_for(std::string_view code, const TraitDefinition &definition) {
  if (code == "not_a_text")
    return "Send a text, a number or a boolean.";
  if (code == "not_an_integer")
    return "Send a whole number, or a text such as \"41\".";
  if (code == "not_a_number")
    return "Send a number, or a text with a decimal point such as \"49.95\".";
  if (code == "other_currency")
    return "Send the amount in " + definition.unit + ", or define a trait for the other currency.";
  if (code == "not_a_boolean")
    return "Send true or false, yes or no, 1 or 0.";
  if (code == "not_a_date")
    return "Send a date that exists as year-month-day, such as \"2024-01-05\".";
  if (code == "not_a_timestamp")
    return "Send ISO 8601, such as \"2024-01-05T10:30:00Z\".";
  if (code == "not_a_list")
    return "Send a JSON array.";
  if (code == "not_an_object")
    return "Send a JSON object.";
  return "Send an allowed value, or change the definition: cdp.define_trait(…, allowed_values => …).";
}

} // namespace cdp::core
