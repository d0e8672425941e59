// Edit distances, a column of the table of distances in a machine word.
#include "match_wanted.hpp"
#include "similarity.hpp"
#include "similarity_text.hpp"

#include <algorithm>
#include <cstring>
#include <type_traits>
#include <unordered_map>

namespace cdp::core {

namespace {

using Word = std::uint64_t;
constexpr std::size_t kBits = 64;

template <class Text> void strip_common_ends(Text &a, Text &b) {
  while (!a.empty() && !b.empty() && a.front() == b.front()) {
    a.remove_prefix(1);
    b.remove_prefix(1);
  }
  while (!a.empty() && !b.empty() && a.back() == b.back()) {
    a.remove_suffix(1);
    b.remove_suffix(1);
  }
}

/// Where a pattern of at most 64 characters has which character.
class PlainPlaces {
public:
  explicit PlainPlaces(std::string_view pattern) {
    for (std::size_t i = 0; i < pattern.size(); ++i)
      places_[static_cast<unsigned char>(pattern[i])] |= Word{1} << i;
  }
  Word of(char c) const { return places_[static_cast<unsigned char>(c)]; }

private:
  Word places_[128] = {};
};

class WidePlaces {
public:
  explicit WidePlaces(std::u32string_view pattern) {
    for (std::size_t i = 0; i < pattern.size(); ++i)
      places_[pattern[i]] |= Word{1} << i;
  }
  Word of(char32_t c) const {
    const auto found = places_.find(c);
    return found == places_.end() ? 0 : found->second;
  }

private:
  std::unordered_map<char32_t, Word> places_;
};

template <class Text>
using Places = std::conditional_t<std::is_same_v<Text, std::string_view>, PlainPlaces, WidePlaces>;

/// `a` has 1 to 64 characters.
template <bool transpositions, class Text> std::size_t in_a_word(Text a, Text b, std::size_t limit) {
  return edits_in_a_word<transpositions>(Places<Text>(a), a.size(), b, limit);
}

/// Myers' blocks: of a column, 64 rows a word; what goes over the edge of a word is carried to the next. Of
/// each character only words that have it are kept: an alphabet may be as large as the text.
template <class Text> std::size_t in_many_words(Text a, Text b, std::size_t limit) {
  using Char = typename Text::value_type;
  const auto words = (a.size() + kBits - 1) / kBits;
  struct Places {
    std::size_t word;
    Word bits;
  };
  std::unordered_map<Char, std::vector<Places>> places;
  for (std::size_t i = 0; i < a.size(); ++i) {
    auto &of = places[a[i]];
    if (of.empty() || of.back().word != i / kBits)
      of.push_back({i / kBits, 0});
    of.back().bits |= Word{1} << i % kBits;
  }
  for (auto &entry : places)
    entry.second.push_back({words, 0}); // the end
  const std::vector<Places> nowhere{{words, 0}};
  std::vector<Word> ups(words, ~Word{0}), downs(words);
  const Word last = Word{1} << (a.size() - 1) % kBits;
  std::size_t distance = a.size();
  match::Patience patience;
  for (std::size_t j = 0; j < b.size(); ++j) {
    patience.step(words);
    const auto found = places.find(b[j]);
    const Places *equals = (found == places.end() ? nowhere : found->second).data();
    Word right_in = 1, left_in = 0;
    for (std::size_t w = 0; w < words; ++w) {
      const Word here = equals->word == w ? equals++->bits : 0;
      const Word up = ups[w], down = downs[w], equal = here | left_in;
      const Word diagonal = (((equal & up) + up) ^ up) | equal | down;
      const Word right = down | ~(diagonal | up), left = diagonal & up;
      if (w + 1 == words) {
        distance += (right & last) != 0;
        distance -= (left & last) != 0;
      }
      const Word right_out = right >> (kBits - 1), left_out = left >> (kBits - 1);
      const Word shifted_right = right << 1 | right_in, shifted_left = left << 1 | left_in;
      ups[w] = shifted_left | ~(diagonal | shifted_right);
      downs[w] = shifted_right & diagonal;
      right_in = right_out;
      left_in = left_out;
    }
    if (distance > limit && distance - limit > b.size() - j - 1)
      return limit + 1;
  }
  return std::min(distance, limit + 1);
}

/// Cells farther from the diagonal than the limit lead to no less than that.
template <class Text> std::size_t alignment_by_rows(Text a, Text b, std::size_t limit) {
  const auto none = a.size() + b.size();
  std::vector<std::size_t> two_before(b.size() + 1), before(b.size() + 1), row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j)
    row[j] = j;
  match::Patience patience;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::swap(two_before, before);
    std::swap(before, row);
    const auto first = i > limit ? i - limit : 1,
               last = limit < b.size() - std::min(i, b.size()) ? i + limit : b.size();
    patience.step(last - first + 1);
    row[first - 1] = first == 1 ? i : none;
    auto least = row[first - 1];
    for (std::size_t j = first; j <= last; ++j) {
      row[j] = std::min({before[j] + 1, row[j - 1] + 1, before[j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        row[j] = std::min(row[j], two_before[j - 2] + 1);
      least = std::min(least, row[j]);
    }
    if (last < b.size())
      row[last + 1] = none;
    if (least > limit)
      return limit + 1;
  }
  return std::min(row[b.size()], limit + 1);
}

/// Lowrance and Wagner's distance. A transposition with characters between both the ones and the others costs
/// no less than replacing all of them, so one of the two lies next to itself: then the row before the last
/// and, of each column, what lay before its latest match are all that is asked for (Zhao and Sahni, BMC
/// Bioinformatics 20, 2019), and memory grows with the shorter text alone.
template <class Text> std::size_t damerau_by_rows(Text a, Text b, std::size_t limit) {
  using Cell = std::uint32_t; // a text has less than 2^30 characters
  if (a.size() < b.size())
    std::swap(a, b);
  if (b.empty())
    return std::min(a.size(), limit + 1);
  const auto far = static_cast<Cell>(a.size() + b.size());
  struct Match {
    Cell row = 0, before = 0; // the latest of a column, and what lies left of it, a row up and two columns
  };
  std::vector<Match> matches(b.size() + 1);
  std::vector<Cell> two_before(b.size() + 1, far), before(b.size() + 1, far), row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j)
    row[j] = static_cast<Cell>(j);
  match::Patience patience;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::swap(two_before, before);
    std::swap(before, row);
    const auto first = i > limit ? i - limit : 1,
               last = limit < b.size() - std::min(i, b.size()) ? i + limit : b.size();
    if (first > last)
      return limit + 1; // one is longer by more than the limit
    patience.step(last - first + 1);
    const auto this_row = static_cast<Cell>(i);
    row[first - 1] = first == 1 ? this_row : far;
    Cell least = row[first - 1], column = 0, above = 0; // the latest match of this row
    for (std::size_t j = first; j <= last; ++j) {
      const auto this_column = static_cast<Cell>(j);
      Match &match = matches[j];
      const bool same = a[i - 1] == b[j - 1];
      Cell best = std::min({before[j - 1] + !same, row[j - 1] + 1, before[j] + 1});
      if (column && match.row) {
        if (column + 1 == this_column)
          best = std::min(best, match.before + (this_row - match.row));
        else if (match.row + 1 == this_row)
          best = std::min(best, above + (this_column - column));
      }
      if (same) {
        match = {this_row, j > 1 ? before[j - 2] : far};
        column = this_column;
        above = i > 1 ? two_before[j - 1] : far;
      }
      row[j] = best;
      least = std::min(least, best);
    }
    if (last < b.size())
      row[last + 1] = far;
    if (least > limit)
      return limit + 1;
  }
  return std::min<std::size_t>(row[b.size()], limit + 1);
}

/// The same for short texts of bytes and a small limit: only cells as far from the diagonal as the limit can
/// lead to less.
std::size_t damerau_in_a_band(std::string_view a, std::string_view b, std::size_t limit) {
  constexpr std::size_t kWidth = kBits;
  constexpr std::uint8_t kFar = 200;
  std::uint8_t table[kWidth * kWidth], last_row[256] = {};
  std::memset(table, kFar, (a.size() + 2) * kWidth);
  const auto at = [&](std::size_t i, std::size_t j) -> std::uint8_t & { return table[i * kWidth + j]; };
  for (std::size_t i = 0; i <= a.size(); ++i)
    at(i + 1, 1) = static_cast<std::uint8_t>(i);
  for (std::size_t j = 0; j <= b.size(); ++j)
    at(1, j + 1) = static_cast<std::uint8_t>(j);
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t last_column = 0;
    for (std::size_t j = i > limit ? i - limit : 1; j <= std::min(b.size(), i + limit); ++j) {
      const std::size_t row = last_row[static_cast<unsigned char>(b[j - 1])], column = last_column;
      const bool same = a[i - 1] == b[j - 1];
      if (same)
        last_column = j;
      std::size_t best = std::min({std::size_t{at(i, j)} + !same, at(i + 1, j) + std::size_t{1},
                                   at(i, j + 1) + std::size_t{1}, std::size_t{kFar}});
      if (row && column)
        best = std::min(best, at(row, column) + (i - row - 1) + 1 + (j - column - 1));
      at(i + 1, j + 1) = static_cast<std::uint8_t>(best);
    }
    last_row[static_cast<unsigned char>(a[i - 1])] = static_cast<std::uint8_t>(i);
  }
  return std::min<std::size_t>(at(a.size() + 1, b.size() + 1), limit + 1);
}

} // namespace

std::size_t damerau_of_bytes(std::string_view a, std::string_view b, std::size_t limit) {
  return limit < 20 ? damerau_in_a_band(a, b, limit) : damerau_by_rows(a, b, limit);
}

namespace {

enum class Kind { plain, alignment, damerau };

template <Kind kind, class Text> std::size_t distance_of(Text a, Text b, std::size_t limit) {
  if (a.size() > b.size())
    std::swap(a, b);
  if (b.size() - a.size() > limit)
    return limit + 1;
  if (kind != Kind::damerau) // between equal ends a transposition over an end can save nothing
    strip_common_ends(a, b);
  if (a.empty())
    return std::min(b.size(), limit + 1);
  if constexpr (kind == Kind::plain)
    return a.size() <= kBits ? in_a_word<false>(a, b, limit) : in_many_words(a, b, limit);
  const auto most = kind == Kind::damerau ? most_aligned(limit) : limit;
  const auto aligned = a.size() <= kBits ? in_a_word<true>(a, b, most) : alignment_by_rows(a, b, most);
  if constexpr (kind == Kind::damerau) {
    if (is_settled(aligned, limit, a.size(), b.size()))
      return std::min(aligned, limit + 1);
    if constexpr (std::is_same_v<Text, std::string_view>)
      if (b.size() < kBits - 2)
        return damerau_of_bytes(a, b, limit);
    return damerau_by_rows(a, b, limit);
  }
  return aligned;
}

template <Kind kind> std::size_t distance(std::string_view a, std::string_view b, std::size_t limit) {
  if (a == b)
    return 0;
  if (is_plain(a) && is_plain(b))
    return distance_of<kind>(a, b, limit);
  const auto x = code_points(a), y = code_points(b);
  return distance_of<kind>(std::u32string_view(x), std::u32string_view(y), limit);
}

} // namespace

std::size_t levenshtein(std::string_view a, std::string_view b, std::size_t limit) {
  return distance<Kind::plain>(a, b, limit);
}

std::size_t optimal_alignment(std::string_view a, std::string_view b, std::size_t limit) {
  return distance<Kind::alignment>(a, b, limit);
}

std::size_t damerau_levenshtein(std::string_view a, std::string_view b, std::size_t limit) {
  return distance<Kind::damerau>(a, b, limit);
}

} // namespace cdp::core
