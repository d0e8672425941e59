#include "match_reading.hpp"
#include "radix.hpp"

#include <algorithm>
#include <gtest/gtest.h>
#include <numeric>
#include <random>
#include <set>

namespace cdp::core::match {
namespace {

using Row = std::vector<std::optional<std::string>>;

std::string random_text(std::mt19937 &random, int most) {
  static const std::string pieces[] = {"a", "b", "@", "é", "𝔘", "-__-", "1", "0", "", " ", "z"};
  std::string text;
  for (auto n = random() % static_cast<unsigned>(most + 1); n > 0; --n)
    text += pieces[random() % std::size(pieces)];
  return text;
}

std::vector<std::string_view> cells_of(const std::vector<Row> &rows) {
  std::vector<std::string_view> cells;
  for (const auto &row : rows)
    for (const auto &cell : row)
      cells.push_back(cell ? std::string_view(*cell) : std::string_view());
  return cells;
}

std::optional<std::string> said(const Records &records, int feature, std::size_t record) {
  const auto code = records.code(feature, record);
  return code ? std::optional(std::string(records.text(code))) : std::nullopt;
}

TEST(Reading, PutsRecordsInTheOrderOfIds) {
  Model model;
  model.add_rule("l.a = r.a");
  std::mt19937 random(5);
  for (int round = 0; round < 300; ++round) {
    const bool sourced = round % 3 == 1, numbers = round % 3 == 2;
    const RecordOrder order(numbers, sourced);
    std::set<std::pair<std::string, std::string>> keys; // source, id
    const std::string common = round % 2 ? "" : random_text(random, 12);
    for (auto n = random() % 60; n > 0; --n)
      keys.emplace(sourced ? random_text(random, 2) : "",
                   numbers ? std::to_string(static_cast<std::int64_t>(random()) - (1 << 30))
                           : common + random_text(random, 12));
    std::vector<Row> rows;
    for (const auto &[source, id] : keys)
      rows.push_back({id, source, "of " + source + "/" + id});
    std::shuffle(rows.begin(), rows.end(), random);
    Reading reading(model, 1, {{0, false}});
    const auto cells = cells_of(rows);
    const auto half = rows.size() / 2 * 3;
    reading.add(std::span(cells).first(half));
    reading.add(std::span(cells).subspan(half));
    reading.put_in_order(order);
    const auto records = reading.finish();
    std::sort(rows.begin(), rows.end(),
              [&](const Row &a, const Row &b) { return order.precedes(*a[0], *a[1], *b[0], *b[1]); });
    ASSERT_EQ(records.size(), rows.size());
    for (std::size_t i = 0; i < rows.size(); ++i) {
      EXPECT_EQ(records.id(i), *rows[i][0]);
      EXPECT_EQ(records.text(records.source(i)), *rows[i][1]);
      EXPECT_EQ(said(records, 0, i), rows[i][2]);
    }
  }
}

TEST(RecordOrder, IsThatOfSourceAndIdTogether) {
  const RecordOrder order(false, true);
  EXPECT_TRUE(order.precedes("9", "a", "1", "b"));
  EXPECT_TRUE(order.precedes("1", "a", "9", "a"));
  EXPECT_FALSE(order.precedes("1", "a", "1", "a"));
  EXPECT_TRUE(order.precedes("1", "a!", "9", "a"));        // "a!-__-1" is before "a-__-9"
  EXPECT_TRUE(order.precedes("-__-0", "a", "x", "a-__-")); // "a-__--__-0" and "a-__--__-x"
}

TEST(Reading, MakesFeaturesOnceATextAndCutsOthers) {
  Model model;
  model.add_rule(
      "left(l.a, 2) = left(r.a, 2) AND l.b = r.b AND NULLIF(regexp_extract(l.a, '^[^@]+', 0), '') = "
      "NULLIF(regexp_extract(r.a, '^[^@]+', 0), '')");
  model.add_rule("regexp_extract(l.a, '^[^@]+') = regexp_extract(r.a, '^[^@]+')");
  model.add_rule("left(l.a, 0) = left(r.a, 0) AND upper(l.a) = upper(r.a) AND abs(l.b - r.b) <= 1");
  ASSERT_EQ(model.features.size(), 7u);
  using Cut = Feature::Cut;
  const Cut cuts[] = {Cut::first, Cut::whole, Cut::before_at, Cut::before_at,
                      Cut::first, Cut::none,  Cut::none};
  for (std::size_t f = 0; f < 7; ++f)
    EXPECT_EQ(model.features[f].cut, cuts[f]) << model.features[f].sql;
  EXPECT_TRUE(model.features[2].empty_is_unknown);
  std::mt19937 random(6);
  std::vector<Row> rows;
  for (int i = 0; i < 1000; ++i)
    rows.push_back({std::to_string(i), "",
                    random() % 5 ? std::optional(random_text(random, 4)) : std::nullopt,
                    random() % 5 ? std::optional(std::to_string(random() % 50)) : std::nullopt});
  Reading reading(model, 2, {{0, true}, {1, false}, {0, true}, {0, true}, {0, true}, {0, true}, {1, true}});
  reading.add(cells_of(rows));
  reading.put_in_order(RecordOrder(true, false));
  for (const std::size_t f : {0u, 2u, 3u, 4u})
    reading.cut(f);
  for (const std::size_t f : {5u, 6u}) { // what PostgreSQL would be asked for; of NULL, too
    const auto texts = reading.texts(f - 5);
    std::vector<std::string> made;
    for (const auto text : texts)
      made.push_back(f == 5 ? (text.data() ? "<" + std::string(text) + ">" : "nothing")
                            : (text.data() ? std::string(text) + ".5" : "-1"));
    reading.make(f, {made.begin(), made.end()});
  }
  const auto records = reading.finish();
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto &a = rows[i][2];
    const auto before = a ? std::optional(a->substr(0, a->find('@'))) : std::nullopt;
    std::size_t two = 0; // characters
    for (std::size_t seen = 0; a && two < a->size(); ++two)
      if (((*a)[two] & 0xC0) != 0x80 && seen++ == 2)
        break;
    EXPECT_EQ(said(records, 0, i), a ? std::optional(a->substr(0, two)) : std::nullopt);
    EXPECT_EQ(said(records, 1, i), rows[i][3]);
    EXPECT_EQ(said(records, 2, i), before == "" ? std::nullopt : before);
    EXPECT_EQ(said(records, 3, i), before);
    EXPECT_EQ(said(records, 4, i), a ? std::optional(std::string()) : std::nullopt);
    EXPECT_EQ(said(records, 5, i), a ? "<" + *a + ">" : "nothing");
    EXPECT_EQ(said(records, 6, i), rows[i][3] ? *rows[i][3] + ".5" : "-1");
    EXPECT_EQ(records.number(6, i), rows[i][3] ? std::stod(*rows[i][3]) + 0.5 : -1);
  }
}

TEST(Dictionary, NumbersManyAsItNumbersEach) {
  std::mt19937 random(7);
  std::vector<std::string> texts;
  for (int i = 0; i < 50000; ++i)
    texts.push_back(i % 7 ? std::to_string(random() % 20000) : random_text(random, 30));
  std::vector<std::string_view> views;
  for (const auto &text : texts)
    views.push_back(random() % 9 ? std::string_view(text) : std::string_view());
  Dictionary one, other;
  std::vector<Code> codes(views.size() / 2);
  one.codes(views.data(), 2, codes.size(), codes.data());
  for (std::size_t i = 0; i < codes.size(); ++i) {
    EXPECT_EQ(codes[i], views[2 * i].data() ? other.code(views[2 * i]) : 0);
    if (codes[i]) {
      EXPECT_EQ(one.text(codes[i]), views[2 * i]);
    }
  }
  EXPECT_EQ(one.size(), other.size());
}

TEST(SortByKey, KeepsWhatIsEqualInOrder) {
  struct Entry {
    std::uint64_t key;
    std::uint32_t number;
  };
  std::mt19937_64 random(8);
  for (int width = 0; width <= 64; ++width) {
    RoughArray<Entry> entries, other;
    std::uint64_t largest = 0;
    for (std::uint32_t i = 0; i < 500; ++i) {
      const auto key = width == 0 ? 0 : random() >> (64 - width) >> (i % 3 ? 0 : width / 2);
      entries.push_back({key, i});
      largest = std::max(largest, key);
    }
    std::vector<Entry> expected(entries.begin(), entries.end());
    std::stable_sort(expected.begin(), expected.end(), [](auto &a, auto &b) { return a.key < b.key; });
    sort_by_key(entries, other, largest);
    for (std::size_t i = 0; i < entries.size(); ++i)
      EXPECT_EQ(entries[i].number, expected[i].number);
  }
}

} // namespace
} // namespace cdp::core::match
