// Private to the similarities.
#pragma once

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

} // namespace cdp::core
