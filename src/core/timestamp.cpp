#include "timestamp.hpp"

#include <cstdio>

namespace cdp::core {

namespace {

constexpr std::int64_t kDaysTo2000 = 730'425; // from 0000-03-01 to 2000-01-01

/// Days from 2000-01-01 to a date; years start in March so that the leap day is the last.
constexpr std::int64_t days_from_civil(std::int64_t year, unsigned month, unsigned day) {
  year -= month <= 2;
  const std::int64_t era = (year >= 0 ? year : year - 399) / 400;
  const std::int64_t year_of_era = year - era * 400;
  const std::int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
  return era * 146'097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - kDaysTo2000;
}

static_assert(days_from_civil(2000, 1, 1) == 0);
static_assert(days_from_civil(1970, 1, 1) == -10'957);

struct Civil {
  std::int64_t year;
  unsigned month;
  unsigned day;
};

constexpr Civil civil_from_days(std::int64_t days) {
  days += kDaysTo2000;
  const std::int64_t era = (days >= 0 ? days : days - 146'096) / 146'097;
  const std::int64_t day_of_era = days - era * 146'097;
  const std::int64_t year_of_era =
      (day_of_era - day_of_era / 1'460 + day_of_era / 36'524 - day_of_era / 146'096) / 365;
  const std::int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const auto shifted_month = static_cast<unsigned>((5 * day_of_year + 2) / 153);
  const auto day = static_cast<unsigned>(day_of_year - (153 * shifted_month + 2) / 5 + 1);
  const unsigned month = shifted_month < 10 ? shifted_month + 3 : shifted_month - 9;
  return {era * 400 + year_of_era + (month <= 2), month, day};
}

constexpr unsigned days_in_month(std::int64_t year, unsigned month) {
  if (month == 2)
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28;
  return month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
}

/// Reads the text from left to right; each step says whether it was there.
class Reader {
public:
  explicit Reader(std::string_view text) : rest_(text) {}

  bool done() const { return rest_.empty(); }
  bool next_is_digit() const { return !rest_.empty() && is_digit(rest_.front()); }

  bool accept(char wanted) {
    if (rest_.empty() || rest_.front() != wanted)
      return false;
    rest_.remove_prefix(1);
    return true;
  }

  /// Exactly `width` digits.
  bool number(unsigned width, unsigned &value) {
    if (rest_.size() < width)
      return false;
    unsigned read = 0;
    for (unsigned i = 0; i < width; ++i) {
      if (!is_digit(rest_[i]))
        return false;
      read = read * 10 + static_cast<unsigned>(rest_[i] - '0');
    }
    rest_.remove_prefix(width);
    value = read;
    return true;
  }

  /// 1..9 digits as microseconds; digits past the sixth are cut.
  bool fraction(Timestamp &micros) {
    unsigned digits = 0;
    Timestamp read = 0;
    for (; digits < rest_.size() && is_digit(rest_[digits]); ++digits)
      if (digits < 6)
        read = read * 10 + (rest_[digits] - '0');
    if (digits == 0 || digits > 9)
      return false;
    for (unsigned i = digits; i < 6; ++i)
      read *= 10;
    rest_.remove_prefix(digits);
    micros = read;
    return true;
  }

private:
  static bool is_digit(char c) { return c >= '0' && c <= '9'; }
  std::string_view rest_;
};

/// `HH:MM[:SS[.fraction]]` as microseconds since midnight.
bool read_time(Reader &in, Timestamp &micros) {
  unsigned hour = 0;
  unsigned minute = 0;
  unsigned second = 0;
  Timestamp fraction = 0;
  if (!in.number(2, hour) || !in.accept(':') || !in.number(2, minute))
    return false;
  if (in.accept(':')) {
    if (!in.number(2, second) || (in.accept('.') && !in.fraction(fraction)))
      return false;
  }
  const bool is_midnight = hour == 24 && minute == 0 && second == 0 && fraction == 0; // of the day after
  if ((hour > 23 && !is_midnight) || minute > 59 || second > 60)
    return false;
  micros = ((hour * 60 + minute) * 60 + second) * kMicrosPerSecond + fraction;
  return true;
}

/// `Z`, an offset or nothing, as microseconds east of UTC; below 16 hours, like PostgreSQL.
bool read_offset(Reader &in, Timestamp &micros, bool &has_zone) {
  micros = 0;
  has_zone = !in.done();
  if (in.done() || in.accept('Z'))
    return true;
  const bool west = in.accept('-');
  if (!west && !in.accept('+'))
    return false;
  unsigned hours = 0;
  unsigned minutes = 0;
  if (!in.number(2, hours))
    return false;
  if ((in.accept(':') || in.next_is_digit()) && !in.number(2, minutes))
    return false;
  if (hours > 15 || minutes > 59)
    return false;
  micros = (hours * 60 + minutes) * 60 * kMicrosPerSecond;
  if (west)
    micros = -micros;
  return true;
}

constexpr Timestamp kFirst = days_from_civil(1, 1, 1) * kMicrosPerDay;
constexpr Timestamp kPastLast = days_from_civil(10'000, 1, 1) * kMicrosPerDay;

} // namespace

Timestamp midnight_utc(std::int64_t year, unsigned month, unsigned day) {
  return days_from_civil(year, month, day) * kMicrosPerDay;
}

std::optional<Timestamp> parse_iso8601(std::string_view text, bool *has_zone) {
  bool ignored = false;
  bool &zone = has_zone ? *has_zone : ignored;
  zone = false;
  Reader in(text);
  unsigned year = 0;
  unsigned month = 0;
  unsigned day = 0;
  if (!in.number(4, year) || !in.accept('-') || !in.number(2, month) || !in.accept('-') || !in.number(2, day))
    return std::nullopt;
  if (year < 1 || month < 1 || month > 12 || day < 1 || day > days_in_month(year, month))
    return std::nullopt;
  Timestamp at = days_from_civil(year, month, day) * kMicrosPerDay;
  if (in.done())
    return at;

  Timestamp time_of_day = 0;
  Timestamp offset = 0;
  if (!in.accept('T') && !in.accept(' '))
    return std::nullopt;
  if (!read_time(in, time_of_day) || !read_offset(in, offset, zone) || !in.done())
    return std::nullopt;
  at += time_of_day - offset;
  if (at < kFirst || at >= kPastLast) // an offset or a leap second may leave the range
    return std::nullopt;
  return at;
}

std::string format_iso8601(Timestamp at) {
  if (at == kInfinity)
    return "infinity";
  if (at == kMinusInfinity)
    return "-infinity";
  std::int64_t days = at / kMicrosPerDay;
  Timestamp rest = at % kMicrosPerDay;
  if (rest < 0) {
    rest += kMicrosPerDay;
    --days;
  }
  const Civil date = civil_from_days(days);
  const auto seconds = static_cast<int>(rest / kMicrosPerSecond);
  char text[64];
  const int length =
      std::snprintf(text, sizeof text, "%04lld-%02u-%02uT%02d:%02d:%02d.%06dZ",
                    static_cast<long long>(date.year), date.month, date.day, seconds / 3600,
                    seconds / 60 % 60, seconds % 60, static_cast<int>(rest % kMicrosPerSecond));
  return {text, static_cast<std::size_t>(length)};
}

} // namespace cdp::core
