#include "short_text.hpp"
#include "similarity.hpp"
#include "similarity_text.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace cdp::core {

namespace {

constexpr std::size_t kBlock = 16; // bytes that are looked at together

/// Letters that are frequent in names have a kind of their own, and so have digits.
std::size_t kind_of(unsigned char c) {
  static constexpr std::string_view kFrequent = "eainrolstdhcumy", kOthers = "bgkpfvwjzxq";
  if (c >= '0' && c <= '9')
    return c - std::size_t{'0'};
  const char lower = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : static_cast<char>(c);
  if (const auto found = kFrequent.find(lower); found != std::string_view::npos)
    return found;
  if (const auto found = kOthers.find(lower); found != std::string_view::npos)
    return ShortText::kKinds - 1 - found;
  return c % ShortText::kKinds;
}

/// At least as many characters as two texts have in common, wherever they are.
std::size_t most_common(const ShortText &a, const ShortText &b) {
#ifdef __SSE2__
  const auto counts = [](const ShortText &text) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i *>(text.counts)); // and the size, the last
  };
  const auto sums = _mm_sad_epu8(_mm_min_epu8(counts(a), counts(b)), _mm_setzero_si128());
  return static_cast<std::size_t>(_mm_cvtsi128_si32(sums) + _mm_extract_epi16(sums, 4)) -
         std::min(a.size, b.size);
#else
  std::size_t common = 0;
  for (std::size_t i = 0; i < ShortText::kKinds; ++i)
    common += std::min(a.counts[i], b.counts[i]);
  return common;
#endif
}

/// Where a text has a character: a bit a place. `blocks` hold the whole text; above its end there is
/// anything.
template <std::size_t blocks> class Places {
public:
#ifdef __SSE2__
  explicit Places(const ShortText &text) {
    for (std::size_t i = 0; i < blocks; ++i)
      blocks_[i] = _mm_load_si128(reinterpret_cast<const __m128i *>(text.bytes) + i);
  }
  std::uint64_t of(char c) const {
    const auto wanted = _mm_set1_epi8(c);
    std::uint64_t places = 0;
    for (std::size_t i = 0; i < blocks; ++i)
      places |= static_cast<std::uint64_t>(
                    static_cast<unsigned>(_mm_movemask_epi8(_mm_cmpeq_epi8(blocks_[i], wanted))))
                << kBlock * i;
    return places;
  }

private:
  __m128i blocks_[blocks];
#else
  explicit Places(const ShortText &text) : text_(text) {}
  std::uint64_t of(char c) const {
    std::uint64_t places = 0;
    for (std::size_t i = 0; i < text_.size; ++i)
      places |= static_cast<std::uint64_t>(text_.bytes[i] == c) << i;
    return places;
  }

private:
  const ShortText &text_;
#endif
};

/// As JaroWinkler::similarity: each character of b takes the first free place in its window.
template <std::size_t blocks> double winkler_of(const ShortText &a, const ShortText &b, double least) {
  const Places<blocks> places(a);
  const auto window = window_of(a.size, b.size);
  const std::uint64_t whole = (std::uint64_t{1} << a.size) - 1;
  std::uint64_t near = (std::uint64_t{1} << (window + 1)) - 1, free = whole, found = 0;
  std::size_t common = 0;
  for (std::size_t j = 0; j < b.size; ++j) {
    const auto open = places.of(b.bytes[j]) & near & free;
    free ^= open & (~open + 1);
    found |= static_cast<std::uint64_t>(open != 0) << j;
    common += open != 0;
    near = near << 1 | (j < window); // ends at j + window, begins at j - window
  }
  const auto taken = whole & ~free;
  const double most = raised(jaro_of(common, 0, a.size, b.size), a.view(), b.view());
  if (most < least || common == 0)
    return most;
  std::size_t out_of_place = 0;
  for (auto rest = taken; rest; rest &= rest - 1, found &= found - 1)
    out_of_place += a.bytes[std::countr_zero(rest)] != b.bytes[std::countr_zero(found)];
  return out_of_place < 2 ? most : raised(jaro_of(common, out_of_place, a.size, b.size), a.view(), b.view());
}

/// A bound before anything is compared place by place; above 1 where there is none.
double most_winkler(const ShortText &a, const ShortText &b, double least) {
  constexpr double kRounding = 1e-9;
  const auto common = static_cast<double>(most_common(a, b));
  const double jaro = (common / a.size + common / b.size + (common > 0)) / 3 + kRounding;
  if (jaro >= least)
    return 2;
  return raised(jaro, a.view(), b.view());
}

template <bool transpositions, std::size_t blocks>
std::size_t edits_of(const ShortText &a, const ShortText &b, std::size_t limit) {
  return edits_in_a_word<transpositions>(Places<blocks>(a), a.size, b.view(), limit);
}

template <bool transpositions> std::size_t edits(const ShortText &x, const ShortText &y, std::size_t limit) {
  const bool turned = x.size > y.size;
  const auto &a = turned ? y : x, &b = turned ? x : y;
  if (a.size == 0 || b.size - most_common(a, b) > limit) // an edit brings in at most one character
    return std::min<std::size_t>(b.size, limit + 1);
  return a.size <= kBlock ? edits_of<transpositions, 1>(a, b, limit)
                          : edits_of<transpositions, 3>(a, b, limit);
}

} // namespace

int Alphabet::byte_of(char32_t point) {
  if (point < 128)
    return static_cast<int>(point);
  const auto found = bytes_.find(point);
  if (found != bytes_.end())
    return found->second;
  if (bytes_.size() == 128)
    return -1;
  return bytes_.emplace(point, static_cast<unsigned char>(128 + bytes_.size())).first->second;
}

ShortText Alphabet::shortened(std::string_view text, std::uint32_t code) {
  ShortText made{};
  made.code = code;
  made.size = ShortText::kLong;
  if (is_plain(text)) {
    if (text.size() > ShortText::kMost)
      return made;
    if (!text.empty())
      std::memcpy(made.bytes, text.data(), text.size());
    made.size = static_cast<std::uint8_t>(text.size());
  } else {
    const auto points = code_points(text);
    if (points.size() > ShortText::kMost)
      return made;
    for (std::size_t i = 0; i < points.size(); ++i) {
      const int byte = byte_of(points[i]);
      if (byte < 0)
        return made;
      made.bytes[i] = static_cast<char>(byte);
    }
    made.size = static_cast<std::uint8_t>(points.size());
  }
  for (const char c : made.view())
    ++made.counts[kind_of(static_cast<unsigned char>(c))];
  return made;
}

double jaro_winkler(const ShortText &a, const ShortText &b, double least) {
  if (a.size == 0 || b.size == 0)
    return a.size == b.size;
  if (const double most = most_winkler(a, b, least); most < least)
    return most;
  return a.size <= kBlock ? winkler_of<1>(a, b, least) : winkler_of<3>(a, b, least);
}

std::size_t levenshtein(const ShortText &a, const ShortText &b, std::size_t limit) {
  return edits<false>(a, b, limit);
}

std::size_t optimal_alignment(const ShortText &a, const ShortText &b, std::size_t limit) {
  return edits<true>(a, b, limit);
}

std::size_t damerau_levenshtein(const ShortText &a, const ShortText &b, std::size_t limit) {
  const auto aligned = edits<true>(a, b, most_aligned(limit));
  return is_settled(aligned, limit, a.size, b.size) ? std::min(aligned, limit + 1)
                                                    : damerau_of_bytes(a.view(), b.view(), limit);
}

} // namespace cdp::core
