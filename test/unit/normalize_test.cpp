#include "normalize.hpp"

#include <gtest/gtest.h>
#include <random>

namespace cdp::core {

namespace {

std::string value_of(const NormalizeResult &result) {
  const auto *good = std::get_if<Normalized>(&result);
  return good ? good->value : "refused: " + std::get<Refused>(result).reason;
}

struct Case {
  Normalizer normalizer;
  std::string raw;
  std::string region;
  std::string wanted; // or "refused: ..."
};

void PrintTo(const Case &row, std::ostream *out) {
  *out << to_string(row.normalizer) << ' ' << row.raw;
}

class Vectors : public testing::TestWithParam<Case> {};

TEST_P(Vectors, ComeOutAsWanted) {
  const Case &row = GetParam();
  const std::string value = value_of(normalize(row.normalizer, row.raw, row.region));
  if (row.wanted == "refused")
    EXPECT_TRUE(value.starts_with("refused: ")) << row.raw << " gave " << value;
  else
    EXPECT_EQ(value, row.wanted) << row.raw;
}

constexpr auto kText = Normalizer::text, kEmail = Normalizer::email, kPhone = Normalizer::phone,
               kUuid = Normalizer::uuid, kExact = Normalizer::exact;
const std::string kNoRegion = "refused: a number in national form needs a region, and none is known";
const std::string kTooShort = "refused: the number is too short";
const std::string kTooLong = "refused: the number is too long";

INSTANTIATE_TEST_SUITE_P(
    Phone, Vectors,
    testing::Values(
        Case{kPhone, "06-12345678", "NL", "+31612345678"},
        Case{kPhone, "06 12 34 56 78", "nl", "+31612345678"},
        Case{kPhone, "+31 (0)6 12345678", "", "+31612345678"},
        Case{kPhone, "0031612345678", "NL", "+31612345678"},
        Case{kPhone, "0031 6 12345678", "", "+31612345678"},
        Case{kPhone, "00 31 612345678", "US", "+31612345678"},
        Case{kPhone, "(0031) 612345678", "DE", "+31612345678"},
        Case{kPhone, "020 123 4567", "NL", "+31201234567"},
        Case{kPhone, "0151 23456789", "DE", "+4915123456789"},
        Case{kPhone, "030/901820", "DE", "+4930901820"},
        Case{kPhone, "+49 (0) 30 901820", "NL", "+4930901820"},
        Case{kPhone, "011 31 612345678", "US", "+31612345678"},
        Case{kPhone, "(212) 555-0123", "US", "+12125550123"},
        Case{kPhone, "tel:+31-6-12345678", "", "+31612345678"},
        Case{kPhone, "\uFF0B\uFF13\uFF11 612345678", "", "+31612345678"},
        Case{kPhone, "\u00A0+31612345678\u200A", "", "+31612345678"},
        Case{kPhone, "06-12345678", "", kNoRegion}, Case{kPhone, "06-12345678", "XX", kNoRegion},
        Case{kPhone, "06-12345678", "Netherlands", kNoRegion}, Case{kPhone, "06-12", "NL", kTooShort},
        Case{kPhone, "+49 1", "", kTooShort}, Case{kPhone, "+31 6 1234567890123", "", kTooLong},
        Case{kPhone, "+31612345678901234567890", "", kTooLong},
        Case{kPhone, "+999 12345678", "", "refused: it starts with no country code there is"},
        Case{kPhone, "call me", "NL", "refused: it is not a phone number"},
        Case{kPhone, "+", "", "refused: it is not a phone number"}, Case{kPhone, "0", "NL", "refused"},
        Case{kPhone, "00", "NL", "refused"}, Case{kPhone, "000000", "", "refused"},
        Case{kPhone, "5550123", "US", "refused: the number lacks its area code"},
        Case{kPhone, "020 123 4567 ext. 12", "NL",
             "refused: the number has an extension, so it is a switchboard's and not one person's"},
        Case{kPhone, "\xF0\x9F\x98\x80", "NL", "refused: it is not a phone number"}));

INSTANTIATE_TEST_SUITE_P(
    Email, Vectors,
    testing::Values(
        Case{kEmail, " Anna@Example.COM\n", "", "anna@example.com"},
        Case{kEmail, "a.n.n.a+tag@gmail.com", "", "a.n.n.a+tag@gmail.com"},
        Case{kEmail, "post@M\u00FCller.de", "", "post@xn--mller-kva.de"},
        Case{kEmail, "post@xn--mller-kva.de", "", "post@xn--mller-kva.de"},
        Case{kEmail, "post@stra\u00DFe.de", "", "post@xn--strae-oqa.de"},
        Case{kEmail, "J\u00D6RG@example.de", "", "j\u00F6rg@example.de"},
        Case{kEmail, "Jo\u0308rg@example.de", "", "j\u00F6rg@example.de"},
        Case{kEmail, "\uFF41\uFF20\uFF42.com", "", "a@b.com"},
        Case{kEmail, "a@\u4F8B\u3048\u3002jp", "", "a@xn--r8jz45g.jp"},
        Case{kEmail, "a@b.com.", "", "a@b.com"}, Case{kEmail, "a@localhost", "", "a@localhost"},
        Case{kEmail, "o'neil@b.com", "", "o'neil@b.com"},
        Case{kEmail, "anna", "", "refused: an email address needs an @"},
        Case{kEmail, "a@b@c.com", "", "refused: an email address has only one @"},
        Case{kEmail, "@b.com", "", "refused: there is nothing before the @"},
        Case{kEmail, "\u200B@b.com", "", "refused: there is nothing before the @"},
        Case{kEmail, "a@", "", "refused: there is no domain after the @"},
        Case{kEmail, "a@.", "", "refused: there is no domain after the @"},
        Case{kEmail, "a@b..com", "", "refused: the domain has an empty part"},
        Case{kEmail, "a@.com", "", "refused: the domain has an empty part"},
        Case{kEmail, "a@b c.com", "", "refused: an email address holds no white space"},
        Case{kEmail, "a b@c.com", "", "refused: an email address holds no white space"},
        Case{kEmail, "a\u2003b@c.com", "", "refused: an email address holds no white space"},
        Case{kEmail, "a@-b.com", "", "refused: a part of the domain starts or ends with a hyphen"},
        Case{kEmail, "<a@b.com>", "", "refused: the domain holds characters that a domain cannot have"},
        Case{kEmail, "a@xn--\u00FC.de", "", "refused"},
        Case{kEmail, "a@" + std::string(64, 'b') + ".com", "", "refused: the domain is too long"}));

INSTANTIATE_TEST_SUITE_P(
    Others, Vectors,
    testing::Values(
        Case{kText, "\u3000 Usr_1 \uFEFF", "", "Usr_1"}, Case{kText, "e\u0301", "", "\u00E9"},
        Case{kText, "A b", "", "A b"}, Case{kText, "\u2126", "", "\u03A9"},
        Case{kText, " \t\n", "", "refused: it is empty"}, Case{kText, "", "", "refused: it is empty"},
        Case{kText, "a\xFF", "", "refused: it is not valid UTF-8 text"},
        Case{kText, "\xED\xA0\x80", "", "refused: it is not valid UTF-8 text"},
        Case{kText, "\xC0\x80", "", "refused: it is not valid UTF-8 text"},
        Case{kText, std::string("a\0b", 3), "", "refused: it is not valid UTF-8 text"},
        Case{kText, std::string(1024, 'a'), "", std::string(1024, 'a')},
        Case{kText, std::string(1025, 'a'), "", "refused: it is longer than 1024 bytes"},
        Case{kExact, " e\u0301 ", "", "e\u0301"}, Case{kExact, "X", "", "X"},
        Case{kUuid, "66EB252A-B9A4-4457-B4B8-6DD9191D397A", "", "66eb252a-b9a4-4457-b4b8-6dd9191d397a"},
        Case{kUuid, "66eb252ab9a44457b4b86dd9191d397a", "", "66eb252a-b9a4-4457-b4b8-6dd9191d397a"},
        Case{kUuid, "{66eb252a-b9a4-4457-b4b8-6dd9191d397a}", "", "66eb252a-b9a4-4457-b4b8-6dd9191d397a"},
        Case{kUuid, "urn:uuid:66eb252a-b9a4-4457-b4b8-6dd9191d397a", "",
             "66eb252a-b9a4-4457-b4b8-6dd9191d397a"},
        Case{kUuid, "66eb252a-b9a4-4457-b4b86-dd9191d397a", "", "refused: it is not a UUID"},
        Case{kUuid, "66eb252a-b9a4-4457-b4b8-6dd9191d397", "", "refused: it is not a UUID"},
        Case{kUuid, "66eb252a-b9a4-4457-b4b8-6dd9191d397g", "", "refused: it is not a UUID"},
        Case{kUuid, "66eb252a-b9a4-4457-b4b8-6dd9191d39-a", "", "refused: it is not a UUID"},
        Case{kUuid, "--------------------------------", "", "refused: it is not a UUID"},
        Case{kUuid, "{}", "", "refused: it is not a UUID"}));

TEST(Normalize, NamesGoBothWays) {
  for (const char *name : {"text", "email", "phone", "uuid", "exact"})
    EXPECT_EQ(to_string(normalizer_from(name).value()), name);
  EXPECT_FALSE(normalizer_from("Email").has_value());
  EXPECT_FALSE(normalizer_from("").has_value());
}

TEST(Normalize, VersionNamesTheLibraries) {
  const std::string_view version = normalizer_version();
  EXPECT_TRUE(version.starts_with("icu ")) << version;
  EXPECT_NE(version.find("; libphonenumber 8."), std::string_view::npos) << version;
  EXPECT_TRUE(version.ends_with("; cdp 2")) << version;
  warm_normalizers();
}

/// Odd input never crashes, and a normalised value is its own normal form in any region.
TEST(Normalize, IsIdempotent) {
  static const std::vector<std::string> pieces{
      "a",      "Z",      "ß",        "İ",      "ﬁ",      "e\u0301", "@",    ".",      "-",
      "+",      "0",      "31",       "6123",   "é",      " ",       "\t",   "Σ",      "ς",
      "日",     "。",     "\u200D",   "\u200B", "\u00AD", "\u0345",  "xn--", "\uFF20", "(",
      ")",      "/",      ";",        "x",      "ext",    "א",       "٣",    "\u1E9E", "\U0001F600",
      "\u0130", "\xFF",   "12345678", "\u2000", "\u037E", "\u1FEF",  "com",  "ab",     "{",
      "}",      "\u0307", "\u1160",   "\uFDFA", "K",      "_",       "*",    "#"};
  std::mt19937 random(3);
  for (int i = 0; i < 60'000; ++i) {
    std::string raw;
    for (std::size_t n = random() % 9; n > 0; --n)
      raw += pieces[random() % pieces.size()];
    const auto normalizer = static_cast<Normalizer>(random() % 5);
    const NormalizeResult once = normalize(normalizer, raw, random() % 2 ? "NL" : "");
    if (const auto *good = std::get_if<Normalized>(&once)) {
      ASSERT_EQ(value_of(normalize(normalizer, good->value, "US")), good->value)
          << "raw " << raw << " as " << to_string(normalizer);
    } else {
      ASSERT_FALSE(std::get<Refused>(once).reason.empty());
    }
  }
}

} // namespace
} // namespace cdp::core
