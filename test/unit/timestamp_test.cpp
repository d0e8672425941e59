#include "timestamp.hpp"

#include <gtest/gtest.h>
#include <random>

namespace cdp::core {
namespace {

struct Written {
  const char *text;
  const char *instant;
};

class Accepts : public testing::TestWithParam<Written> {};

TEST_P(Accepts, GivesTheInstant) {
  const auto at = parse_iso8601(GetParam().text);
  ASSERT_TRUE(at.has_value()) << GetParam().text;
  EXPECT_EQ(format_iso8601(*at), GetParam().instant) << GetParam().text;
}

INSTANTIATE_TEST_SUITE_P(
    Iso8601, Accepts,
    testing::Values(Written{"2025-04-02T05:37:22.472Z", "2025-04-02T05:37:22.472000Z"},
                    Written{"2025-04-02", "2025-04-02T00:00:00.000000Z"},
                    Written{"2025-04-02 05:37:22", "2025-04-02T05:37:22.000000Z"},
                    Written{"2025-04-02T05:37Z", "2025-04-02T05:37:00.000000Z"},
                    Written{"2025-04-02T05:37:22.1Z", "2025-04-02T05:37:22.100000Z"},
                    Written{"2025-04-02T05:37:22.123456789Z", "2025-04-02T05:37:22.123456Z"},
                    Written{"2025-04-02T05:37:22.9999999Z", "2025-04-02T05:37:22.999999Z"},
                    Written{"2025-04-02T05:37:22+02", "2025-04-02T03:37:22.000000Z"},
                    Written{"2025-04-02T05:37:22+0200", "2025-04-02T03:37:22.000000Z"},
                    Written{"2025-04-02T05:37:22+02:00", "2025-04-02T03:37:22.000000Z"},
                    Written{"2025-04-02T22:37:22.5-09:30", "2025-04-03T08:07:22.500000Z"},
                    Written{"2025-04-02T05:37:22-00:00", "2025-04-02T05:37:22.000000Z"},
                    Written{"2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000000Z"},
                    Written{"2016-12-31T23:59:60.5Z", "2017-01-01T00:00:00.500000Z"},
                    Written{"2025-04-02T24:00:00Z", "2025-04-03T00:00:00.000000Z"},
                    Written{"2024-02-29", "2024-02-29T00:00:00.000000Z"},
                    Written{"2000-02-29", "2000-02-29T00:00:00.000000Z"},
                    Written{"0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000000Z"},
                    Written{"9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"},
                    Written{"1969-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.999999Z"}));

class Refuses : public testing::TestWithParam<const char *> {};

TEST_P(Refuses, Anything) {
  EXPECT_FALSE(parse_iso8601(GetParam()).has_value()) << GetParam();
}

INSTANTIATE_TEST_SUITE_P(
    Iso8601, Refuses,
    testing::Values("", "now", "today", "infinity", "-infinity", "epoch", "2025", "2025-04", "20250402",
                    "25-04-02", "2025-4-2", "2025-00-01", "2025-13-01", "2025-02-30", "2025-02-29",
                    "1900-02-29", "2025-04-31", "2025-04-00", "0000-01-01", "12025-01-01", "+2025-01-01",
                    "-2025-01-01", "2025-04-02T", "2025-04-02T05", "2025-04-02T5:37:22Z",
                    "2025-04-02T24:00:01Z", "2025-04-02T05:60:00Z", "2025-04-02T05:37:61Z",
                    "2025-04-02T05:37:22.Z", "2025-04-02T05:37:22.1234567890Z", "2025-04-02T05:37:22,5Z",
                    "2025-04-02t05:37:22Z", "2025-04-02T05:37:22z", "2025-04-02T05:37:22 Z",
                    "2025-04-02T05:37:22+2", "2025-04-02T05:37:22+02:", "2025-04-02T05:37:22+02:0",
                    "2025-04-02T05:37:22+16:00", "2025-04-02T05:37:22+02:60", "2025-04-02T05:37:22+02:00:00",
                    "2025-04-02T05:37:22 Europe/Amsterdam", " 2025-04-02", "2025-04-02 ", "2025-04-02Z",
                    "2025-04-02  05:37:22", "0001-01-01T00:00:00+01", "9999-12-31T23:59:59-01",
                    "9999-12-31T23:59:60Z", "2025-W14-3", "2025-092"));

TEST(Timestamp, EpochsAreWherePostgresHasThem) {
  EXPECT_EQ(parse_iso8601("2000-01-01"), Timestamp{0});
  EXPECT_EQ(parse_iso8601("1970-01-01"), Timestamp{-946'684'800'000'000});
  EXPECT_EQ(parse_iso8601("1999-12-31T23:59:59.999999Z"), Timestamp{-1});
  EXPECT_FALSE(parse_iso8601(std::string_view("2025-04-02\0", 11)).has_value());
}

TEST(Timestamp, SentinelsAndFarYearsFormat) {
  EXPECT_EQ(format_iso8601(kInfinity), "infinity");
  EXPECT_EQ(format_iso8601(kMinusInfinity), "-infinity");
  EXPECT_EQ(format_iso8601(midnight_utc(12'345, 6, 7)), "12345-06-07T00:00:00.000000Z");
  EXPECT_FALSE(format_iso8601(kInfinity - 1).empty());
  EXPECT_FALSE(format_iso8601(kMinusInfinity + 1).empty());
}

TEST(Timestamp, FormattedInstantsParseBack) {
  std::mt19937_64 random(1);
  std::uniform_int_distribution<Timestamp> any(midnight_utc(1, 1, 1), midnight_utc(10'000, 1, 1) - 1);
  for (int i = 0; i < 100'000; ++i) {
    const Timestamp at = any(random);
    ASSERT_EQ(parse_iso8601(format_iso8601(at)), at) << format_iso8601(at);
  }
}

TEST(Timestamp, EveryDayHasItsSuccessor) {
  Timestamp day = midnight_utc(1896, 1, 1);
  for (; day < midnight_utc(2105, 1, 1); day += kMicrosPerDay)
    ASSERT_EQ(parse_iso8601(format_iso8601(day).substr(0, 10)), day);
}

} // namespace
} // namespace cdp::core
