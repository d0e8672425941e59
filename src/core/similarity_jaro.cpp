#include "match_wanted.hpp"
#include "similarity.hpp"
#include "similarity_text.hpp"

#include <algorithm>
#include <bit>

namespace cdp::core {

std::u32string code_points(std::string_view text) {
  std::u32string points;
  points.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const auto lead = static_cast<unsigned char>(text[at]);
    const std::size_t length = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    char32_t point = length == 1 ? lead : lead & (0x7Fu >> length);
    for (std::size_t i = 1; i < length && at + i < text.size(); ++i)
      point = point << 6 | (static_cast<unsigned char>(text[at + i]) & 0x3Fu);
    points.push_back(point);
    at += length;
  }
  return points;
}

namespace {

/// Of texts of any length.
template <class Text> double plain_jaro(const Text &a, const Text &b) {
  if (a.empty() || b.empty())
    return a.empty() && b.empty() ? 1 : 0;
  const auto window = window_of(a.size(), b.size());
  std::vector<bool> taken(a.size());
  std::vector<std::size_t> found; // characters of b, in order
  match::Patience patience;
  for (std::size_t j = 0; j < b.size(); ++j) {
    const auto end = std::min(a.size(), j + window + 1);
    patience.step(j < window ? end : end - (j - window));
    for (std::size_t i = j > window ? j - window : 0; i < end; ++i)
      if (!taken[i] && a[i] == b[j]) {
        taken[i] = true;
        found.push_back(j);
        break;
      }
  }
  std::size_t out_of_place = 0, next = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    if (taken[i])
      out_of_place += a[i] != b[found[next++]];
  return jaro_of(found.size(), out_of_place, a.size(), b.size());
}

std::uint64_t low_bits(std::size_t number) {
  return number >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << number) - 1;
}

} // namespace

double jaro(std::string_view a, std::string_view b) {
  if (is_plain(a) && is_plain(b))
    return plain_jaro(a, b);
  return plain_jaro(code_points(a), code_points(b));
}

double jaro_winkler(std::string_view a, std::string_view b) {
  if (is_plain(a) && is_plain(b))
    return raised(plain_jaro(a, b), a, b);
  const auto x = code_points(a), y = code_points(b);
  return raised(plain_jaro(x, y), x, y);
}

void JaroWinkler::clear() {
  if (plain_)
    for (char c : text_)
      places_[static_cast<unsigned char>(c)] = 0;
}

void JaroWinkler::set(std::string_view text) {
  clear();
  text_ = text;
  plain_ = text.size() <= 64 && is_plain(text);
  if (plain_)
    for (std::size_t i = 0; i < text.size(); ++i)
      places_[static_cast<unsigned char>(text[i])] |= std::uint64_t{1} << i;
}

/// Each character of the other takes the first free place in its window; all places of a character are one
/// word.
double JaroWinkler::similarity(std::string_view other) {
  if (!plain_ || other.size() > 64 || text_.empty() || other.empty() || !is_plain(other))
    return jaro_winkler(text_, other);
  const auto window = window_of(text_.size(), other.size());
  std::uint64_t taken = 0, found = 0;
  for (std::size_t j = 0; j < other.size(); ++j) {
    auto near = low_bits(j + window + 1);
    if (j > window)
      near &= ~low_bits(j - window);
    const auto free = places_[static_cast<unsigned char>(other[j])] & near & ~taken;
    taken |= free & (~free + 1);
    found |= static_cast<std::uint64_t>(free != 0) << j;
  }
  const auto common = static_cast<std::size_t>(std::popcount(taken));
  std::size_t out_of_place = 0;
  for (auto rest = taken; rest; rest &= rest - 1, found &= found - 1)
    out_of_place += text_[static_cast<std::size_t>(std::countr_zero(rest))] !=
                    other[static_cast<std::size_t>(std::countr_zero(found))];
  return raised(jaro_of(common, out_of_place, text_.size(), other.size()), std::string_view(text_), other);
}

} // namespace cdp::core
