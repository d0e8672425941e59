#include "core/people_set.hpp"

#include <algorithm>
#include <cstring>

namespace cdp::core {

namespace {

// Tells damage from data; it need not withstand anybody who forges it.
std::uint64_t checksum(const char *data, std::size_t size) {
  std::uint64_t sum = 0xcbf29ce484222325 ^ size;
  for (std::size_t i = 0; i < size; i += sizeof(std::uint64_t)) {
    std::uint64_t word = 0;
    std::memcpy(&word, data + i, std::min(sizeof word, size - i));
    sum = (sum ^ word) * 0x100000001b3;
    sum ^= sum >> 29;
  }
  return sum;
}

} // namespace

std::string encode(const Roaring &chunk) {
  std::string stored(sizeof(std::uint64_t) + chunk.getSizeInBytes(), '\0');
  chunk.write(stored.data() + sizeof(std::uint64_t));
  const std::uint64_t sum = checksum(stored.data() + sizeof sum, stored.size() - sizeof sum);
  std::memcpy(stored.data(), &sum, sizeof sum);
  return stored;
}

std::optional<Roaring> decode(std::string_view stored) {
  std::uint64_t sum;
  if (stored.size() <= sizeof sum)
    return std::nullopt;
  std::memcpy(&sum, stored.data(), sizeof sum);
  stored.remove_prefix(sizeof sum);
  if (sum != checksum(stored.data(), stored.size()))
    return std::nullopt;
  auto chunk = Roaring::readSafe(stored.data(), stored.size());
  if (!chunk.isEmpty() && chunk.maximum() >> kChunkBits)
    return std::nullopt;
  return chunk;
}

void PeopleSet::set(std::int64_t id, bool is_in) {
  const auto number = id >> kChunkBits;
  if (number != own_number_ || !own_) {
    auto copy = std::make_shared<Roaring>(chunk(number));
    own_ = copy.get();
    own_number_ = number;
    chunks_[number] = std::move(copy);
  }
  const auto low = static_cast<std::uint32_t>(id & ((1 << kChunkBits) - 1));
  if (is_in)
    own_->add(low);
  else
    own_->remove(low);
}

const Roaring &PeopleSet::chunk(std::int64_t number) const {
  static const Roaring empty;
  const auto found = chunks_.find(number);
  return found == chunks_.end() ? empty : *found->second;
}

std::uint64_t count_both(const PeopleSet &a, const PeopleSet &b) {
  std::uint64_t counted = 0;
  for (const auto &[number, chunk] : a.chunks())
    counted += chunk->and_cardinality(b.chunk(number));
  return counted;
}

std::uint64_t count(const PeopleSet &set) {
  std::uint64_t counted = 0;
  for (const auto &[number, chunk] : set.chunks())
    counted += chunk->cardinality();
  return counted;
}

} // namespace cdp::core
