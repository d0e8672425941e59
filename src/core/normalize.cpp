#include "normalize.hpp"

#include "normalize_icu.hpp"
#include "text.hpp"

#include <array>
#include <unicode/bytestream.h>
#include <unicode/normalizer2.h>
#include <unicode/uchar.h>

#ifndef CDP_PHONENUMBER_VERSION
#define CDP_PHONENUMBER_VERSION "8.12" // the library does not say its own
#endif

namespace cdp::core {

namespace {

constexpr std::array<std::string_view, 10> kNames{"text",     "email",   "phone",  "uuid", "exact",
                                                  "casefold", "mailbox", "sha256", "name", "address"};

using InstanceOf = const icu::Normalizer2 *(*)(UErrorCode &);

/// ICU owns and caches the instances.
std::optional<std::string> apply(InstanceOf instance_of, std::string_view text) {
  UErrorCode status = U_ZERO_ERROR;
  const icu::Normalizer2 *normalizer = instance_of(status);
  std::string out;
  icu::StringByteSink<std::string> sink(&out);
  if (U_SUCCESS(status))
    normalizer->normalizeUTF8(0, detail::icu_piece(text), sink, nullptr, status);
  return U_SUCCESS(status) ? std::optional(std::move(out)) : std::nullopt;
}

const icu::Normalizer2 *nfc(UErrorCode &status) {
  return icu::Normalizer2::getNFCInstance(status);
}
const icu::Normalizer2 *nfd(UErrorCode &status) {
  return icu::Normalizer2::getNFDInstance(status);
}
const icu::Normalizer2 *nfkc(UErrorCode &status) {
  return icu::Normalizer2::getNFKCInstance(status);
}
const icu::Normalizer2 *nfkc_casefold(UErrorCode &status) {
  return icu::Normalizer2::getNFKCCasefoldInstance(status);
}

NormalizeResult normalize_text(std::string_view trimmed) {
  auto text = detail::composed(trimmed);
  if (!text)
    return Refused{"ICU could not normalise it"};
  return Normalized{std::move(*text)};
}

NormalizeResult normalize_casefold(std::string_view trimmed) {
  const auto text = detail::case_folded(trimmed);
  if (!text)
    return Refused{"ICU could not normalise it"};
  std::string value = detail::collapsed(*text);
  if (value.empty())
    return Refused{"it is empty"};
  return Normalized{std::move(value)};
}

NormalizeResult normalize_sha256(std::string_view trimmed) {
  std::string digest = ascii_lower(trimmed);
  if (digest.size() != 64 || digest.find_first_not_of("0123456789abcdef") != std::string::npos)
    return Refused{"a SHA-256 digest is 64 hexadecimal digits"};
  return Normalized{std::move(digest)};
}

/// 32 hexadecimal digits, hyphens where UUIDs have them or none at all, in braces or after urn:uuid: if need
/// be.
NormalizeResult normalize_uuid(std::string_view trimmed) {
  const Refused refused{"it is not a UUID"};
  const std::string lower = ascii_lower(trimmed);
  std::string_view text = lower;
  if (text.starts_with("urn:uuid:"))
    text.remove_prefix(9);
  if (text.size() > 2 && text.front() == '{' && text.back() == '}')
    text = text.substr(1, text.size() - 2);
  const bool hyphens = text.size() == 36;
  if (!hyphens && text.size() != 32)
    return refused;
  std::string uuid;
  for (const char c : text) {
    const bool hyphen_due = uuid.size() == 8 || uuid.size() == 13 || uuid.size() == 18 || uuid.size() == 23;
    if (hyphen_due)
      uuid += '-';
    if (hyphen_due && hyphens) {
      if (c != '-')
        return refused;
      continue;
    }
    if (!is_ascii_digit(c) && (c < 'a' || c > 'f'))
      return refused;
    uuid += c;
  }
  return Normalized{std::move(uuid)};
}

NormalizeResult dispatch(Normalizer normalizer, std::string_view trimmed, std::string_view region) {
  switch (normalizer) {
  case Normalizer::text:
    return normalize_text(trimmed);
  case Normalizer::email:
    return detail::normalize_email(trimmed);
  case Normalizer::phone:
    return detail::normalize_phone(trimmed, region);
  case Normalizer::uuid:
    return normalize_uuid(trimmed);
  case Normalizer::exact:
    return Normalized{std::string(trimmed)};
  case Normalizer::casefold:
    return normalize_casefold(trimmed);
  case Normalizer::mailbox:
    return detail::normalize_mailbox(trimmed);
  case Normalizer::sha256:
    return normalize_sha256(trimmed);
  case Normalizer::name:
    return detail::normalize_name(trimmed);
  case Normalizer::address:
    return detail::normalize_address(trimmed);
  }
  return Refused{"there is no such normaliser"};
}

} // namespace

std::optional<std::string> detail::composed(std::string_view text) {
  return is_ascii(text) ? std::string(text) : apply(nfc, text);
}

std::optional<std::string> detail::decomposed(std::string_view text) {
  return is_ascii(text) ? std::string(text) : apply(nfd, text);
}

std::optional<std::string> detail::compatible(std::string_view text) {
  return is_ascii(text) ? std::string(text) : apply(nfkc, text);
}

std::optional<std::string> detail::case_folded(std::string_view text) {
  return is_ascii(text) ? ascii_lower(text) : apply(nfkc_casefold, text);
}

std::optional<Normalizer> normalizer_from(std::string_view name) {
  for (std::size_t i = 0; i < kNames.size(); ++i)
    if (kNames[i] == name)
      return static_cast<Normalizer>(i);
  return std::nullopt;
}

std::string_view to_string(Normalizer normalizer) {
  return kNames[static_cast<std::size_t>(normalizer)];
}

NormalizeResult normalize(Normalizer normalizer, std::string_view raw, std::string_view region) {
  if (raw.size() > kMaxIdentifierBytes)
    return Refused{"it is longer than 1024 bytes"};
  if (!is_valid_utf8(raw) || raw.find('\0') != std::string_view::npos)
    return Refused{"it is not valid UTF-8 text"};
  const std::string_view trimmed = trim(raw);
  if (trimmed.empty())
    return Refused{"it is empty"};
  NormalizeResult result = dispatch(normalizer, trimmed, region);
  if (const auto *good = std::get_if<Normalized>(&result); good && good->value.size() > kMaxIdentifierBytes)
    return Refused{"it is longer than 1024 bytes"};
  return result;
}

std::string_view normalizer_version() {
  static const std::string version = [] {
    UVersionInfo icu_version;
    char text[U_MAX_VERSION_STRING_LENGTH] = "";
    u_getVersion(icu_version);
    u_versionToString(icu_version, text);
    return std::string("icu ") + text + "; libphonenumber " CDP_PHONENUMBER_VERSION "; cdp 2";
  }();
  return version;
}

void warm_normalizers() {
  UErrorCode status = U_ZERO_ERROR;
  nfc(status);
  nfd(status);
  nfkc(status);
  nfkc_casefold(status);
  detail::warm_email();
  detail::warm_phone();
  normalizer_version();
}

} // namespace cdp::core
