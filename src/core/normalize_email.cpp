#include "normalize_icu.hpp"
#include "text.hpp"

#include <algorithm>
#include <array>
#include <memory>
#include <unicode/bytestream.h>
#include <unicode/idna.h>

namespace cdp::core::detail {

namespace {

const icu::IDNA *idna() {
  static const std::unique_ptr<const icu::IDNA> instance = [] {
    UErrorCode status = U_ZERO_ERROR;
    constexpr std::uint32_t options = UIDNA_USE_STD3_RULES | UIDNA_CHECK_BIDI | UIDNA_CHECK_CONTEXTJ |
                                      UIDNA_NONTRANSITIONAL_TO_ASCII | UIDNA_NONTRANSITIONAL_TO_UNICODE;
    std::unique_ptr<const icu::IDNA> made(icu::IDNA::createUTS46Instance(options, status));
    return U_SUCCESS(status) ? std::move(made) : nullptr;
  }();
  return instance.get();
}

/// What is wrong with a domain, in words.
std::string domain_reason(std::uint32_t errors) {
  if (errors & UIDNA_ERROR_EMPTY_LABEL)
    return "the domain has an empty part";
  if (errors & (UIDNA_ERROR_LABEL_TOO_LONG | UIDNA_ERROR_DOMAIN_NAME_TOO_LONG))
    return "the domain is too long";
  if (errors & (UIDNA_ERROR_LEADING_HYPHEN | UIDNA_ERROR_TRAILING_HYPHEN))
    return "a part of the domain starts or ends with a hyphen";
  if (errors & (UIDNA_ERROR_PUNYCODE | UIDNA_ERROR_INVALID_ACE_LABEL))
    return "the domain holds broken Punycode";
  return "the domain holds characters that a domain cannot have";
}

/// The domain's ASCII form. ß and other deviations stay themselves (UTS 46, nontransitional).
NormalizeResult ascii_domain(std::string_view domain) {
  if (!domain.empty() && domain.back() == '.')
    domain.remove_suffix(1); // the root's dot names the same domain
  if (domain.empty())
    return Refused{"there is no domain after the @"};
  if (idna() == nullptr)
    return Refused{"ICU's domain tables are not available"};
  std::string ascii;
  icu::StringByteSink<std::string> sink(&ascii);
  icu::IDNAInfo info;
  UErrorCode status = U_ZERO_ERROR;
  idna()->nameToASCII_UTF8(icu_piece(domain), sink, info, status);
  const std::uint32_t errors =
      info.getErrors() & ~std::uint32_t{UIDNA_ERROR_HYPHEN_3_4}; // such names are registered
  if (U_FAILURE(status) || errors != 0)
    return Refused{domain_reason(errors)};
  if (ascii.empty() || ascii.back() == '.')
    return Refused{"the domain has an empty part"};
  return Normalized{std::move(ascii)};
}

/// Gmail Help: "Dots don't matter in Gmail addresses", and googlemail.com is gmail.com.
bool is_gmail(std::string_view domain) {
  return domain == "gmail.com" || domain == "googlemail.com";
}

} // namespace

NormalizeResult normalize_email(std::string_view trimmed) {
  const auto composed = compatible(trimmed); // makes a full-width @ a plain one
  if (!composed)
    return Refused{"ICU could not normalise it"};
  const std::string_view text = trim(*composed);
  const std::size_t at = text.find('@');
  if (at == std::string_view::npos)
    return Refused{"an email address needs an @"};
  if (text.find('@', at + 1) != std::string_view::npos)
    return Refused{"an email address has only one @"};
  if (has_space_or_control(text))
    return Refused{"an email address holds no white space"};
  auto local = case_folded(text.substr(0, at));
  if (!local || local->empty())
    return Refused{"there is nothing before the @"};
  if (has_space_or_control(*local) || local->find('@') != std::string::npos)
    return Refused{"the part before the @ holds characters it cannot have"};
  NormalizeResult domain = ascii_domain(text.substr(at + 1));
  if (const auto *good = std::get_if<Normalized>(&domain))
    return Normalized{std::move(*local) + '@' + good->value};
  return domain;
}

NormalizeResult normalize_mailbox(std::string_view trimmed) {
  NormalizeResult result = normalize_email(trimmed);
  auto *email = std::get_if<Normalized>(&result);
  if (!email)
    return result;
  const std::size_t at = email->value.find('@');
  const std::string_view domain = std::string_view(email->value).substr(at + 1);
  const std::string kept_domain(is_gmail(domain) ? "gmail.com" : domain);
  std::string local = email->value.substr(0, std::min(at, email->value.find('+')));
  if (is_gmail(domain))
    std::erase(local, '.');
  if (local.empty()) // "+tag@gmail.com" is nobody's, but it is not everybody's
    local = email->value.substr(0, at);
  return Normalized{local + '@' + kept_domain};
}

void warm_email() {
  idna();
}

} // namespace cdp::core::detail
