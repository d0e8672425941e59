// Short texts that are held against each other very often: each in one line of the processor's cache, with
// how often which characters occur in it. Throws std::bad_alloc only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <unordered_map>

namespace cdp::core {

/// Characters as bytes of an Alphabet: what is the same there is the same here, and no more is known of them.
struct alignas(64) ShortText {
  static constexpr std::size_t kMost = 44, kKinds = 15;
  static constexpr std::uint8_t kLong = 255;

  char bytes[kMost];           // 0 after the end
  std::uint32_t code;          // whatever its owner makes of it
  std::uint8_t counts[kKinds]; // of characters of a kind
  std::uint8_t size;           // kLong: the text is not short

  bool is_short() const { return size != kLong; }
  std::string_view view() const { return {bytes, size}; }
};

/// ASCII as it is; other characters get a byte of their own as they come, as long as there are some.
class Alphabet {
public:
  ShortText shortened(std::string_view text, std::uint32_t code);

private:
  int byte_of(char32_t point); // -1: there is none left
  std::unordered_map<char32_t, unsigned char> bytes_;
};

// All are of texts that are short.

/// What jaro_winkler gives of them, to the last bit, or, when that is below `least`, anything below `least`.
double jaro_winkler(const ShortText &a, const ShortText &b, double least);

/// What the functions of the same name give.
std::size_t levenshtein(const ShortText &a, const ShortText &b, std::size_t limit);
std::size_t optimal_alignment(const ShortText &a, const ShortText &b, std::size_t limit);
std::size_t damerau_levenshtein(const ShortText &a, const ShortText &b, std::size_t limit);

} // namespace cdp::core
