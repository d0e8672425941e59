#include "similarity.hpp"
#include "similarity_text.hpp"

#include <algorithm>

namespace cdp::core {

namespace {

/// All q-grams in order; of a text shorter than q the text itself.
template <class Char>
std::vector<std::basic_string_view<Char>> grams_of(std::basic_string_view<Char> text, std::size_t q) {
  std::vector<std::basic_string_view<Char>> grams;
  if (text.size() < q && !text.empty())
    grams.push_back(text);
  for (std::size_t at = 0; at + q <= text.size(); ++at)
    grams.push_back(text.substr(at, q));
  std::sort(grams.begin(), grams.end());
  return grams;
}

template <class Grams> std::size_t count_common(const Grams &a, const Grams &b) {
  std::size_t common = 0;
  for (auto i = a.begin(), j = b.begin(); i != a.end() && j != b.end();) {
    if (*i < *j)
      ++i;
    else if (*j < *i)
      ++j;
    else
      ++common, ++i, ++j;
  }
  return common;
}

template <class Char>
double jaccard_of(std::basic_string_view<Char> a, std::basic_string_view<Char> b, std::size_t q) {
  auto x = grams_of(a, q), y = grams_of(b, q);
  for (auto *grams : {&x, &y})
    grams->erase(std::unique(grams->begin(), grams->end()), grams->end());
  if (x.empty() && y.empty())
    return 1;
  const auto common = count_common(x, y);
  return static_cast<double>(common) / static_cast<double>(x.size() + y.size() - common);
}

template <class Char>
std::size_t qgrams_apart(std::basic_string_view<Char> a, std::basic_string_view<Char> b, std::size_t q) {
  const auto x = grams_of(a, q), y = grams_of(b, q);
  return x.size() + y.size() - 2 * count_common(x, y);
}

} // namespace

double jaccard(std::string_view a, std::string_view b, std::size_t q) {
  if (is_plain(a) && is_plain(b))
    return jaccard_of(a, b, q);
  const auto x = code_points(a), y = code_points(b);
  return jaccard_of(std::u32string_view(x), std::u32string_view(y), q);
}

std::size_t qgram_distance(std::string_view a, std::string_view b, std::size_t q) {
  if (is_plain(a) && is_plain(b))
    return qgrams_apart(a, b, q);
  const auto x = code_points(a), y = code_points(b);
  return qgrams_apart(std::u32string_view(x), std::u32string_view(y), q);
}

} // namespace cdp::core
