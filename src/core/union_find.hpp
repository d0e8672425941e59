// Disjoint sets over dense indexes, whose representative is the member with the smallest key.
// Owns its members; throws std::bad_alloc when growing and nothing else. Indexes must be below size(), which
// stays below 2^32.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "large_array.hpp"
#include "prefetch.hpp"

namespace cdp::core {

/// Key must be copyable and have `<`; of members with equal keys the lowest index represents. A key may carry
/// more than what orders it: it lies beside the way to the representative, so that one look finds both.
template <class Key = std::int64_t> class BasicUnionFind {
public:
  using Index = std::size_t;

  struct United {
    Index winner; // the representative of both sets from now on
    Index loser;  // the representative that was
  };

  BasicUnionFind() = default;

  explicit BasicUnionFind(std::vector<Key> keys) {
    reserve(keys.size());
    for (auto &key : keys)
      add(std::move(key));
  }

  Index size() const { return members_.size(); }
  const Key &key(Index member) const { return members_[member].key; }
  /// For what the key carries: its order must stay.
  Key &key(Index member) { return members_[member].key; }

  void reserve(Index members) { members_.reserve(members); }

  /// A new member, alone in its set.
  Index add(Key key) {
    const Index index = members_.size();
    members_.push_back({std::move(key), static_cast<std::uint32_t>(index)});
    return index;
  }

  /// The representative of a member's set; halves paths as it goes.
  Index find(Index member) {
    while (members_[member].parent != member) {
      const auto next = members_[members_[member].parent].parent;
      members_[member].parent = next;
      member = next;
    }
    return member;
  }

  /// For a member that is looked for soon: begins to bring it here, and later what it points to.
  void expect(Index member) const { prefetch(&members_[member]); }
  void expect_next(Index member) const { expect(members_[member].parent); }

  bool same(Index a, Index b) { return find(a) == find(b); }

  /// Joins two sets; nothing when they are one already.
  std::optional<United> unite(Index a, Index b) {
    a = find(a);
    b = find(b);
    if (a == b)
      return std::nullopt;
    if (precedes(b, a))
      std::swap(a, b);
    // By key, not by rank: halving alone keeps finds logarithmic.
    members_[b].parent = static_cast<std::uint32_t>(a);
    return United{a, b};
  }

private:
  struct Member {
    [[no_unique_address]] Key key; // the parent lies in its padding where there is some
    std::uint32_t parent;
  };

  bool precedes(Index a, Index b) const { return key(a) < key(b) || (!(key(b) < key(a)) && a < b); }

  LargeArray<Member> members_;
};

using UnionFind = BasicUnionFind<>;

} // namespace cdp::core
