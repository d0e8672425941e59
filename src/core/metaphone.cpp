// Double metaphone: Philips' rules, a function a letter. Sounds are letters; 0 is "th", X is "sh", a second
// code goes another way where a name may be said so.
#include "normalize_icu.hpp"
#include "similarity.hpp"
#include "text.hpp"

#include <algorithm>
#include <initializer_list>

namespace cdp::core {

namespace {

constexpr std::size_t kCodeLength = 4;

class Name {
public:
  explicit Name(std::string letters) : text_(std::move(letters)), last_(static_cast<int>(text_.size()) - 1) {
    const auto has = [&](const char *part) { return text_.find(part) != std::string::npos; };
    slavic_ = has("W") || has("K") || has("CZ") || has("WITZ");
  }

  Sounds encode();

private:
  using Words = std::initializer_list<std::string_view>;

  // Beyond the ends there are spaces.
  char at(int place) const {
    return place >= 0 && place <= last_ ? text_[static_cast<std::size_t>(place)] : ' ';
  }
  bool is(int place, std::string_view set) const {
    return place >= 0 && place <= last_ && set.find(at(place)) != std::string_view::npos;
  }
  bool any(int place, Words words) const {
    return place >= 0 && std::any_of(words.begin(), words.end(), [&](std::string_view word) {
             for (std::size_t i = 0; i < word.size(); ++i)
               if (at(place + static_cast<int>(i)) != word[i])
                 return false;
             return true;
           });
  }
  bool vowel(int place) const { return is(place, "AEIOUY"); }
  bool germanic() const { return any(0, {"VAN ", "VON ", "SCH"}); }
  bool next_is(char c) const { return at(i_ + 1) == c; }

  // Adds sounds and goes on by as many letters.
  int add(std::string_view both, int letters) { return add(both, both, letters); }
  int add(std::string_view first, std::string_view second, int letters) {
    sounds_.first += first;
    sounds_.second += second;
    return letters;
  }

  int letter();
  int c();
  int ch();
  int d();
  int g();
  int gh();
  int h();
  int j();
  int l();
  int m();
  int p();
  int r();
  int s();
  int sc();
  int t();
  int w();
  int x();
  int z();

  std::string text_;
  int last_, i_ = 0;
  bool slavic_;
  Sounds sounds_;
};

Sounds Name::encode() {
  if (any(0, {"GN", "KN", "PN", "WR", "PS"}))
    i_ = 1;
  if (at(0) == 'X')
    i_ += add("S", 1);
  while (i_ <= last_ && std::min(sounds_.first.size(), sounds_.second.size()) < kCodeLength)
    i_ += letter();
  for (auto *code : {&sounds_.first, &sounds_.second})
    code->resize(std::min(code->size(), kCodeLength));
  return sounds_;
}

int Name::letter() {
  const char letter = at(i_);
  const auto doubled = [&](std::string_view sound, char same) { return add(sound, next_is(same) ? 2 : 1); };
  if (vowel(i_))
    return add(i_ == 0 ? "A" : "", 1);
  switch (letter) {
  case 'B':
    return doubled("P", 'B');
  case 'C':
    return c();
  case '\xC7': // C with cedilla
    return add("S", 1);
  case 'D':
    return d();
  case 'F':
    return doubled("F", 'F');
  case 'G':
    return g();
  case 'H':
    return h();
  case 'J':
    return j();
  case 'K':
    return doubled("K", 'K');
  case 'L':
    return l();
  case 'M':
    return m();
  case 'N':
    return doubled("N", 'N');
  case '\xD1': // N with tilde
    return add("N", 1);
  case 'P':
    return p();
  case 'Q':
    return doubled("K", 'Q');
  case 'R':
    return r();
  case 'S':
    return s();
  case 'T':
    return t();
  case 'V':
    return doubled("F", 'V');
  case 'W':
    return w();
  case 'X':
    return x();
  case 'Z':
    return z();
  default:
    return 1;
  }
}

int Name::c() {
  const bool bacher = any(i_ - 2, {"BACHER", "MACHER"});
  if (i_ > 1 && !vowel(i_ - 2) && any(i_ - 1, {"ACH"}) && !is(i_ + 2, "I") && (!is(i_ + 2, "E") || bacher))
    return add("K", 2);
  if (i_ == 0 && any(0, {"CAESAR"}))
    return add("S", 2);
  if (any(i_, {"CHIA"}))
    return add("K", 2);
  if (next_is('H'))
    return ch();
  if (next_is('Z') && !any(i_ - 2, {"WICZ"}))
    return add("S", "X", 2);
  if (any(i_ + 1, {"CIA"}))
    return add("X", 3);
  if (next_is('C') && !(i_ == 1 && at(0) == 'M')) {
    if (!is(i_ + 2, "IEH") || any(i_ + 2, {"HU"}))
      return add("K", 2);
    const bool accent = (i_ == 1 && at(0) == 'A') || any(i_ - 1, {"UCCEE", "UCCES"});
    return add(accent ? "KS" : "X", 3);
  }
  if (is(i_ + 1, "KGQ"))
    return add("K", 2);
  if (is(i_ + 1, "IEY"))
    return any(i_, {"CIO", "CIE", "CIA"}) ? add("S", "X", 2) : add("S", 2);
  if (any(i_ + 1, {" C", " Q", " G"}))
    return add("K", 3);
  return add("K", is(i_ + 1, "CKQ") && !any(i_ + 1, {"CE", "CI"}) ? 2 : 1);
}

int Name::ch() {
  if (i_ > 0 && any(i_, {"CHAE"}))
    return add("K", "X", 2);
  if (i_ == 0 && any(1, {"HARAC", "HARIS", "HOR", "HYM", "HIA", "HEM"}) && !any(0, {"CHORE"}))
    return add("K", 2);
  const bool before = i_ == 0 || is(i_ - 1, "AOUE");
  const bool after = i_ + 2 > last_ || is(i_ + 2, "LRNMBHFVW ");
  if (germanic() || any(i_ - 2, {"ORCHES", "ARCHIT", "ORCHID"}) || is(i_ + 2, "TS") || (before && after))
    return add("K", 2);
  if (i_ == 0)
    return add("X", 2);
  return any(0, {"MC"}) ? add("K", 2) : add("X", "K", 2);
}

int Name::d() {
  if (next_is('G'))
    return is(i_ + 2, "IEY") ? add("J", 3) : add("TK", 2);
  return add("T", is(i_ + 1, "TD") ? 2 : 1);
}

int Name::g() {
  if (next_is('H'))
    return gh();
  if (next_is('N')) {
    if (i_ == 1 && vowel(0) && !slavic_)
      return add("KN", "N", 2);
    if (!any(i_ + 2, {"EY"}) && !slavic_)
      return add("N", "KN", 2);
    return add("KN", 2);
  }
  if (any(i_ + 1, {"LI"}) && !slavic_)
    return add("KL", "L", 2);
  if (i_ == 0 && any(1, {"Y", "ES", "EP", "EB", "EL", "EY", "IB", "IL", "IN", "IE", "EI", "ER"}))
    return add("K", "J", 2);
  if (any(i_ + 1, {"ER", "Y"}) && !any(0, {"DANGER", "RANGER", "MANGER"}) && !is(i_ - 1, "EI") &&
      !any(i_ - 1, {"RGY", "OGY"}))
    return add("K", "J", 2);
  if (is(i_ + 1, "EIY") || any(i_ - 1, {"AGGI", "OGGI"})) {
    if (germanic() || any(i_ + 1, {"ET"}))
      return add("K", 2);
    return any(i_ + 1, {"IER "}) ? add("J", 2) : add("J", "K", 2);
  }
  return add("K", next_is('G') ? 2 : 1);
}

int Name::gh() {
  if (i_ > 0 && !vowel(i_ - 1))
    return add("K", 2);
  if (i_ == 0)
    return add(at(2) == 'I' ? "J" : "K", 2);
  if (is(i_ - 2, "BHD") || is(i_ - 3, "BHD") || is(i_ - 4, "BH")) // hugh, bough, broughton
    return 2;
  if (at(i_ - 1) == 'U' && is(i_ - 3, "CGLRT")) // laugh, cough, rough
    return add("F", 2);
  return add(at(i_ - 1) == 'I' ? "" : "K", 2);
}

int Name::h() {
  return (i_ == 0 || vowel(i_ - 1)) && vowel(i_ + 1) ? add("H", 2) : 1;
}

int Name::j() {
  const int letters = next_is('J') ? 2 : 1;
  if (any(i_, {"JOSE"}) || any(0, {"SAN "}))
    return (i_ == 0 && at(4) == ' ') || any(0, {"SAN "}) ? add("H", 1) : add("J", "H", 1);
  if (i_ == 0)
    return add("J", "A", letters);
  if (vowel(i_ - 1) && !slavic_ && is(i_ + 1, "AO"))
    return add("J", "H", letters);
  if (i_ == last_)
    return add("J", "", letters);
  return add(is(i_ + 1, "LTKSNMBZ") || is(i_ - 1, "SKL") ? "" : "J", letters);
}

int Name::l() {
  if (!next_is('L'))
    return add("L", 1);
  const bool spanish = (i_ == last_ - 2 && any(i_ - 1, {"ILLO", "ILLA", "ALLE"})) ||
                       ((any(last_ - 1, {"AS", "OS"}) || is(last_, "AO")) && any(i_ - 1, {"ALLE"}));
  return add("L", spanish ? "" : "L", 2);
}

int Name::m() {
  const bool thumb = any(i_ - 1, {"UMB"}) && (i_ + 1 == last_ || any(i_ + 2, {"ER"}));
  return add("M", thumb || next_is('M') ? 2 : 1);
}

int Name::p() {
  if (next_is('H'))
    return add("F", 2);
  return add("P", is(i_ + 1, "PB") ? 2 : 1);
}

int Name::r() {
  const bool french = i_ == last_ && !slavic_ && any(i_ - 2, {"IE"}) && !any(i_ - 4, {"ME", "MA"});
  return add(french ? "" : "R", "R", next_is('R') ? 2 : 1);
}

int Name::s() {
  if (any(i_ - 1, {"ISL", "YSL"}))
    return 1;
  if (i_ == 0 && any(0, {"SUGAR"}))
    return add("X", "S", 1);
  if (next_is('H'))
    return add(any(i_ + 1, {"HEIM", "HOEK", "HOLM", "HOLZ"}) ? "S" : "X", 2);
  if (any(i_, {"SIO", "SIA"}))
    return slavic_ ? add("S", 3) : add("S", "X", 3);
  if ((i_ == 0 && is(1, "MNLW")) || next_is('Z'))
    return add("S", "X", next_is('Z') ? 2 : 1);
  if (next_is('C'))
    return sc();
  const bool french = i_ == last_ && any(i_ - 2, {"AI", "OI"});
  return add(french ? "" : "S", "S", is(i_ + 1, "SZ") ? 2 : 1);
}

int Name::sc() {
  if (!is(i_ + 2, "H"))
    return add(is(i_ + 2, "IEY") ? "S" : "SK", 3);
  if (any(i_ + 3, {"ER", "EN"}))
    return add("X", "SK", 3);
  if (any(i_ + 3, {"OO", "UY", "ED", "EM"}))
    return add("SK", 3);
  return i_ == 0 && !vowel(3) && at(3) != 'W' ? add("X", "S", 3) : add("X", 3);
}

int Name::t() {
  if (any(i_, {"TION", "TIA", "TCH"}))
    return add("X", 3);
  if (any(i_, {"TH", "TTH"}))
    return any(i_ + 2, {"OM", "AM"}) || germanic() ? add("T", 2) : add("0", "T", 2);
  return add("T", is(i_ + 1, "TD") ? 2 : 1);
}

int Name::w() {
  if (next_is('R'))
    return add("R", 2);
  if (i_ == 0 && (vowel(1) || next_is('H')))
    add("A", vowel(1) ? "F" : "A", 0);
  if ((i_ == last_ && vowel(i_ - 1)) || any(i_ - 1, {"EWSKI", "EWSKY", "OWSKI", "OWSKY"}) || any(0, {"SCH"}))
    return add("", "F", 1);
  return any(i_, {"WICZ", "WITZ"}) ? add("TS", "FX", 4) : 1;
}

int Name::x() {
  const bool french = i_ == last_ && (any(i_ - 3, {"IAU", "EAU"}) || any(i_ - 2, {"AU", "OU"}));
  return add(french ? "" : "KS", is(i_ + 1, "CX") ? 2 : 1);
}

int Name::z() {
  if (next_is('H'))
    return add("J", 2);
  const bool slavic = any(i_ + 1, {"ZO", "ZI", "ZA"}) || (slavic_ && i_ > 0 && at(i_ - 1) != 'T');
  return add("S", slavic ? "TS" : "S", next_is('Z') ? 2 : 1);
}

/// Capitals, with C with cedilla and N with tilde as one byte, as the rules know them; other letters plain.
std::string capitals_of(std::string_view text) {
  std::string capitals;
  std::string rest;
  const auto flush = [&] {
    for (char c : detail::folded(rest).value_or(std::string()))
      capitals += ascii_upper(c);
    rest.clear();
  };
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto pair = text.substr(i, 2);
    if (pair == "\xC3\x87" || pair == "\xC3\xA7" || pair == "\xC3\x91" || pair == "\xC3\xB1") {
      flush();
      capitals += pair[1] == '\x87' || pair[1] == '\xA7' ? '\xC7' : '\xD1';
      ++i;
    } else {
      rest += text[i];
    }
  }
  flush();
  return capitals;
}

} // namespace

Sounds double_metaphone(std::string_view text) {
  return Name(capitals_of(text)).encode();
}

} // namespace cdp::core
