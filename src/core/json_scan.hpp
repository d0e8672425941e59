// The byte-level step that json's strict pass and its cursors share.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace cdp::core::json {

inline bool stops_string(unsigned char c) {
  return c == '"' || c == '\\' || c < 0x20;
}

/// The first index at or after `at` that holds a quote, a backslash or a control character; size() if none
/// does.
inline std::size_t find_string_stop(std::string_view text, std::size_t at) {
#ifdef __SSE2__
  const auto all = [](char c) { return _mm_set1_epi8(c); };
  for (; at + 16 <= text.size(); at += 16) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i *>(text.data() + at));
    const __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(bytes, all(0x1f)), bytes);
    const __m128i found = _mm_or_si128(
        _mm_or_si128(_mm_cmpeq_epi8(bytes, all('"')), _mm_cmpeq_epi8(bytes, all('\\'))), control);
    if (const auto which = static_cast<unsigned>(_mm_movemask_epi8(found)))
      return at + static_cast<std::size_t>(std::countr_zero(which));
  }
#endif
  constexpr std::uint64_t ones = 0x0101010101010101u;
  constexpr std::uint64_t tops = 0x8080808080808080u;
  if constexpr (std::endian::native == std::endian::little) {
    for (; at + 8 <= text.size(); at += 8) { // eight bytes a step; the lowest flag set is exact
      std::uint64_t word;
      std::memcpy(&word, text.data() + at, 8);
      const std::uint64_t quote = word ^ ones * '"';
      const std::uint64_t slash = word ^ ones * '\\';
      const std::uint64_t found =
          (((quote - ones) & ~quote) | ((slash - ones) & ~slash) | ((word - ones * 0x20) & ~word)) & tops;
      if (found != 0)
        return at + static_cast<std::size_t>(std::countr_zero(found)) / 8;
    }
  }
  while (at < text.size() && !stops_string(static_cast<unsigned char>(text[at])))
    ++at;
  return at;
}

inline bool is_space(char c) {
  return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

} // namespace cdp::core::json
