// Disjoint sets over dense indexes, whose representative is the member with the smallest key.
// Owns its arrays; throws std::bad_alloc when growing and nothing else. Indexes must be below size().
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace cdp::core {

/// Key must be copyable and have `<`; of members with equal keys the lowest index represents.
template <class Key = std::int64_t> class BasicUnionFind {
public:
  using Index = std::size_t;

  struct United {
    Index winner; // the representative of both sets from now on
    Index loser;  // the representative that was
  };

  BasicUnionFind() = default;

  explicit BasicUnionFind(std::vector<Key> keys) : keys_(std::move(keys)), parents_(keys_.size()) {
    for (Index i = 0; i < parents_.size(); ++i)
      parents_[i] = i;
  }

  Index size() const { return keys_.size(); }
  const Key &key(Index member) const { return keys_[member]; }

  void reserve(Index members) {
    keys_.reserve(members);
    parents_.reserve(members);
  }

  /// A new member, alone in its set.
  Index add(Key key) {
    const Index index = keys_.size();
    if (index == parents_.capacity())
      parents_.reserve(2 * index + 1);
    keys_.push_back(std::move(key));
    parents_.push_back(index); // room was reserved, so both arrays grow or neither
    return index;
  }

  /// The representative of a member's set; halves paths as it goes.
  Index find(Index member) {
    while (parents_[member] != member) {
      parents_[member] = parents_[parents_[member]];
      member = parents_[member];
    }
    return member;
  }

  bool same(Index a, Index b) { return find(a) == find(b); }

  /// Joins two sets; nothing when they are one already.
  std::optional<United> unite(Index a, Index b) {
    a = find(a);
    b = find(b);
    if (a == b)
      return std::nullopt;
    if (precedes(b, a))
      std::swap(a, b);
    parents_[b] = a; // by key, not by rank: halving alone keeps finds logarithmic
    return United{a, b};
  }

private:
  bool precedes(Index a, Index b) const { return keys_[a] < keys_[b] || (!(keys_[b] < keys_[a]) && a < b); }

  std::vector<Key> keys_;
  std::vector<Index> parents_;
};

using UnionFind = BasicUnionFind<>;

} // namespace cdp::core
