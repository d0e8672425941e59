#include "short_text.hpp"
#include "similarity.hpp"

#include <algorithm>
#include <gtest/gtest.h>
#include <random>

namespace cdp::core {
namespace {

/// Of few letters, some of which are not ASCII.
std::string random_text(std::mt19937 &random, std::size_t most) {
  static const std::string letters[] = {"a", "b", "c", "d", "1", "é", "ß", "京"};
  const auto kinds = 1 + random() % std::size(letters);
  std::string text;
  for (auto length = random() % (most + 1); length > 0; --length)
    text += letters[random() % kinds];
  return text;
}

std::string swapped(const std::string &text, std::mt19937 &random) {
  auto points = code_points(text);
  for (auto times = random() % 3; times > 0 && points.size() > 2; --times) {
    const auto at = random() % (points.size() - 2);
    std::swap(points[at], points[at + 1 + random() % 2]);
  }
  std::string made;
  for (const char32_t point : points) // those above: up to three bytes
    if (point < 0x80)
      made += static_cast<char>(point);
    else if (point < 0x800)
      made += {static_cast<char>(0xC0 | point >> 6), static_cast<char>(0x80 | (point & 63))};
    else
      made += {static_cast<char>(0xE0 | point >> 12), static_cast<char>(0x80 | (point >> 6 & 63)),
               static_cast<char>(0x80 | (point & 63))};
  return made;
}

TEST(ShortText, IsAsAlikeAsTheTextItself) {
  std::mt19937 random(11);
  Alphabet alphabet;
  for (int round = 0; round < 60000; ++round) {
    const std::size_t most = round % 4 == 0 ? 44 : round % 4 == 1 ? 18 : 8;
    const auto text = random_text(random, most),
               other = random() % 2 ? swapped(text, random) : random_text(random, most);
    const auto a = alphabet.shortened(text, 1), b = alphabet.shortened(other, 2);
    ASSERT_TRUE(a.is_short() && b.is_short());
    const double winkler = jaro_winkler(text, other);
    ASSERT_EQ(jaro_winkler(a, b, -2), winkler) << text << ' ' << other;
    for (const double least : {0.5, 0.7, 0.88, 0.92, winkler}) {
      const double bounded = jaro_winkler(a, b, least);
      if (winkler >= least) {
        ASSERT_EQ(bounded, winkler) << text << ' ' << other;
      } else {
        ASSERT_LT(bounded, least) << text << ' ' << other;
      }
    }
    for (const std::size_t limit : {std::size_t{0}, std::size_t{1}, std::size_t{2}, std::size_t{3},
                                    std::size_t{5}, std::size_t{30}, kNoLimit}) {
      ASSERT_EQ(levenshtein(a, b, limit), levenshtein(text, other, limit)) << text << ' ' << other;
      ASSERT_EQ(optimal_alignment(a, b, limit), optimal_alignment(text, other, limit));
      ASSERT_EQ(damerau_levenshtein(a, b, limit),
                std::min(damerau_levenshtein(text, other), limit == kNoLimit ? limit : limit + 1))
          << text << ' ' << other << ' ' << limit;
    }
  }
}

TEST(ShortText, IsNoLongOne) {
  Alphabet alphabet;
  EXPECT_TRUE(alphabet.shortened(std::string(44, 'x'), 1).is_short());
  EXPECT_FALSE(alphabet.shortened(std::string(45, 'x'), 1).is_short());
  EXPECT_EQ(alphabet.shortened("x", 7).code, 7u);
  // After 128 characters beyond ASCII there is no byte for another one; those that have one keep it.
  std::vector<std::string> characters;
  for (int i = 0; i < 129; ++i)
    characters.push_back(
        {static_cast<char>(0xE4), static_cast<char>(0x80 + i / 64), static_cast<char>(0x80 + i % 64)});
  for (int i = 0; i < 129; ++i)
    EXPECT_EQ(alphabet.shortened(characters[static_cast<std::size_t>(i)], 1).is_short(), i < 128) << i;
  const auto first = alphabet.shortened(characters[0], 1), again = alphabet.shortened(characters[0] + "a", 2);
  EXPECT_EQ(levenshtein(first, again, 9), 1u);
}

} // namespace
} // namespace cdp::core
