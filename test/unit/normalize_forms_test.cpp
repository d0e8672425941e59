// The normal forms for matching (casefold, mailbox, sha256, name, address), and what holds for all
// normalisers.
#include "normalize.hpp"

#include <gtest/gtest.h>
#include <random>

namespace cdp::core {

namespace {

std::string form(Normalizer normalizer, std::string_view raw, std::string_view region = "") {
  const NormalizeResult result = normalize(normalizer, raw, region);
  const auto *good = std::get_if<Normalized>(&result);
  return good ? good->value : "refused: " + std::get<Refused>(result).reason;
}

struct Row {
  std::string raw, wanted;
};

void expect_forms(Normalizer normalizer, const std::vector<Row> &rows) {
  for (const auto &[raw, wanted] : rows)
    EXPECT_EQ(form(normalizer, raw), wanted) << to_string(normalizer) << ' ' << raw;
}

TEST(Forms, Casefold) {
  expect_forms(Normalizer::casefold, {{"  Straße \t 5 ", "strasse 5"},
                                      {"ＡＢＣ\u00A0\u3000x", "abc x"},
                                      {"ΣΊΣΥΦΟΣ", "σίσυφοσ"},
                                      {"Łódź", "łódź"},
                                      {"a\u1680b\u2028c", "a b c"},
                                      {"\u00AD\u200B", "refused: it is empty"},
                                      {"日本", "日本"}});
}

TEST(Forms, Mailbox) {
  expect_forms(Normalizer::mailbox, {{" A.n.n.a+shop@Googlemail.com", "anna@gmail.com"},
                                     {"anna+a+b@gmail.com", "anna@gmail.com"},
                                     {"anna.b+x@outlook.com", "anna.b@outlook.com"},
                                     {"anna.b+x@proton.me", "anna.b@proton.me"},
                                     {"anna.b+x@fastmail.com", "anna.b@fastmail.com"},
                                     {"anna.b+x@web.de", "anna.b@web.de"},
                                     {"a.b+c@mail.gmail.com", "a.b@mail.gmail.com"},
                                     {"+tag@gmail.com", "+tag@gmail.com"},
                                     {"..@googlemail.com", "..@gmail.com"},
                                     {".+x@gmail.com", ".+x@gmail.com"},
                                     {"anna@", "refused: there is no domain after the @"}});
  EXPECT_EQ(form(Normalizer::email, "A.n.n.a+shop@Googlemail.com"), "a.n.n.a+shop@googlemail.com");
}

TEST(Forms, Sha256) {
  const std::string digest(64, 'a');
  const std::string refused = "refused: a SHA-256 digest is 64 hexadecimal digits";
  expect_forms(Normalizer::sha256, {{" " + std::string(64, 'A') + "\n", digest},
                                    {std::string(63, 'a'), refused},
                                    {std::string(65, 'a'), refused},
                                    {std::string(63, 'a') + "g", refused},
                                    {"anna@example.com", refused}});
}

TEST(Forms, NamesLoseCaseMarksAndTitles) {
  expect_forms(Normalizer::name, {{"O'Brien", "obrien"},
                                  {"O’BRIEN", "obrien"},
                                  {"O´Brien", "obrien"},
                                  {"Jean-Luc  Picard", "jean luc picard"},
                                  {"Jürgen Groß", "jurgen gross"},
                                  {"Ju\u0308rgen GROSS", "jurgen gross"},
                                  {"Łukasz Żółć", "lukasz zolc"},
                                  {"Søren Kierkegård", "soren kierkegard"},
                                  {"Þór Æsir Đorđe", "thor aesir dorde"},
                                  {"İstanbul Işık", "istanbul isik"},
                                  {"Dr. Anna Müller", "anna muller"},
                                  {"Prof. Dr. med. A. Müller", "a muller"},
                                  {"Frau Müller", "muller"},
                                  {"Dhr. J.P. de Vries", "j p de vries"},
                                  {"De heer Jansen", "jansen"},
                                  {"Jan de Heer", "jan de heer"},
                                  {"Mevr. dr. ir. El Khatib", "el khatib"},
                                  {"Dr", "dr"},
                                  {"Mr. Dr.", "dr"},
                                  {"Anna Smith, Ph.D.", "anna smith"},
                                  {"Null", "null"}});
}

TEST(Forms, NamesAreInSpokenOrder) {
  expect_forms(Normalizer::name, {{"Berg, Jan van den", "jan van den berg"},
                                  {"van den Berg, Jan", "jan van den berg"},
                                  {"Berg, J., van den", "j van den berg"},
                                  {"Müller, Dr. Anna", "anna muller"},
                                  {"Smith, John, Jr.", "john smith jr"},
                                  {"John Smith, Jr.", "john smith jr"},
                                  {"Jan Jansen, MSc", "jan jansen"},
                                  {", Jan", "jan"},
                                  {"Berg,", "berg"}});
}

TEST(Forms, NamesHaveOneSpellingOfParticles) {
  for (const char *raw :
       {"Jan van den Berg", "jan v.d. berg", "Jan v. d. Berg", "Jan vd Berg", "Jan van der Berg",
        "Jan van de Berg", "Jan v/d Berg", "Jan Vanden Berg", "JAN VAN DEN BERG"})
    EXPECT_EQ(form(Normalizer::name, raw), "jan van den berg") << raw;
  expect_forms(Normalizer::name, {{"Piet van 't Hof", "piet van t hof"},
                                  {"Piet van het Hof", "piet van t hof"},
                                  {"Kees op de Beek", "kees op den beek"},
                                  {"Anna in 't Veld", "anna in t veld"},
                                  {"Ursula von der Leyen", "ursula von der leyen"},
                                  {"Hans von dem Bussche", "hans vom bussche"},
                                  {"Karl zu der Linden", "karl zur linden"},
                                  {"V. D. Jansen", "van den jansen"},
                                  {"Jan v.d.", "jan v d"},
                                  {"Marie de la Tour", "marie de la tour"}});
}

TEST(Forms, OtherScriptsSurvive) {
  expect_forms(Normalizer::name, {{"Андрей Ёлкин", "андрей ёлкин"},
                                  {"Γιώργος Παπαδόπουλος", "γιωργοσ παπαδοπουλοσ"},
                                  {"أحمد", "احمد"},
                                  {"山田 太郎", "山田 太郎"},
                                  {"ガンダム", "ガンダム"},
                                  {"김철수", "김철수"},
                                  {"प्रिया", "प्रिया"},
                                  {"สมชาย น้ำใจ", "สมชาย น\u0E49\u0E4Dาใจ"},
                                  {"😀", "refused: there is no letter or digit in it"},
                                  {"...", "refused: there is no letter or digit in it"}});
}

TEST(Forms, Addresses) {
  for (const char *raw : {"Hauptstraße 12-A", "HAUPTSTRASSE 12 A", "Hauptstr. 12a", "hauptstr 12/A"})
    EXPECT_EQ(form(Normalizer::address, raw), "hauptstr 12a") << raw;
  for (const char *raw : {"Kerkstraat 5, 1234 AB Utrecht", "kerkstr. 5 1234ab UTRECHT"})
    EXPECT_EQ(form(Normalizer::address, raw), "kerkstr 5 1234ab utrecht") << raw;
  expect_forms(Normalizer::address, {{"Berliner Straße 5, 10115 Köln", "berliner str 5 10115 koln"},
                                     {"Prins Bernhardlaan 12 bis", "prins bernhardln 12bis"},
                                     {"Marktplein 1-hs", "marktpln 1hs"},
                                     {"Marktplein 1 huis", "marktpln 1hs"},
                                     {"Keizersgracht 12-II", "keizersgracht 12ii"},
                                     {"Utrechtseweg 12-14", "utrechtsewg 12 14"},
                                     {"10 Downing Street", "10 downing st"},
                                     {"10 Downing St.", "10 downing st"},
                                     {"5th Avenue", "5th ave"},
                                     {"5th Ave", "5th ave"},
                                     {"12 Abbey Road", "12 abbey rd"},
                                     {"Postbus 1, 1012 AV Amsterdam", "postbus 1 1012av amsterdam"},
                                     {"1012 Street", "1012 street"},
                                     {"Berliner Str. 7, D-50667 Köln", "berliner str 7 50667 koln"},
                                     {"NL-1234 AB Utrecht", "1234ab utrecht"},
                                     {"Laan A-1234", "ln 1234"},
                                     {"12 a-123456", "12a 123456"},
                                     {"D-", "d"},
                                     {"'s-Gravenhage", "s gravenhage"},
                                     {"東京都 1-2-3", "東京都 1 2 3"},
                                     {"--", "refused: there is no letter or digit in it"}});
}

/// What the words, titles, particles and numbers of a random text are made of.
const std::vector<std::string> kPieces{"van",
                                       "den",
                                       "de",
                                       "der",
                                       "d",
                                       "v",
                                       "vd",
                                       "het",
                                       "t",
                                       "von",
                                       "dem",
                                       "zu",
                                       "dr",
                                       "med",
                                       "mr",
                                       "heer",
                                       "phd",
                                       "ph",
                                       "msc",
                                       "jr",
                                       "jan",
                                       "ß",
                                       "Ø",
                                       "é",
                                       "e\u0301",
                                       "'",
                                       "’",
                                       "´",
                                       ",",
                                       "-",
                                       ".",
                                       " ",
                                       " ",
                                       " ",
                                       "  ",
                                       "\t",
                                       "12",
                                       "1234",
                                       "5",
                                       "ab",
                                       "a",
                                       "bis",
                                       "huis",
                                       "ii",
                                       "street",
                                       "str",
                                       "straat",
                                       "strasse",
                                       "laan",
                                       "plein",
                                       "av",
                                       "weg",
                                       "İ",
                                       "ı",
                                       "й",
                                       "и",
                                       "\u0306",
                                       "ガ",
                                       "\u3099",
                                       "\u0345",
                                       "ᾳ",
                                       "각",
                                       "\u1100",
                                       "\u1161",
                                       "\u11A8",
                                       "ا",
                                       "\u0654",
                                       "क",
                                       "\u093C",
                                       "\u094D",
                                       "ŉ",
                                       "ﬁ",
                                       "\u00AD",
                                       "\u200D",
                                       "\u0300",
                                       "😀",
                                       "①",
                                       "½",
                                       "\u20E3",
                                       "+",
                                       "@",
                                       "gmail.com",
                                       "googlemail.com",
                                       "live.com",
                                       "ά",
                                       "ς",
                                       "Σ",
                                       "\u0E33",
                                       "ﷺ",
                                       "\u0F73",
                                       "\u1E9E",
                                       "Ǆ",
                                       "K",
                                       "\u02BC",
                                       "\xFF",
                                       "ＡＢ"};

std::string random_text(std::mt19937 &random, std::size_t most) {
  std::string raw;
  for (std::size_t n = random() % most; n > 0; --n) {
    raw += kPieces[random() % kPieces.size()];
    if (random() % 2)
      raw += ' ';
  }
  return raw;
}

void expect_idempotent(Normalizer normalizer, const std::string &raw) {
  const NormalizeResult once = normalize(normalizer, raw, "NL");
  const auto *good = std::get_if<Normalized>(&once);
  if (!good)
    return;
  ASSERT_FALSE(good->value.empty());
  ASSERT_EQ(form(normalizer, good->value, "US"), good->value) << to_string(normalizer) << " of " << raw;
}

constexpr Normalizer kAll[]{Normalizer::text,  Normalizer::email,    Normalizer::phone,   Normalizer::uuid,
                            Normalizer::exact, Normalizer::casefold, Normalizer::mailbox, Normalizer::sha256,
                            Normalizer::name,  Normalizer::address};

TEST(Forms, AreTheirOwnNormalForms) {
  std::mt19937 random(11);
  for (int i = 0; i < 150'000; ++i)
    ASSERT_NO_FATAL_FAILURE(expect_idempotent(kAll[random() % std::size(kAll)], random_text(random, 9)));
}

/// Every kind of character there is, alone and between letters.
TEST(Forms, AreIdempotentForEveryCharacter) {
  const auto step = [](char32_t code) { // the many ideographs are alike
    return (code >= 0x3400 && code < 0xA000) || code >= 0x20000 ? 17 : 1;
  };
  for (char32_t code = 1; code <= 0x10FFFF; code += step(code)) {
    if (code >= 0xD800 && code <= 0xDFFF)
      continue;
    std::string utf8;
    if (code < 0x80)
      utf8 = {static_cast<char>(code)};
    else if (code < 0x800)
      utf8 = {static_cast<char>(0xC0 | code >> 6), static_cast<char>(0x80 | (code & 63))};
    else if (code < 0x10000)
      utf8 = {static_cast<char>(0xE0 | code >> 12), static_cast<char>(0x80 | (code >> 6 & 63)),
              static_cast<char>(0x80 | (code & 63))};
    else
      utf8 = {static_cast<char>(0xF0 | code >> 18), static_cast<char>(0x80 | (code >> 12 & 63)),
              static_cast<char>(0x80 | (code >> 6 & 63)), static_cast<char>(0x80 | (code & 63))};
    for (const Normalizer normalizer : {Normalizer::casefold, Normalizer::name, Normalizer::address}) {
      ASSERT_NO_FATAL_FAILURE(expect_idempotent(normalizer, utf8));
      ASSERT_NO_FATAL_FAILURE(expect_idempotent(normalizer, "x" + utf8 + "и" + utf8 + "y"));
    }
  }
}

} // namespace
} // namespace cdp::core
