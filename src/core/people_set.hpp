// Sets of people: roaring bitmaps of 65,536 ids each, so that a change rewrites no more than 8 KB.
#pragma once
#include "core/set_expression.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <roaring/roaring.hh>
#include <string>

namespace cdp::core {

inline constexpr int kChunkBits = 16;

using Chunk = std::shared_ptr<const Roaring>; // of the low bits of ids; shared with a cache, never changed

// Chunks as they are stored: a checksum, then CRoaring's portable format. Nothing is read before the checksum
// is right: the library trusts what it is given.
std::string encode(const Roaring &chunk);
std::optional<Roaring> decode(std::string_view stored);

class PeopleSet {
public:
  PeopleSet() = default;
  PeopleSet(PeopleSet &&) = default; // not copied: a copy would change our own chunk
  PeopleSet &operator=(PeopleSet &&) = default;
  void put(std::int64_t number, Chunk chunk) {
    chunks_[number] = std::move(chunk);
    own_ = nullptr;
  }
  void set(std::int64_t id, bool is_in); // ids in ascending order are fastest
  const Roaring &chunk(std::int64_t number) const;
  const std::map<std::int64_t, Chunk> &chunks() const { return chunks_; }

private:
  std::map<std::int64_t, Chunk> chunks_;
  std::int64_t own_number_ = -1; // the chunk that is ours alone, and may be changed
  Roaring *own_ = nullptr;
};

// Chunk by chunk, the result of an expression over the sets of its names.
template <class Take>
void evaluate(const SetExpression &expression, const std::vector<PeopleSet> &sets, Take &&take) {
  std::map<std::int64_t, bool> numbers;
  for (const auto &set : sets)
    for (const auto &[number, chunk] : set.chunks())
      numbers[number] = true;
  std::vector<Roaring> stack;
  for (const auto &[number, unused] : numbers) {
    for (const int step : expression.program) {
      if (step >= 0) {
        stack.push_back(sets[static_cast<std::size_t>(step)].chunk(number));
        continue;
      }
      const Roaring right = std::move(stack.back());
      stack.pop_back();
      auto &left = stack.back();
      if (step == SetExpression::both)
        left &= right;
      else if (step == SetExpression::either)
        left |= right;
      else
        left -= right;
    }
    take(number, stack.back());
    stack.clear();
  }
}

std::uint64_t count_both(const PeopleSet &a, const PeopleSet &b);
std::uint64_t count(const PeopleSet &set);

} // namespace cdp::core
