#include "core/nearest.hpp"

#include <algorithm>

#include "core/text.hpp"

namespace cdp::core {

namespace {
constexpr std::size_t kLongest = 200; // bytes that are looked at

// A quarter of the letters; of short names one, of very short ones none.
bool is_alike(std::size_t wrong, std::size_t letters) {
  return wrong <= (letters < 3 ? 0 : std::max<std::size_t>(1, letters / 4));
}
} // namespace

std::size_t misspelling(std::string_view one, std::string_view other) {
  const auto a = ascii_lower(one.substr(0, kLongest)), b = ascii_lower(other.substr(0, kLongest));
  std::vector<std::size_t> before(b.size() + 1), above(b.size() + 1), row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j)
    above[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, above[j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        row[j] = std::min(row[j], before[j - 2] + 1);
    }
    before.swap(above);
    above.swap(row);
  }
  return above[b.size()];
}

std::optional<std::string> nearest(std::string_view name, const std::vector<std::string> &known) {
  const std::string *best = nullptr;
  std::size_t least = 0;
  for (const auto &one : known) {
    const auto wrong = misspelling(name, one);
    if (is_alike(wrong, std::max(name.size(), one.size())) && (!best || wrong < least)) {
      best = &one;
      least = wrong;
    }
  }
  return best ? std::optional(*best) : std::nullopt;
}

} // namespace cdp::core
