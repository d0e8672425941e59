#include "junk.hpp"

#include "normalize_icu.hpp"
#include "text.hpp"

#include <algorithm>
#include <array>

namespace cdp::core {

namespace {

constexpr std::string_view kNoValue = "a program's word for no value";
constexpr std::string_view kNotGiven = "a form's word for not given";
constexpr std::string_view kNobody = "a name for nobody in particular";
constexpr std::string_view kTest = "a test value";
constexpr std::string_view kInvented = "an address that people invent to get past a form";

/// A value stands here only if no person has it: "1", "admin" and "null@web.de" may be somebody's.
constexpr std::array kValues{
    JunkValue{"", "", "it is empty"},
    JunkValue{"null", "", kNoValue},
    JunkValue{"(null)", "", kNoValue},
    JunkValue{"<null>", "", kNoValue},
    JunkValue{"\\n", "", kNoValue}, // \N, as COPY writes NULL
    JunkValue{"nil", "", kNoValue},
    JunkValue{"none", "", kNoValue},
    JunkValue{"nan", "", kNoValue},
    JunkValue{"undefined", "", kNoValue},
    JunkValue{"[object object]", "", kNoValue},
    JunkValue{"true", "", "a truth value, not a name"},
    JunkValue{"false", "", "a truth value, not a name"},
    JunkValue{"-1", "", "a number that stands for none"},
    JunkValue{"-", "", kNotGiven},
    JunkValue{"--", "", kNotGiven},
    JunkValue{"?", "", kNotGiven},
    JunkValue{"n/a", "", kNotGiven},
    JunkValue{"na", "", kNotGiven},
    JunkValue{"not available", "", kNotGiven},
    JunkValue{"not applicable", "", kNotGiven},
    JunkValue{"not provided", "", kNotGiven},
    JunkValue{"not set", "", kNotGiven},
    JunkValue{"(not set)", "", kNotGiven}, // Google Analytics
    JunkValue{"no email", "", kNotGiven},
    JunkValue{"no phone", "", kNotGiven},
    JunkValue{"n.v.t.", "", kNotGiven}, // Dutch: not applicable
    JunkValue{"nvt", "", kNotGiven},
    JunkValue{"geen", "", kNotGiven}, // Dutch, German: none
    JunkValue{"keine", "", kNotGiven},
    JunkValue{"k.a.", "", kNotGiven}, // German: no answer
    JunkValue{"unknown", "", kNobody},
    JunkValue{"onbekend", "", kNobody},
    JunkValue{"unbekannt", "", kNobody},
    JunkValue{"anonymous", "", kNobody},
    JunkValue{"anoniem", "", kNobody},
    JunkValue{"anonym", "", kNobody},
    JunkValue{"guest", "", kNobody},
    JunkValue{"deleted", "", "what is left of an account that is gone"},
    JunkValue{"test", "", kTest},
    JunkValue{"test@test.com", "email", kTest},
    JunkValue{"test@test.nl", "email", kTest},
    JunkValue{"test@test.de", "email", kTest},
    JunkValue{"test@example.com", "email", kTest},
    JunkValue{"user@example.com", "email", kTest},
    JunkValue{"email@example.com", "email", kTest},
    JunkValue{"none@none.com", "email", kInvented},
    JunkValue{"no@email.com", "email", kInvented},
    JunkValue{"null@null.com", "email", kInvented},
    JunkValue{"na@na.com", "email", kInvented},
    JunkValue{"unknown@unknown.com", "email", kInvented},
    JunkValue{"anonymous@anonymous.com", "email", kInvented},
    JunkValue{"asdf@asdf.com", "email", kInvented},
    JunkValue{"a@a.a", "email", kInvented},
    JunkValue{"a@a.com", "email", kInvented},
    JunkValue{"a@b.c", "email", kInvented},
    JunkValue{"x@x.x", "email", kInvented},
    JunkValue{"9774d56d682e549c", "device_id", "an Android ID that a fault gave to many devices"},
    JunkValue{"02:00:00:00:00:00", "device_id", "what Android and iOS say instead of the MAC address"},
    JunkValue{"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "",
              "the SHA-256 of an empty text"},
    JunkValue{"74234e98afe7498fb5daf1f36ac2d78acc339464f950703b8c019892f982b90b", "",
              "the SHA-256 of \"null\""},
    JunkValue{"eb045d78d273107348b0300c01d29b7552d622abbc6faf81b3ec55359aa9950c", "",
              "the SHA-256 of \"undefined\""},
    JunkValue{"d41d8cd98f00b204e9800998ecf8427e", "", "the MD5 of an empty text"},
};

bool consists_of(std::string_view text, std::string_view characters) {
  return text.find_first_not_of(characters) == std::string_view::npos;
}

bool is_one_digit(std::string_view digits) {
  return !digits.empty() && digits.find_first_not_of(digits.front()) == std::string_view::npos;
}

bool only_zeros(std::string_view value) {
  return value.find('0') != std::string_view::npos && consists_of(value, "0 -./:()+{}_");
}

/// Also RFC 9562's Max UUID. A random UUID says its version, so its digits differ.
bool one_digit_uuid(std::string_view value) {
  std::string digits(value);
  std::erase_if(digits, [](char c) { return c == '-' || c == '{' || c == '}'; });
  return digits.size() == 32 && is_one_digit(digits) && consists_of(digits, "0123456789abcdef");
}

bool unread_mailbox(std::string_view value) {
  constexpr std::array<std::string_view, 9> names{"noreply",  "no-reply",   "no.reply",
                                                  "no_reply", "donotreply", "do-not-reply",
                                                  "noemail",  "no-email",   "nomail"};
  const std::size_t at = value.find('@');
  return at != std::string_view::npos && std::ranges::find(names, value.substr(0, at)) != names.end();
}

bool invalid_domain(std::string_view value) {
  return value.find('@') != std::string_view::npos && value.ends_with(".invalid");
}

/// ITU-T E.164, list of country codes: of one, two or three digits.
std::size_t country_code_length(std::string_view digits) {
  constexpr std::string_view two =
      "20 27 30 31 32 33 34 36 39 40 41 43 44 45 46 47 48 49 51 52 53 54 55 56 57 58 "
      "60 61 62 63 64 65 66 81 82 84 86 90 91 92 93 94 95 98";
  if (digits.starts_with('1') || digits.starts_with('7'))
    return 1;
  return digits.size() >= 2 && two.find(digits.substr(0, 2)) != std::string_view::npos ? 2 : 3;
}

/// The digits of a phone number without country code and the 0 before an area code; "" if it is no number.
std::string subscriber_digits(std::string_view value) {
  if (!consists_of(value, "0123456789 -./()+"))
    return {};
  std::string digits;
  std::ranges::copy_if(value, std::back_inserter(digits), [](char c) { return is_ascii_digit(c); });
  const bool exit_code = digits.starts_with("00") && digits.size() > 2 && digits[2] != '0';
  if (exit_code)
    digits.erase(0, 2);
  if (exit_code || value.find('+') != std::string_view::npos)
    digits.erase(0, country_code_length(digits));
  if (digits.size() > 1 && digits[0] == '0' && digits[1] != '0')
    digits.erase(0, 1);
  return digits;
}

bool zero_phone(std::string_view value) {
  const std::string digits = subscriber_digits(value);
  return !digits.empty() && consists_of(digits, "0");
}

constexpr std::size_t kFillerDigits = 9; // countries with eight digits do give 88888888 to somebody

bool one_digit_phone(std::string_view value) {
  const std::string digits = subscriber_digits(value);
  return digits.size() >= kFillerDigits && is_one_digit(digits);
}

bool counting_phone(std::string_view value) {
  const std::string digits = subscriber_digits(value);
  return digits.size() >= kFillerDigits && (std::string_view("1234567890").starts_with(digits) ||
                                            std::string_view("9876543210").starts_with(digits));
}

bool zero_card(std::string_view value) {
  const std::size_t zeros = value.find_first_not_of("abcdefghijklmnopqrstuvwxyz-_ #");
  return zeros != std::string_view::npos && value.size() - zeros >= 4 &&
         consists_of(value.substr(zeros), "0");
}

struct JunkPattern {
  JunkValue row;
  bool (*holds)(std::string_view value); // of a value in lower case, without white space around it
};

constexpr std::array kPatterns{
    JunkPattern{{"(zeros and separators)", "", "nothing but zeros"}, only_zeros},
    JunkPattern{{"(a UUID of one digit)", "", "a UUID that nobody drew"}, one_digit_uuid},
    JunkPattern{
        {"(noreply@, no-reply@, donotreply@, noemail@, nomail@ …)", "email", "a mailbox that nobody reads"},
        unread_mailbox},
    JunkPattern{{"(a domain that ends in .invalid)", "email", "a domain that cannot exist (RFC 2606)"},
                invalid_domain},
    JunkPattern{{"(a phone number of zeros after its country code)", "phone",
                 "nothing but zeros after its country code"},
                zero_phone},
    JunkPattern{
        {"(a phone number of one digit, nine times or more)", "phone", "one digit, repeated to fill a form"},
        one_digit_phone},
    JunkPattern{
        {"(123456789, 1234567890, 987654321, 9876543210)", "phone", "the keys of a phone in their order"},
        counting_phone},
    JunkPattern{{"(letters, then four zeros or more)", "loyalty_id", "a card without a number"}, zero_card},
};

bool applies(const JunkValue &row, std::string_view type) {
  return row.applies_to.empty() || row.applies_to == type;
}

} // namespace

std::optional<std::string_view> junk_reason(std::string_view type, std::string_view value) {
  const auto folded = detail::case_folded(trim(value));
  if (!folded)
    return std::nullopt;
  for (const JunkValue &row : kValues)
    if (row.value == *folded && applies(row, type))
      return row.why;
  for (const JunkPattern &pattern : kPatterns)
    if (applies(pattern.row, type) && pattern.holds(*folded))
      return pattern.row.why;
  return std::nullopt;
}

std::vector<JunkValue> junk_list() {
  std::vector<JunkValue> list(kValues.begin(), kValues.end());
  for (const JunkPattern &pattern : kPatterns)
    list.push_back(pattern.row);
  return list;
}

} // namespace cdp::core
