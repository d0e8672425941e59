// A postal address for matching: "Hauptstraße 12-A" and "HAUPTSTR. 12a" are one, and "1234 AB" is 1234ab.
//
// Rules; order and language of the address stay as they are:
//   1. case-folded, diacritics and apostrophes gone, everything else that is no letter or digit a space
//   2. street words and street endings in one short spelling, whatever the language
//   3. the country before a postcode goes: D-10115, NL-1234 AB
//   4. an addition is written against its house number, and the letters of a Dutch postcode against its
//   digits;
//      a word after four digits may be those letters, so it is never shortened
#include "normalize_icu.hpp"
#include "text.hpp"

#include <algorithm>
#include <array>

namespace cdp::core::detail {

namespace {

struct Spelling {
  std::string_view written, wanted;
};

/// Of whole words. No wanted spelling is itself a written one or an addition: the normal form would change.
constexpr std::array kWords{
    Spelling{"street", "st"}, Spelling{"road", "rd"},        Spelling{"avenue", "ave"},
    Spelling{"av", "ave"},    Spelling{"boulevard", "blvd"}, Spelling{"bd", "blvd"},
    Spelling{"lane", "ln"},   Spelling{"place", "pl"},       Spelling{"square", "sq"},
    Spelling{"drive", "dr"},  Spelling{"court", "ct"},
};

/// Of whole words and of their endings: Kerkstraat, Hauptstraße (ß is ss by now), Marktplatz.
constexpr std::array kEndings{
    Spelling{"straat", "str"}, Spelling{"strasse", "str"}, Spelling{"laan", "ln"},
    Spelling{"plein", "pln"},  Spelling{"weg", "wg"},      Spelling{"platz", "pl"},
};

/// Besides one letter: 12 bis, 12-hs, Amsterdam's 12-II.
constexpr std::array<std::string_view, 6> kAdditions{"bis", "hs", "huis", "ii", "iii", "iv"};

/// As vehicles carry them, and ISO 3166; only where a hyphen and four or five digits follow.
constexpr std::array<std::string_view, 19> kCountries{"a", "at", "b", "be", "ch", "cz", "d",  "de", "dk", "e",
                                                      "f", "fr", "i", "it", "l",  "lu", "nl", "pl", "s"};

/// How many bytes of the text are a country before a postcode, its hyphen included.
std::size_t country_prefix(std::string_view text) {
  const std::size_t hyphen = text.substr(0, 3).find('-');
  if (hyphen == std::string_view::npos ||
      std::ranges::find(kCountries, text.substr(0, hyphen)) == kCountries.end())
    return 0;
  const std::string_view rest = text.substr(hyphen + 1);
  const std::size_t digits = std::min(rest.find_first_not_of("0123456789"), rest.size());
  return digits == 4 || digits == 5 ? hyphen + 1 : 0;
}

std::string without_countries(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (at == 0 || std::string_view(" \t\n,;").find(text[at - 1]) != std::string_view::npos)
      at += country_prefix(text.substr(at));
    out += text[at];
  }
  return out;
}

bool is_number(std::string_view word) {
  return !word.empty() && std::ranges::all_of(word, [](char c) { return is_ascii_digit(c); });
}

bool are_letters(std::string_view word, std::size_t count) {
  return word.size() == count && std::ranges::all_of(word, [](char c) { return is_ascii_letter(c); });
}

bool is_addition(std::string_view word) {
  return are_letters(word, 1) || std::ranges::find(kAdditions, word) != kAdditions.end();
}

std::string street_word(const std::string &word) {
  if (const auto *known = std::ranges::find(kWords, word, &Spelling::written); known != kWords.end())
    return std::string(known->wanted);
  for (const auto &[written, wanted] : kEndings)
    if (word.ends_with(written))
      return word.substr(0, word.size() - written.size()) + std::string(wanted);
  return word;
}

void add_word(Words &out, const std::string &word) {
  const bool after_number = !out.empty() && is_number(out.back());
  const bool after_postcode = after_number && out.back().size() == 4;
  if (after_number && is_addition(word))
    out.back() += word == "huis" ? "hs" : word;
  else if (after_postcode && are_letters(word, 2))
    out.back() += word;
  else
    out.push_back(after_postcode ? word : street_word(word));
}

} // namespace

NormalizeResult normalize_address(std::string_view trimmed) {
  const auto text = folded(trimmed);
  if (!text)
    return Refused{"ICU could not normalise it"};
  Words words;
  for (const std::string &word : words_of(without_countries(*text)))
    add_word(words, word);
  return joined(words);
}

} // namespace cdp::core::detail
