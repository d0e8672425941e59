// What holds a set of members together: groups, each of which joins all its members. Finds the shortest way
// from one member to another, and the joints at which everything would fall apart. Plain memory, no I/O, no
// recursion.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace cdp::core {

/// Members are numbers below `members`; a group names each of its members once. Groups of one join nobody.
struct Web {
  using Index = std::uint32_t;
  std::size_t members = 0;
  std::vector<std::vector<Index>> groups;
};

struct ChainStep {
  Web::Index from, group, to;
};

/// The chain with the fewest steps; of several, the one whose first group has the smallest number, then its
/// second, and within a group the member named first. Nothing when the two are not held together; empty when
/// they are one.
std::optional<std::vector<ChainStep>> shortest_chain(const Web &web, Web::Index from, Web::Index to);

/// Without the joint, `size` members hold together and are held by nothing else of the whole that it belongs
/// to.
struct Cut {
  Web::Index joint;
  std::vector<Web::Index> groups; // by which the part holds to the joint
  std::size_t size, whole;        // members of the part, and of the whole with the joint
  std::size_t weight, whole_weight;
  std::size_t parts; // into how many the whole would fall
};

/// Every cut of which both sides have at least two members. `weights`: one a member, summed for each part.
std::vector<Cut> find_cuts(const Web &web, const std::vector<std::uint32_t> &weights);

/// How much a cut looks as if its sides were two people: log2 of the members of the smaller side, so that a
/// side of one is nothing; a quarter of it when not both sides weigh something; twice that at a weak joint;
/// divided by the number of groups that hold the sides together.
double suspicion(const Cut &cut, bool weak_joint);

} // namespace cdp::core
