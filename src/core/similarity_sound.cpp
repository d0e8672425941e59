// Cologne phonetics, and dates by their format.
#include "normalize_icu.hpp"
#include "similarity.hpp"
#include "text.hpp"

#include <array>
#include <chrono>

namespace cdp::core {

namespace {

bool is_one_of(char c, std::string_view set) {
  return c != 0 && set.find(c) != std::string_view::npos;
}

/// Small ASCII letters only; ß as ss, umlauts as their vowels.
std::string letters_of(std::string_view text) {
  const auto folded = detail::folded(text);
  std::string letters;
  for (char c : folded.value_or(std::string()))
    if (is_ascii_letter(c))
      letters += ascii_lower(c);
  return letters;
}

/// The digit for a letter between its neighbours; 0 where there is none, "" for h.
std::string_view cologne_digit(char before, char c, char after, bool first) {
  if (is_one_of(c, "aeijouy"))
    return "0";
  if (c == 'b' || (c == 'p' && after != 'h'))
    return "1";
  if (is_one_of(c, "dt"))
    return is_one_of(after, "csz") ? "8" : "2";
  if (is_one_of(c, "fvwp"))
    return "3";
  if (is_one_of(c, "gkq"))
    return "4";
  if (c == 'c') {
    const bool hard = first ? is_one_of(after, "ahkloqrux") : is_one_of(after, "ahkoqux");
    return hard && !is_one_of(before, "sz") ? "4" : "8";
  }
  if (c == 'x')
    return is_one_of(before, "ckq") ? "8" : "48";
  if (c == 'l')
    return "5";
  if (is_one_of(c, "mn"))
    return "6";
  if (c == 'r')
    return "7";
  return is_one_of(c, "sz") ? "8" : "";
}

} // namespace

std::string cologne_phonetics(std::string_view text) {
  const auto letters = letters_of(text);
  std::string code;
  char last = 0; // digits that repeat without a letter of another between count once
  for (std::size_t i = 0; i < letters.size(); ++i) {
    const char before = i > 0 ? letters[i - 1] : '\0', after = i + 1 < letters.size() ? letters[i + 1] : '\0';
    for (char digit : cologne_digit(before, letters[i], after, i == 0)) {
      if (digit != last && (digit != '0' || code.empty()))
        code += digit;
      last = digit;
    }
  }
  return code;
}

namespace {

constexpr std::array<std::string_view, 12> kMonths{"january",   "february", "march",    "april",
                                                   "may",       "june",     "july",     "august",
                                                   "september", "october",  "november", "december"};
constexpr std::string_view kConversions = "YymdjbBHMS%";

struct Moment {
  int year = 1900, month = 1, day = 1, day_of_year = 0, hour = 0, minute = 0, second = 0;
};

/// One to `most` digits.
bool take_number(std::string_view &text, std::size_t most, int &number) {
  std::size_t digits = 0;
  int value = 0;
  while (digits < most && digits < text.size() && is_ascii_digit(text[digits]))
    value = value * 10 + (text[digits++] - '0');
  text.remove_prefix(digits);
  number = value;
  return digits > 0;
}

bool take_month(std::string_view &text, bool whole, int &month) {
  const auto lower = ascii_lower(text);
  for (std::size_t i = 0; i < kMonths.size(); ++i) {
    const auto name = whole ? kMonths[i] : kMonths[i].substr(0, 3);
    if (lower.starts_with(name)) {
      text.remove_prefix(name.size());
      month = static_cast<int>(i) + 1;
      return true;
    }
  }
  return false;
}

bool take(std::string_view &text, char conversion, Moment &moment) {
  switch (conversion) {
  case 'Y':
    return take_number(text, 4, moment.year);
  case 'y': {
    const bool found = take_number(text, 2, moment.year);
    moment.year += moment.year < 69 ? 2000 : 1900; // as POSIX has it
    return found;
  }
  case 'm':
    return take_number(text, 2, moment.month);
  case 'd':
    return take_number(text, 2, moment.day);
  case 'j':
    return take_number(text, 3, moment.day_of_year) && moment.day_of_year > 0;
  case 'b':
  case 'B':
    return take_month(text, conversion == 'B', moment.month);
  case 'H':
    return take_number(text, 2, moment.hour) && moment.hour < 24;
  case 'M':
    return take_number(text, 2, moment.minute) && moment.minute < 60;
  case 'S':
    return take_number(text, 2, moment.second) && moment.second < 60;
  default:
    if (text.empty() || text[0] != conversion)
      return false;
    text.remove_prefix(1);
    return true;
  }
}

bool seconds_of(const Moment &moment, std::int64_t &seconds) {
  using namespace std::chrono;
  const auto in_year = year(moment.year);
  sys_days day;
  if (moment.day_of_year > 0) {
    if (moment.day_of_year > 365 + in_year.is_leap())
      return false;
    day = sys_days(in_year / 1 / 1) + days(moment.day_of_year - 1);
  } else {
    const auto date = in_year / static_cast<unsigned>(moment.month) / static_cast<unsigned>(moment.day);
    if (!date.ok())
      return false;
    day = date;
  }
  seconds = static_cast<std::int64_t>(day.time_since_epoch().count()) * 86400 + moment.hour * 3600 +
            moment.minute * 60 + moment.second;
  return true;
}

} // namespace

bool parse_date(std::string_view text, std::string_view format, std::int64_t &seconds) {
  Moment moment;
  text = trim(text);
  for (std::size_t i = 0; i < format.size(); ++i) {
    const bool converts = format[i] == '%' && i + 1 < format.size() && format[i + 1] != '%';
    if (format[i] == '%')
      ++i;
    if (i == format.size())
      return false;
    if (converts) {
      if (!take(text, format[i], moment))
        return false;
    } else if (text.empty() || text[0] != format[i]) {
      return false;
    } else {
      text.remove_prefix(1);
    }
  }
  return text.empty() && seconds_of(moment, seconds);
}

bool is_date_format(std::string_view format) {
  bool converts = false;
  for (std::size_t i = 0; i < format.size(); ++i)
    if (format[i] == '%') {
      if (++i == format.size() || kConversions.find(format[i]) == std::string_view::npos)
        return false;
      converts = true;
    }
  return converts;
}

} // namespace cdp::core
