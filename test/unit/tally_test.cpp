#include "tally.hpp"

#include <algorithm>
#include <deque>
#include <gtest/gtest.h>
#include <random>
#include <set>

namespace cdp::core {
namespace {

constexpr Timestamp kHour = kMicrosPerDay / 24;

// A clock that jumps forward an hour on the tenth day and back on the twentieth.
Timestamp local(Timestamp at) {
  const auto day = at / kMicrosPerDay;
  return at + (day >= 10 && day < 20 ? kHour : 0);
}

TEST(Cutoff, SaysWhatIsAskedAndWhenItPasses) {
  const auto ask = [](Timestamp at) { return local(at) - 3 * kMicrosPerDay; };
  const auto day = [](Timestamp at) { return local(at) / kMicrosPerDay * kMicrosPerDay; };
  const auto jumps = [](Timestamp low, Timestamp high) {
    const auto within = [&](int n) { return low <= n * kMicrosPerDay && n * kMicrosPerDay <= high; };
    return within(10) || within(20);
  };
  std::mt19937_64 random(3);
  for (const auto &function : {Cutoff::Ask(ask), Cutoff::Ask(day)}) {
    Cutoff cutoff(function, jumps);
    for (int round = 0; round < 3000; ++round) {
      const auto at = static_cast<Timestamp>(random() % static_cast<std::uint64_t>(40 * kMicrosPerDay));
      ASSERT_EQ(cutoff.at(at), function(at));
      const auto value = function(at) +
                         static_cast<Timestamp>(random() % static_cast<std::uint64_t>(4 * kMicrosPerDay)) -
                         kHour;
      const auto until = at + 6 * kMicrosPerDay;
      const auto turn = cutoff.passes(at, value, until);
      const bool before = function(at) >= value;
      for (auto step = at; step < std::min(turn, until); step += kHour / 4)
        ASSERT_EQ(function(step) >= value, before);
      if (turn != kInfinity) {
        ASSERT_NE(function(turn) >= value, before);
        ASSERT_EQ(function(turn - 1) >= value, before);
      }
    }
  }
}

TEST(Cutoff, AsksLittleOfWhatIsFarAway) {
  const auto hourly = [](Timestamp, Timestamp) { return true; }; // as where a truncated month is shifted
  for (const auto unit : {Timestamp(1), kHour, kMicrosPerDay}) {
    int asked = 0;
    Cutoff cutoff(
        [&](Timestamp at) {
          ++asked;
          return at / unit * unit - 30 * kMicrosPerDay;
        },
        hourly);
    const auto at = 9000 * kMicrosPerDay, far = 2'500'000 * kMicrosPerDay;
    EXPECT_EQ(cutoff.passes(at, far, kInfinity), far + 30 * kMicrosPerDay);
    EXPECT_EQ(cutoff.passes(at, far, far), kInfinity);
    EXPECT_LT(asked, 100'000);
  }
}

TEST(Cutoff, AsksLittleOfWhatIsTruncated) {
  const auto never = [](Timestamp, Timestamp) { return false; };
  for (const auto unit : {kHour, kHour / 60, kMicrosPerSecond})
    for (const auto shift : {Timestamp(0), 7 * kMicrosPerDay, 400 * kMicrosPerDay + kHour / 4}) {
      int asked = 0;
      Cutoff cutoff(
          [&](Timestamp at) {
            ++asked;
            return (at - shift) / unit * unit;
          },
          never);
      const auto at = 5000 * kMicrosPerDay + kHour / 7, value = 5000 * kMicrosPerDay - kHour / 3 + 1;
      const auto turn = (value + unit - 1) / unit * unit + shift;
      EXPECT_EQ(cutoff.passes(at, value, kInfinity), turn > at ? turn : kInfinity);
      EXPECT_EQ(cutoff.at(at), (at - shift) / unit * unit);
      EXPECT_LT(asked, unit == kMicrosPerSecond ? 2'000'000 : 100'000) << unit << " " << shift;
    }
}

struct Case {
  std::vector<Entry> entries;
  std::deque<std::string> bytes;
};

void make(Case &made, std::mt19937_64 &random) {
  for (auto i = random() % 12; i > 0; --i) {
    Entry entry{static_cast<Timestamp>(random() % 50), static_cast<std::int64_t>(random() % 20 + 1), {}};
    entry.value.kind = random() % 5 ? InputValue::Kind::decimal : InputValue::Kind::null;
    entry.value.mantissa = static_cast<std::int64_t>(random() % 7) - 3;
    entry.value.scale = random() % 3;
    made.entries.push_back(entry);
  }
  std::sort(made.entries.begin(), made.entries.end(), [](const Entry &a, const Entry &b) {
    return std::pair(a.at, a.event_id) < std::pair(b.at, b.event_id);
  });
}

// However time moves and whatever becomes known, it is what counting over would give, and changes only at the
// instants that next() names.
TEST(Tally, CountsWhatCountingOverWouldGive) {
  std::mt19937_64 random(4);
  for (int round = 0; round < 4000; ++round) {
    Case made;
    make(made, random);
    Cutoff far(-static_cast<Timestamp>(random() % 30)), near(-static_cast<Timestamp>(random() % 5));
    std::vector<Bound> bounds;
    if (random() % 4)
      bounds.push_back({&far, true, static_cast<Timestamp>(random() % 2)});
    if (random() % 2)
      bounds.push_back({&near, false, -static_cast<Timestamp>(random() % 2)});
    Tally tally(Function::sum, bounds);
    auto at = static_cast<Timestamp>(random() % 40);
    auto known = static_cast<std::int64_t>(random() % 20);
    tally.begin(made.entries, {}, at, known);
    for (int step = 0; step < 8; ++step) {
      const auto counts = [&](const Entry &entry, Timestamp now) {
        bool inside = entry.event_id <= known && entry.at <= now;
        for (const auto &bound : bounds)
          inside = inside && (bound.lower ? entry.at >= bound.cutoff->at(now) + bound.shift
                                          : entry.at <= bound.cutoff->at(now) + bound.shift);
        return inside;
      };
      __int128 sum = 0;
      std::int64_t count = 0;
      for (const auto &entry : made.entries)
        if (counts(entry, at) && entry.value.kind != InputValue::Kind::null) {
          ++count;
          __int128 part = entry.value.mantissa;
          for (int i = entry.value.scale; i < 15; ++i)
            part *= 10;
          sum += part;
        }
      ASSERT_EQ(tally.count(), count);
      ASSERT_TRUE(tally.sum() == sum);
      const auto next = tally.next(kInfinity);
      for (auto now = at; now < std::min<Timestamp>(next, at + 60); ++now)
        for (const auto &entry : made.entries)
          ASSERT_EQ(counts(entry, now), counts(entry, at));
      if (random() % 3 == 0) {
        known += static_cast<std::int64_t>(random() % 5);
        tally.know(known);
      }
      at = random() % 2 && next != kInfinity ? next : at + static_cast<Timestamp>(random() % 9);
      tally.move(at);
    }
  }
}

} // namespace
} // namespace cdp::core
