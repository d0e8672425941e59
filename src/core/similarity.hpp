// How alike two texts are. Everything counts Unicode code points of valid UTF-8, is symmetric unless it says
// otherwise, and throws std::bad_alloc only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace cdp::core {

/// UTF-8 as code points.
std::u32string code_points(std::string_view text);

/// 0 to 1: the share of common characters that lie near each other, less half the transpositions. Two empty
/// texts are 1. (Jaro, Advances in record-linkage methodology, JASA 84, 1989)
double jaro(std::string_view a, std::string_view b);

/// Jaro, raised by 0.1 of what lacks for each of the first four characters that agree, where Jaro exceeds
/// 0.7. (Winkler, String comparator metrics, Proc. ASA Survey Research Methods, 1990)
double jaro_winkler(std::string_view a, std::string_view b);

/// A text that is held against many others; what is costly is made once. Same result as jaro_winkler.
class JaroWinkler {
public:
  void set(std::string_view text);
  double similarity(std::string_view other);

private:
  void clear();
  std::string text_;
  bool plain_ = false; // ASCII of at most 64 characters
  std::uint64_t places_[128] = {};
};

inline constexpr std::size_t kNoLimit = static_cast<std::size_t>(-1) / 2;

/// The fewest insertions, deletions and substitutions; `limit` + 1 for any more than `limit`. Bit-parallel.
/// (Levenshtein 1966; Myers, JACM 46, 1999; Hyyrö, Explaining and extending the bit-parallel algorithm, 2001)
std::size_t levenshtein(std::string_view a, std::string_view b, std::size_t limit = kNoLimit);

/// The same with transpositions of neighbours, where nothing is edited twice: no metric. Bit-parallel.
/// (Hyyrö, A bit-vector algorithm for computing Levenshtein and Damerau edit distances, 2003)
std::size_t optimal_alignment(std::string_view a, std::string_view b, std::size_t limit = kNoLimit);

/// The same with transpositions, between which there may be other edits: a metric.
/// (Damerau, CACM 7, 1964; Lowrance and Wagner, JACM 22, 1975)
std::size_t damerau_levenshtein(std::string_view a, std::string_view b, std::size_t limit = kNoLimit);

/// 0 to 1: distinct q-grams in both of those in either; a text shorter than q is one. Two empty texts are 1.
/// (Jaccard 1912)
double jaccard(std::string_view a, std::string_view b, std::size_t q = 1);

/// How many q-grams, counted as often as they come, are in one and not in the other.
/// (Ukkonen, Approximate string-matching with q-grams and maximal matches, TCS 92, 1992)
std::size_t qgram_distance(std::string_view a, std::string_view b, std::size_t q = 2);

/// Codes of at most four characters: how a name sounds, and how else it may. Letters without diacritics.
/// (Philips, The double metaphone search algorithm, C/C++ Users Journal 18, 2000)
struct Sounds {
  std::string first, second;
};
Sounds double_metaphone(std::string_view text);

/// Digits for how a German word sounds; "" without a letter.
/// (Postel, Die Kölner Phonetik, IBM-Nachrichten 19, 1969)
std::string cologne_phonetics(std::string_view text);

/// Seconds since 1970 of a date, with or without a time, that is spelled exactly as the format says: of
/// strptime's conversions %Y %y %m %d %j %b %B %H %M %S %%. False for anything else, and for days that are
/// none.
bool parse_date(std::string_view text, std::string_view format, std::int64_t &seconds);
/// Whether parse_date knows everything in the format.
bool is_date_format(std::string_view format);

} // namespace cdp::core
