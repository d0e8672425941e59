// Who belongs together, from weighted pairs. Plain memory, no I/O; throws std::bad_alloc only.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

namespace cdp::core::match {

struct Edge {
  std::uint32_t a, b;
  double weight; // log2 of the odds that they are one
};

/// A cluster for each member, named by its smallest member.
using Clusters = std::vector<std::uint32_t>;

/// What nobody has two of: `width` values a member, one after the other; 0 is unknown.
struct Uniques {
  std::size_t width = 0;
  std::vector<std::uint32_t> values;
};

/// Whatever is joined by edges of at least this weight.
Clusters connected(std::size_t members, const std::vector<Edge> &edges, double threshold);

/// The heaviest edges first, and never two members of one source together; sources: one a member, 0 for
/// members that may come in any number.
Clusters best_links(std::size_t members, std::vector<Edge> edges, double threshold,
                    const std::vector<std::uint32_t> &sources);

/// How many possible unions are looked at between two calls of still_wanted.
constexpr std::size_t kOffers = 4096;

/// Groups that hold together: two groups are joined as long as all pairs of members across them, on average,
/// speak for it by at least the threshold; the strongest first. A pair of which nothing is known counts as
/// `unknown` below the threshold, a known one at most `cap` either way. So a chain of strong links holds no
/// long row of strangers together; nor does anything hold two values of one of the uniques together. (Average
/// linkage; Bansal, Blum and Chawla, Correlation clustering, 2004)
Clusters cohesive(std::size_t members, const std::vector<Edge> &edges, double threshold, double unknown,
                  double cap, const std::function<void()> &still_wanted, Uniques uniques = {});

} // namespace cdp::core::match
