#include "timeline.hpp"

#include <gtest/gtest.h>
#include <random>

namespace cdp::core {
namespace {

TEST(Timeline, GivesBackWhatWasPacked) {
  std::mt19937_64 random(1);
  for (int round = 0; round < 300; ++round) {
    std::vector<TimelineEvent> events;
    std::vector<std::string> packed(random() % 20);
    for (std::size_t i = 0; i < packed.size(); ++i) {
      InputValue value;
      value.input = static_cast<std::int32_t>(random() % 100'000);
      value.kind = static_cast<InputValue::Kind>(random() % 5);
      if (value.kind == InputValue::Kind::decimal) {
        value.mantissa = static_cast<std::int64_t>(random());
        value.scale = random() % 16;
      }
      if (value.kind == InputValue::Kind::bytes)
        value.set_bytes("a value");
      if (random() % 2)
        value.set_key(random() % 2 ? std::optional<std::string_view>("a key") : std::nullopt);
      pack(value, packed[i]);
      InputValues read(packed[i]);
      ASSERT_TRUE(read.next());
      EXPECT_EQ(read.value().input, value.input);
      EXPECT_EQ(read.value().kind, value.kind);
      EXPECT_EQ(read.value().key_kind, value.key_kind);
      EXPECT_EQ(read.value().key(), value.key());
      EXPECT_EQ(read.value().bytes(), value.bytes());
      if (value.kind == InputValue::Kind::decimal) {
        EXPECT_EQ(read.value().mantissa, value.mantissa);
        EXPECT_EQ(read.value().scale, value.scale);
      }
      EXPECT_FALSE(read.next());
      EXPECT_FALSE(read.broken());
      events.push_back({static_cast<Timestamp>(random()), static_cast<std::int64_t>(random()), packed[i]});
    }
    std::vector<TimelineEvent> read;
    const auto bytes = pack(events);
    ASSERT_TRUE(unpack_timeline(bytes, read));
    ASSERT_EQ(read.size(), events.size());
    for (std::size_t i = 0; i < events.size(); ++i) {
      EXPECT_EQ(read[i].order(), events[i].order());
      EXPECT_EQ(read[i].values, events[i].values);
    }
  }
}

TEST(Timeline, BrokenBytesAreNoticedAndNeverReadBeyond) {
  std::mt19937_64 random(2);
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes(random() % 24, '\0');
    for (char &byte : bytes)
      byte = static_cast<char>(random());
    std::vector<TimelineEvent> events;
    if (unpack_timeline(bytes, events))
      for (const auto &event : events)
        for (InputValues values(event.values); values.next();)
          ;
    for (InputValues values(bytes); values.next();)
      ;
  }
  std::vector<TimelineEvent> events;
  EXPECT_FALSE(unpack_timeline("\x80", events));
}

TEST(Timeline, DecimalsAreExactOrNotTaken) {
  const auto is = [](const char *text, std::int64_t mantissa, int scale) {
    const auto read = parse_decimal(text);
    return read && read->mantissa == mantissa && read->scale == scale;
  };
  EXPECT_TRUE(is("12.50", 1250, 2));
  EXPECT_TRUE(is("-0.001", -1, 3));
  EXPECT_TRUE(is("7", 7, 0));
  for (const char *text : {"NaN", "Infinity", "", "-", "1e5", "0.1234567890123456", "12345678901234567890"})
    EXPECT_FALSE(text[0] != '-' && parse_decimal(text)) << text;
}

} // namespace
} // namespace cdp::core
