// Sorting by a number: some bits a pass, from the lowest; what is equal stays in order. Throws std::bad_alloc
// only, and what is thrown when it is no longer wanted.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <numeric>

#include "large_array.hpp"
#include "match_wanted.hpp"

namespace cdp::core::match {

/// `other` is room for as many, which may be used again.
template <class Entry>
void sort_by_key(RoughArray<Entry> &entries, RoughArray<Entry> &other, std::uint64_t largest) {
  constexpr int kMostBits = 11;
  const int width = std::bit_width(largest), passes = (width + kMostBits - 1) / kMostBits;
  const int bits = passes > 0 ? (width + passes - 1) / passes : 0;
  const std::uint64_t mask = (std::uint64_t{1} << bits) - 1;
  other.resize(entries.size());
  Patience patience;
  for (int shift = 0; shift < width; shift += bits) {
    std::array<std::size_t, (std::size_t{1} << kMostBits) + 1> starts{};
    for (const auto &entry : entries)
      ++starts[(entry.key >> shift & mask) + 1];
    std::partial_sum(starts.begin(), starts.end(), starts.begin());
    for (const auto &entry : entries) {
      patience.step();
      other[starts[entry.key >> shift & mask]++] = entry;
    }
    entries.swap(other);
  }
}

} // namespace cdp::core::match
