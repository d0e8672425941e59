// What is kept of a run so that records that change later meet those that were there, without reading them
// all: records packed into bytes, their keys as numbers that are the same in every process, lists of entries.
// Plain memory, no I/O; throws std::bad_alloc only.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "match_cluster.hpp"
#include "match_compare.hpp"

namespace cdp::core::match {

/// The same for the same text, for ever: it is stored.
std::uint64_t stable_hash(std::string_view text);

/// The keys of records under rules, as numbers. Two records with other keys may get the same number, hardly
/// ever: whoever finds them looks at the keys.
class KeyHasher {
public:
  KeyHasher(const Model &model, const Records &records);
  /// Nothing where a key is unknown.
  std::optional<std::uint64_t> key(std::size_t rule, bool right, Place record) const;
  std::uint64_t value(Code code) const { return hashes_[code]; }

private:
  const Model &model_;
  const Records &records_;
  std::vector<std::uint64_t> hashes_; // a code of the dictionary
};

/// What a record says, a text a feature or nothing; and back.
std::string pack_features(const Records &records, Place record);
/// Views into the bytes; unknown ones have no data. False: these bytes are something else.
bool unpack_features(std::string_view bytes, std::size_t features, std::vector<std::string_view> &texts);

struct Neighbour {
  std::uint32_t record;
  double weight;
  bool operator==(const Neighbour &) const = default;
};
std::string pack_neighbours(std::span<const Neighbour> neighbours);
std::vector<Neighbour> unpack_neighbours(std::string_view bytes);

/// A hash and a number: of a record, or how often the value occurs.
struct Entry {
  std::uint64_t hash;
  std::uint32_t number;
};
/// A list of entries by hash, cut into buckets by the first bits of the hash.
class Buckets {
public:
  explicit Buckets(std::vector<Entry> entries);
  static std::int32_t bucket_of(std::uint64_t hash, int bits) {
    return bits == 0 ? 0 : static_cast<std::int32_t>(hash >> (64 - bits));
  }
  int bits() const { return bits_; }
  /// Calls take(number, bytes) for each that has entries.
  template <class Take> void each(Take &&take) const {
    for (std::size_t first = 0, next; first < entries_.size(); first = next) {
      const auto bucket = bucket_of(entries_[first].hash, bits_);
      for (next = first; next < entries_.size() && bucket_of(entries_[next].hash, bits_) == bucket;)
        ++next;
      take(bucket, pack(first, next));
    }
  }

private:
  std::string pack(std::size_t first, std::size_t end) const;

  std::vector<Entry> entries_; // by hash and number
  int bits_ = 0;
};
/// The numbers of a bucket's entries with this hash.
std::vector<std::uint32_t> entries_of(std::string_view bytes, std::uint64_t hash);

/// The order in which records are read: that of their ids as numbers, or of the bytes of source and id.
class RecordOrder {
public:
  RecordOrder(bool numbers, bool sourced) : numbers_(numbers), sourced_(sourced) {}
  bool by_number() const { return numbers_; }
  bool by_source() const { return sourced_; }
  static std::uint64_t number(std::string_view id);
  static std::string head(std::string_view source) {
    return std::string(source) + "-__-";
  } // of what is compared
  bool precedes(std::string_view id, std::string_view source, std::string_view other_id,
                std::string_view other_source) const;

private:
  bool numbers_, sourced_;
};

} // namespace cdp::core::match
