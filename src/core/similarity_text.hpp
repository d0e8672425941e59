// Private to the similarities.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace cdp::core {

/// is_ascii, eight bytes at a time: names are short, and asked about millions of times.
inline bool is_plain(std::string_view text) {
  std::uint64_t seen = 0;
  std::size_t at = 0;
  for (; at + 8 <= text.size(); at += 8) {
    std::uint64_t word;
    std::memcpy(&word, text.data() + at, 8);
    seen |= word;
  }
  for (; at < text.size(); ++at)
    seen |= static_cast<unsigned char>(text[at]);
  return (seen & 0x8080808080808080u) == 0;
}

/// How far from its place a character may lie to be in common.
inline std::size_t window_of(std::size_t a, std::size_t b) {
  const auto half = std::max(a, b) / 2;
  return half > 0 ? half - 1 : 0;
}

inline double jaro_of(std::size_t common, std::size_t out_of_place, std::size_t a, std::size_t b) {
  if (common == 0)
    return 0;
  const auto m = static_cast<double>(common);
  const auto transposed = static_cast<double>(out_of_place / 2);
  return (m / static_cast<double>(a) + m / static_cast<double>(b) + (m - transposed) / m) / 3;
}

/// Winkler's part.
template <class Text> double raised(double similarity, const Text &a, const Text &b) {
  constexpr double kBoostedAbove = 0.7, kBoost = 0.1;
  constexpr std::size_t kBoostedPrefix = 4;
  if (similarity <= kBoostedAbove)
    return similarity;
  std::size_t prefix = 0;
  const auto most = std::min({kBoostedPrefix, a.size(), b.size()});
  while (prefix < most && a[prefix] == b[prefix])
    ++prefix;
  return similarity + static_cast<double>(prefix) * kBoost * (1 - similarity);
}

/// The distance from a text of 1 to 64 characters, whose places are known, to another. With transpositions:
/// those of Hyyrö 2003.
template <bool transpositions, class Places, class Text>
std::size_t edits_in_a_word(const Places &places, std::size_t size, const Text &b, std::size_t limit) {
  using Word = std::uint64_t;
  const Word last = Word{1} << (size - 1);
  Word up = ~Word{0}, down = 0, diagonal = 0, before = 0;
  std::size_t distance = size;
  for (std::size_t j = 0; j < b.size(); ++j) {
    const Word equal = places.of(b[j]);
    const Word swapped = transpositions ? ((~diagonal & equal) << 1) & before : 0;
    diagonal = (((equal & up) + up) ^ up) | equal | down | swapped;
    Word right = down | ~(diagonal | up);
    const Word left = diagonal & up;
    distance += (right & last) != 0;
    distance -= (left & last) != 0;
    if (distance > limit && distance - limit > b.size() - j - 1) // each character left takes at most one off
      return limit + 1;
    right = right << 1 | 1;
    up = left << 1 | ~(diagonal | right);
    down = right & diagonal;
    before = equal;
  }
  return std::min(distance, limit + 1);
}

/// An optimal alignment within which a Damerau distance within the limit must lie: a transposition with other
/// edits in between, which alone tells the two apart, is at least two edits and at most one more of the
/// other.
inline std::size_t most_aligned(std::size_t limit) {
  return limit + limit / 2;
}

/// Whether that says the Damerau distance, too: up to two it is the same, and two edits that are three of the
/// other are such a transposition with one insertion or deletion.
inline bool is_settled(std::size_t aligned, std::size_t limit, std::size_t a, std::size_t b) {
  return aligned <= 2 || aligned > most_aligned(limit) || (limit == 2 && a + 1 != b && b + 1 != a);
}

/// Of texts of any bytes, each a character, of at most 62.
std::size_t damerau_of_bytes(std::string_view a, std::string_view b, std::size_t limit);

} // namespace cdp::core
