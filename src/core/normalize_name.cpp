// A person's name for matching: "Dhr. Jan v.d. Berg" and "Berg, Jan van den" are one.
//
// Rules, in this order; a name never becomes empty by them:
//   1. case-folded, diacritics and apostrophes gone, everything else that is no letter or digit a space
//   2. what stands before the first comma goes last, but for "Jr." and degrees after a comma
//   3. degrees at the end and titles at the start are dropped
//   4. Dutch "v.d.", "vd", "van de", "van der" all become "van den", since the abbreviation does not say
//   which;
//      likewise after in, op, aan, uit, onder, over, bij and voor. "van het" and "van 't" become "van t".
//      German "von dem" becomes "vom", "zu dem" "zum", "zu der" "zur".
#include "normalize_icu.hpp"

#include <algorithm>
#include <array>

namespace cdp::core::detail {

namespace {

struct Pair {
  std::string_view first, second;
};

constexpr std::array<std::string_view, 26> kTitles{
    "dr",   "prof", "professor", "mr",   "mrs",      "ms",   "miss",   "mx",      "sir",
    "herr", "hr",   "frau",      "dipl", "dhr",      "heer", "mevr",   "mevrouw", "mw",
    "mej",  "drs",  "ir",        "ing",  "monsieur", "mme",  "madame", "mlle"};
constexpr std::array<Pair, 3> kTitlePairs{{{"de", "heer"}, {"dr", "med"}, {"dr", "jur"}}};
constexpr std::array<std::string_view, 6> kDegrees{"phd", "msc", "bsc", "mba", "llm", "llb"};
constexpr std::array<Pair, 5> kDegreePairs{
    {{"ph", "d"}, {"m", "sc"}, {"b", "sc"}, {"ll", "m"}, {"ll", "b"}}}; // Ph.D.
constexpr std::array<std::string_view, 5> kGenerations{"jr", "sr", "ii", "iii", "iv"};

constexpr std::array<std::string_view, 9> kPrepositions{"van",   "in",   "op",  "aan", "uit",
                                                        "onder", "over", "bij", "voor"};
constexpr std::array<std::string_view, 3> kArticles{"de", "den", "der"};
constexpr std::array<std::string_view, 5> kVanDen{"vd", "vdr", "vande", "vanden", "vander"};

bool is_in(const auto &list, std::string_view word) {
  return std::ranges::find(list, word) != list.end();
}

bool is_pair_in(const auto &list, std::string_view first, std::string_view second) {
  return std::ranges::any_of(list, [&](const Pair &p) { return p.first == first && p.second == second; });
}

void drop_titles(Words &words) {
  auto at = words.begin();
  for (;;) {
    const auto left = words.end() - at;
    if (left > 2 && is_pair_in(kTitlePairs, at[0], at[1]))
      at += 2;
    else if (left > 1 && is_in(kTitles, at[0]))
      ++at;
    else
      break;
  }
  words.erase(words.begin(), at);
}

/// Degrees at the end, but for the first `kept` words.
void drop_degrees(Words &words, std::size_t kept) {
  for (;;) {
    const std::size_t n = words.size();
    if (n >= kept + 2 && is_pair_in(kDegreePairs, words[n - 2], words[n - 1]))
      words.resize(n - 2);
    else if (n >= kept + 1 && is_in(kDegrees, words[n - 1]))
      words.resize(n - 1);
    else
      break;
  }
}

/// Whether a part between commas only says which of two people of one name it is, or what they studied.
bool follows_a_name(Words part) {
  drop_degrees(part, 0);
  return std::ranges::all_of(part, [](const std::string &word) { return is_in(kGenerations, word); });
}

void append(Words &words, const Words &more) {
  words.insert(words.end(), more.begin(), more.end());
}

/// "Berg, Jan van den, MSc" → jan van den berg msc.
Words in_spoken_order(std::string_view text) {
  Words family, given, after;
  for (bool first = true; !text.empty(); first = false) {
    const std::size_t comma = std::min(text.find(','), text.size());
    const Words part = words_of(text.substr(0, comma));
    append(first ? family : follows_a_name(part) ? after : given, part);
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  append(given, family);
  append(given, after);
  return given;
}

/// How many words at `at` are a particle, and the spelling it gets; 0 for a word that is none.
std::size_t take_particle(const Words &words, std::size_t at, Words &out) {
  const auto word = [&](std::size_t i) {
    return at + i < words.size() ? std::string_view(words[at + i]) : "";
  };
  const auto become = [&](std::size_t taken, std::initializer_list<std::string_view> spelling) {
    out.insert(out.end(), spelling.begin(), spelling.end());
    return taken;
  };
  if (is_in(kVanDen, word(0)) && !word(1).empty())
    return become(1, {"van", "den"});
  if (word(0) == "v" && word(1) == "d" && !word(2).empty())
    return become(2, {"van", "den"});
  if (is_in(kPrepositions, word(0)) && is_in(kArticles, word(1)))
    return become(2, {word(0), "den"});
  if (is_in(kPrepositions, word(0)) && (word(1) == "het" || word(1) == "t"))
    return become(2, {word(0), "t"});
  if (word(0) == "von" && word(1) == "dem")
    return become(2, {"vom"});
  if (word(0) == "zu" && (word(1) == "dem" || word(1) == "der"))
    return become(2, {word(1) == "dem" ? "zum" : "zur"});
  return 0;
}

Words with_particles(const Words &words) {
  Words out;
  for (std::size_t at = 0; at < words.size();) {
    const std::size_t taken = take_particle(words, at, out);
    if (taken == 0)
      out.push_back(words[at]);
    at += std::max<std::size_t>(taken, 1);
  }
  return out;
}

} // namespace

NormalizeResult normalize_name(std::string_view trimmed) {
  const auto text = folded(trimmed);
  if (!text)
    return Refused{"ICU could not normalise it"};
  Words words = in_spoken_order(*text);
  drop_degrees(words, 1);
  drop_titles(words);
  return joined(with_particles(words));
}

} // namespace cdp::core::detail
