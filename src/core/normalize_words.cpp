// Text as words that compare: what the normalisers of names and addresses share.
#include "normalize_icu.hpp"
#include "text.hpp"

#include <algorithm>
#include <array>
#include <unicode/uchar.h>
#include <unicode/uscript.h>
#include <unicode/utf8.h>

namespace cdp::core::detail {

namespace {

/// A code point and the bytes that spell it. Reads valid UTF-8.
struct Character {
  UChar32 code;
  std::string_view bytes;
};

template <class F> void each_character(std::string_view text, F &&visit) {
  const auto *bytes = reinterpret_cast<const std::uint8_t *>(text.data());
  const auto size = static_cast<std::int32_t>(text.size());
  for (std::int32_t at = 0; at < size;) {
    const std::int32_t start = at;
    UChar32 code = 0;
    U8_NEXT(bytes, at, size, code);
    visit(
        Character{code, text.substr(static_cast<std::size_t>(start), static_cast<std::size_t>(at - start))});
  }
}

bool has_category(UChar32 code, std::uint32_t mask) {
  return (U_GET_GC_MASK(code) & mask) != 0;
}

/// ' ` ‘ ’ ‛ ′ ʹ ʻ ʼ ʽ ʾ ʿ: O'Brien, O’Brien and O`Brien are one name. U+00B4 is made one of them earlier.
bool is_apostrophe(UChar32 code) {
  return code == '\'' || code == '`' || (code >= 0x2018 && code <= 0x201B && code != 0x201A) ||
         code == 0x2032 || (code >= 0x02B9 && code <= 0x02BF && code != 0x02BA);
}

/// Latin letters that no decomposition takes apart.
struct Letter {
  UChar32 code;
  std::string_view plain;
};
constexpr std::array kLetters{
    Letter{U'æ', "ae"}, Letter{U'ð', "d"}, Letter{U'ø', "o"}, Letter{U'þ', "th"}, Letter{U'đ', "d"},
    Letter{U'ħ', "h"},  Letter{U'ı', "i"}, Letter{U'ł', "l"}, Letter{U'œ', "oe"}, Letter{U'ŧ', "t"},
};

/// Marks that tell words apart stay (the vowels of Hindi and Thai, い before and after ゛); those that are
/// left out in a hurry go: accents of Latin and Greek, and the vowel points of Arabic and Hebrew.
bool keeps_marks(UChar32 base) {
  if (!has_category(base, U_GC_L_MASK))
    return false;
  UErrorCode status = U_ZERO_ERROR;
  const UScriptCode script = uscript_getScript(base, &status);
  return script != USCRIPT_LATIN && script != USCRIPT_GREEK && script != USCRIPT_ARABIC &&
         script != USCRIPT_HEBREW;
}

/// Decomposed text without apostrophes and marks, in plain letters.
std::string plain(std::string_view text) {
  std::string out;
  UChar32 base = 0; // the last character that is no mark
  each_character(text, [&](const Character &c) {
    if (is_apostrophe(c.code))
      return;
    const bool mark = has_category(c.code, U_GC_M_MASK);
    if (mark && !keeps_marks(base))
      return;
    if (!mark)
      base = c.code;
    const auto *letter = std::ranges::find(kLetters, c.code, &Letter::code);
    out += letter != kLetters.end() ? letter->plain : c.bytes;
  });
  return out;
}

/// The acute accent typed for an apostrophe: NFKC would make a space and a mark of it.
std::string with_apostrophes(std::string_view text) {
  std::string out(text);
  for (std::size_t at = 0; (at = out.find("\u00B4", at)) != std::string::npos;)
    out.replace(at, 2, "'");
  return out;
}

} // namespace

std::string collapsed(std::string_view text) {
  std::string out;
  bool gap = false;
  each_character(text, [&](const Character &c) {
    if (u_isUWhiteSpace(c.code) || c.code == 0xFEFF) {
      gap = true;
      return;
    }
    if (gap && !out.empty())
      out += ' ';
    gap = false;
    out += c.bytes;
  });
  return out;
}

std::optional<std::string> folded(std::string_view text) {
  auto folding = case_folded(with_apostrophes(text));
  if (folding)
    folding = decomposed(*folding);
  return folding ? composed(plain(*folding)) : std::nullopt;
}

Words words_of(std::string_view folded_text) {
  Words words;
  bool inside = false;
  each_character(folded_text, [&](const Character &c) {
    const bool part = has_category(c.code, U_GC_L_MASK | U_GC_M_MASK | U_GC_N_MASK);
    if (part && !inside)
      words.emplace_back();
    if (part)
      words.back() += c.bytes;
    inside = part;
  });
  return words;
}

NormalizeResult joined(const Words &words) {
  std::string value;
  for (const std::string &word : words) {
    if (!value.empty())
      value += ' ';
    value += word;
  }
  if (value.empty())
    return Refused{"there is no letter or digit in it"};
  return Normalized{std::move(value)};
}

} // namespace cdp::core::detail
