#include "normalize_icu.hpp"
#include "text.hpp"

#include <algorithm>
#include <phonenumbers/logger.h>
#include <phonenumbers/phonenumber.pb.h>
#include <phonenumbers/phonenumberutil.h>
#include <set>

namespace cdp::core::detail {

namespace {

using i18n::phonenumbers::PhoneNumber;
using i18n::phonenumbers::PhoneNumberUtil;

/// The library's tables, owned by the library; muted, since its default logger writes to stdout.
const PhoneNumberUtil &phone_util() {
  static const PhoneNumberUtil *const instance = [] {
    PhoneNumberUtil *made = PhoneNumberUtil::GetInstance();
    made->SetLogger(new i18n::phonenumbers::NullLogger); // the library owns it from here
    return made;
  }();
  return *instance;
}

/// A region that libphonenumber knows; "ZZ" stands for none.
std::string known_region(std::string_view region) {
  static const std::set<std::string> known = [] {
    std::set<std::string> regions;
    phone_util().GetSupportedRegions(&regions);
    return regions;
  }();
  std::string code = region_from_country(region);
  return known.contains(code) ? code : "ZZ";
}

/// "0031..." → "+31...": no country has national numbers that start with 00 and a country code.
std::string with_plus(std::string_view text) {
  const std::size_t start = std::min(text.find_first_not_of(" ("), text.size());
  if (text.substr(start, 2) != "00")
    return std::string(text);
  const std::size_t digit = text.find_first_not_of(" )-./", start + 2);
  if (digit == std::string_view::npos || text[digit] < '1' || text[digit] > '9')
    return std::string(text);
  return "+" + std::string(text.substr(digit));
}

std::string parse_reason(PhoneNumberUtil::ErrorType error, bool has_region) {
  switch (error) {
  case PhoneNumberUtil::INVALID_COUNTRY_CODE_ERROR:
    return has_region ? "it starts with no country code there is"
                      : "a number in national form needs a region, and none is known";
  case PhoneNumberUtil::TOO_SHORT_AFTER_IDD:
  case PhoneNumberUtil::TOO_SHORT_NSN:
    return "the number is too short";
  case PhoneNumberUtil::TOO_LONG_NSN:
    return "the number is too long";
  default:
    return "it is not a phone number";
  }
}

/// Why no such number can exist; "" when it can.
std::string impossible_reason(const PhoneNumber &number) {
  switch (phone_util().IsPossibleNumberWithReason(number)) {
  case PhoneNumberUtil::IS_POSSIBLE:
    return {};
  case PhoneNumberUtil::IS_POSSIBLE_LOCAL_ONLY:
    return "the number lacks its area code";
  case PhoneNumberUtil::INVALID_COUNTRY_CODE:
    return "it starts with no country code there is";
  case PhoneNumberUtil::TOO_SHORT:
    return "the number is too short";
  case PhoneNumberUtil::TOO_LONG:
    return "the number is too long";
  default:
    return "no number of its country has this length";
  }
}

} // namespace

NormalizeResult normalize_phone(std::string_view trimmed, std::string_view region) {
  const std::string code = known_region(region);
  const std::string text = with_plus(trimmed);
  const bool international =
      text.starts_with('+') || text.starts_with("\xEF\xBC\x8B"); // U+FF0B, full-width +
  PhoneNumber number;
  const auto error = phone_util().Parse(text, code, &number);
  if (error != PhoneNumberUtil::NO_PARSING_ERROR)
    return Refused{parse_reason(error, code != "ZZ" || international)};
  if (number.has_extension())
    return Refused{"the number has an extension, so it is a switchboard's and not one person's"};
  if (std::string reason = impossible_reason(number); !reason.empty())
    return Refused{std::move(reason)};
  std::string e164;
  phone_util().Format(number, PhoneNumberUtil::E164, &e164);
  return Normalized{std::move(e164)};
}

void warm_phone() {
  known_region("NL");
}

} // namespace cdp::core::detail

namespace cdp::core {

bool is_phone_region(std::string_view region) {
  return detail::known_region(region) != "ZZ";
}

} // namespace cdp::core
