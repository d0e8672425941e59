// The parts of the normalisers, each in the file of its library. Private to core; arguments are valid UTF-8.
#pragma once

#include "normalize.hpp"

#include <cstdint>
#include <unicode/stringpiece.h>

namespace cdp::core::detail {

inline icu::StringPiece icu_piece(std::string_view text) {
  return {text.data(), static_cast<std::int32_t>(text.size())};
}

/// NFC, NFKC and NFKC_Casefold; nothing if ICU fails.
std::optional<std::string> composed(std::string_view text);
std::optional<std::string> compatible(std::string_view text);
std::optional<std::string> case_folded(std::string_view text);

NormalizeResult normalize_email(std::string_view trimmed);
NormalizeResult normalize_phone(std::string_view trimmed, std::string_view region);

void warm_email();
void warm_phone();

} // namespace cdp::core::detail
