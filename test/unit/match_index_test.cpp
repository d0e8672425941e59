#include "match_index.hpp"

#include <algorithm>
#include <gtest/gtest.h>
#include <map>
#include <random>
#include <set>

namespace cdp::core::match {
namespace {

Records records_of(const Model &model, const std::vector<std::vector<const char *>> &rows) {
  Records records(model);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    std::vector<std::string_view> views;
    for (const char *text : rows[i])
      views.emplace_back(text ? text : "");
    std::vector<const std::string_view *> values;
    for (std::size_t f = 0; f < views.size(); ++f)
      values.push_back(rows[i][f] ? &views[f] : nullptr);
    records.add(std::to_string(i), "", values);
  }
  return records;
}

TEST(StableHash, IsTheSameForEver) { // it is stored: another one would find nothing of what was kept
  EXPECT_EQ(stable_hash(""), stable_hash(std::string()));
  EXPECT_NE(stable_hash("a"), stable_hash("b"));
  EXPECT_NE(stable_hash("a"), stable_hash(std::string_view("a\0", 2)));
  EXPECT_EQ(stable_hash("Jürgen"), 12808567729950532138u);
  EXPECT_EQ(stable_hash("a rather long text, of more than one word"), 15864437238188968894u);
}

TEST(KeyHasher, GivesEqualKeysOneNumber) {
  Model model;
  model.add_rule("l.a = r.a AND l.b = r.b");
  model.add_rule("l.a = r.b");
  const auto records =
      records_of(model, {{"x", "y"}, {"x", "y"}, {"y", "x"}, {"x", nullptr}, {"y", "z"}, {"", ""}});
  const KeyHasher keys(model, records);
  EXPECT_TRUE(keys.key(0, false, 0));
  EXPECT_EQ(keys.key(0, false, 0), keys.key(0, true, 1));
  EXPECT_NE(keys.key(0, false, 0), keys.key(0, false, 2)); // the order of the keys counts
  EXPECT_FALSE(keys.key(0, false, 3));                     // an unknown one is no key
  EXPECT_TRUE(keys.key(0, false, 5));                      // an empty one is
  EXPECT_EQ(keys.key(1, false, 0), keys.key(1, true, 2));  // x on the left, x on the right
  EXPECT_NE(keys.key(1, false, 0), keys.key(1, false, 4));
  EXPECT_FALSE(keys.key(1, true, 3));
}

TEST(Features, ArePackedAndUnpacked) {
  Model model;
  model.add_rule("l.a = r.a AND l.b = r.b AND l.c = r.c");
  const std::string large(100000, 'x');
  const auto records =
      records_of(model, {{"x", nullptr, ""}, {large.c_str(), "é", nullptr}, {nullptr, nullptr, nullptr}});
  for (Place record = 0; record < records.size(); ++record) {
    const auto bytes = pack_features(records, record);
    std::vector<std::string_view> texts;
    ASSERT_TRUE(unpack_features(bytes, 3, texts));
    ASSERT_EQ(texts.size(), 3u);
    for (int f = 0; f < 3; ++f) {
      const auto code = records.code(f, record);
      EXPECT_EQ(texts[static_cast<std::size_t>(f)].data() != nullptr, code != 0);
      if (code) {
        EXPECT_EQ(texts[static_cast<std::size_t>(f)], records.text(code));
      }
    }
    // Neither of another number of features nor cut off anywhere is it taken for something.
    EXPECT_FALSE(unpack_features(bytes, 2, texts));
    EXPECT_FALSE(unpack_features(bytes, 4, texts));
    for (std::size_t size = 0; size < std::min<std::size_t>(bytes.size(), 20); ++size)
      EXPECT_FALSE(unpack_features(std::string_view(bytes).substr(0, size), 3, texts)) << size;
  }
}

TEST(Neighbours, ArePackedAndUnpacked) {
  const std::vector<Neighbour> some{{0, -1.5}, {7, 1e-300}, {4294967295u, 100}};
  EXPECT_EQ(unpack_neighbours(pack_neighbours(some)), some);
  EXPECT_TRUE(unpack_neighbours(pack_neighbours(std::vector<Neighbour>())).empty());
}

TEST(Buckets, KeepEveryEntry) {
  std::mt19937_64 random(13);
  for (const std::size_t size : {0, 1, 2, 500, 20000}) {
    std::vector<Entry> entries;
    std::map<std::uint64_t, std::multiset<std::uint32_t>> wanted;
    for (std::size_t i = 0; i < size; ++i) {
      const std::uint64_t hash = random() % 3 ? random() : random() % 5; // some many times
      const auto number = static_cast<std::uint32_t>(random());
      entries.push_back({hash, number});
      wanted[hash].insert(number);
    }
    const Buckets buckets(entries);
    std::map<std::int32_t, std::string> kept;
    buckets.each([&](std::int32_t bucket, const std::string &bytes) {
      ASSERT_TRUE(kept.emplace(bucket, bytes).second);
    });
    for (const auto &[hash, numbers] : wanted) {
      const auto found = entries_of(kept.at(Buckets::bucket_of(hash, buckets.bits())), hash);
      EXPECT_EQ(std::multiset<std::uint32_t>(found.begin(), found.end()), numbers);
    }
    if (size > 0) {
      EXPECT_TRUE(entries_of(kept.begin()->second, 0x123456789ABCDEFu).empty());
    }
  }
}

TEST(RecordOrder, IsThatInWhichRecordsAreRead) {
  const RecordOrder numbers(true, false), texts(false, false), sourced(false, true);
  EXPECT_TRUE(numbers.precedes("9", "", "10", ""));
  EXPECT_TRUE(numbers.precedes("-10", "", "-9", ""));
  EXPECT_TRUE(numbers.precedes("-1", "", "0", ""));
  EXPECT_FALSE(numbers.precedes("10", "", "9", ""));
  EXPECT_FALSE(numbers.precedes("9", "", "9", ""));
  EXPECT_TRUE(texts.precedes("10", "", "9", ""));
  EXPECT_TRUE(texts.precedes("Z", "", "a", "")); // bytes
  EXPECT_TRUE(sourced.precedes("9", "a", "1", "b"));
  // Source and id with '-__-' between: as they are read
  EXPECT_EQ(sourced.precedes("1", "a", "1", "a b"), std::string("a-__-1") < std::string("a b-__-1"));
}

} // namespace
} // namespace cdp::core::match
