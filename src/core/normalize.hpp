// Normalisers: one spelling for each identifier value, so that equal people meet.
// Pure functions of (normaliser, text, region, normalizer_version()); only std::bad_alloc is thrown.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace cdp::core {

inline constexpr std::size_t kMaxIdentifierBytes = 1024; // raw, and normalised

struct Normalized {
  std::string value; // valid UTF-8, not empty; normalising it again gives the same
};

struct Refused {
  std::string reason; // a phrase for people, without the value
};

using NormalizeResult = std::variant<Normalized, Refused>;

/// text: trimmed, NFC, case kept. email: case-folded, domain in its ASCII form. phone: E.164.
/// uuid: lower case with hyphens. exact: trimmed only. casefold: as text, case-folded, one space for many.
/// mailbox: email without what its provider ignores. sha256: 64 hexadecimal digits in lower case.
/// name, address: for matching, not for showing: see normalize_name.cpp and normalize_address.cpp.
enum class Normalizer { text, email, phone, uuid, exact, casefold, mailbox, sha256, name, address };

std::optional<Normalizer> normalizer_from(std::string_view name);
std::string_view to_string(Normalizer normalizer);

/// `region` (ISO 3166 alpha-2, any case, or "") is used by phone alone, for numbers in national form.
NormalizeResult normalize(Normalizer normalizer, std::string_view raw, std::string_view region);

/// Whether national numbers can be read as those of this region.
bool is_phone_region(std::string_view region);

/// Changes whenever a stored value might come out otherwise: "icu 72.1; libphonenumber 8.12; cdp 2".
std::string_view normalizer_version();

/// Loads ICU's and libphonenumber's tables now (some 20 ms), so that forked processes share them.
void warm_normalizers();

} // namespace cdp::core
