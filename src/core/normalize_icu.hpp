// The parts of the normalisers, each in the file of its library. Private to core; arguments are valid UTF-8.
#pragma once

#include "normalize.hpp"

#include <cstdint>
#include <unicode/stringpiece.h>
#include <vector>

namespace cdp::core::detail {

inline icu::StringPiece icu_piece(std::string_view text) {
  return {text.data(), static_cast<std::int32_t>(text.size())};
}

/// NFC, NFD, NFKC and NFKC_Casefold; nothing if ICU fails.
std::optional<std::string> composed(std::string_view text);
std::optional<std::string> decomposed(std::string_view text);
std::optional<std::string> compatible(std::string_view text);
std::optional<std::string> case_folded(std::string_view text);

/// Trimmed, and every stretch of white space inside one space.
std::string collapsed(std::string_view text);

using Words = std::vector<std::string>;

/// Case-folded, letters without diacritics, apostrophes gone; nothing if ICU fails. Commas and the like stay.
std::optional<std::string> folded(std::string_view text);
/// The stretches of letters and digits in a folded text.
Words words_of(std::string_view folded_text);
/// The words with a space between any two, or refused when there are none.
NormalizeResult joined(const Words &words);

NormalizeResult normalize_email(std::string_view trimmed);
NormalizeResult normalize_mailbox(std::string_view trimmed);
NormalizeResult normalize_name(std::string_view trimmed);
NormalizeResult normalize_address(std::string_view trimmed);
NormalizeResult normalize_phone(std::string_view trimmed, std::string_view region);

void warm_email();
void warm_phone();

} // namespace cdp::core::detail
