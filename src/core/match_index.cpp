#include "match_index.hpp"
#include "match_wanted.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>

namespace cdp::core::match {

namespace {

constexpr std::size_t kEntry = 12, kInBucket = 64;

std::uint64_t mix(std::uint64_t value) { // splitmix64
  value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9u;
  value = (value ^ value >> 27) * 0x94D049BB133111EBu;
  return value ^ value >> 31;
}

template <class Number> void put(std::string &bytes, Number number) { // low byte first, on every machine
  for (std::size_t i = 0; i < sizeof(number); ++i)
    bytes.push_back(static_cast<char>(number >> (8 * i) & 0xFF));
}

template <class Number> Number get(const char *bytes) {
  Number number = 0;
  for (std::size_t i = 0; i < sizeof(number); ++i)
    number |= static_cast<Number>(static_cast<unsigned char>(bytes[i])) << (8 * i);
  return number;
}

} // namespace

std::uint64_t stable_hash(std::string_view text) {
  std::uint64_t hash = 0x9E3779B97F4A7C15u + text.size();
  while (text.size() >= 8) {
    hash = mix(hash ^ get<std::uint64_t>(text.data()));
    text.remove_prefix(8);
  }
  std::uint64_t rest = 0;
  for (std::size_t i = 0; i < text.size(); ++i)
    rest |= static_cast<std::uint64_t>(static_cast<unsigned char>(text[i])) << (8 * i);
  return mix(hash ^ rest);
}

KeyHasher::KeyHasher(const Model &model, const Records &records)
    : model_(model), records_(records), hashes_(records.dictionary().size()) {
  Patience patience;
  for (Code code = 1; code < hashes_.size(); ++code, patience.step())
    hashes_[code] = stable_hash(records.text(code));
}

std::optional<std::uint64_t> KeyHasher::key(std::size_t rule, bool right, Place record) const {
  std::uint64_t hash = 0;
  for (const auto &key : model_.rules[rule].keys) {
    const Code code = records_.code(right ? key.right : key.left, record);
    if (!code)
      return std::nullopt;
    hash = mix(hash * 0x9E3779B97F4A7C15u + hashes_[code]);
  }
  return hash;
}

std::string pack_features(const Records &records, Place record) {
  std::string bytes;
  for (std::size_t f = 0; f < records.features(); ++f) {
    const Code code = records.code(static_cast<int>(f), record);
    const auto text = code ? records.text(code) : std::string_view();
    std::size_t length = code ? text.size() + 1 : 0;
    for (; length >= 128; length >>= 7)
      bytes.push_back(static_cast<char>(length | 128));
    bytes.push_back(static_cast<char>(length));
    bytes += text;
  }
  return bytes;
}

bool unpack_features(std::string_view bytes, std::size_t features, std::vector<std::string_view> &texts) {
  texts.clear();
  for (std::size_t f = 0; f < features; ++f) {
    std::size_t length = 0;
    for (int shift = 0;; shift += 7) {
      if (bytes.empty() || shift > 42)
        return false;
      const auto byte = static_cast<unsigned char>(bytes.front());
      bytes.remove_prefix(1);
      length |= static_cast<std::size_t>(byte & 127) << shift;
      if (byte < 128)
        break;
    }
    if (length == 0) {
      texts.emplace_back();
      continue;
    }
    if (length - 1 > bytes.size())
      return false;
    texts.push_back(bytes.substr(0, length - 1));
    bytes.remove_prefix(length - 1);
  }
  return bytes.empty();
}

std::string pack_neighbours(std::span<const Neighbour> neighbours) {
  std::string bytes;
  bytes.reserve(neighbours.size() * kEntry);
  for (const auto &one : neighbours) {
    std::uint64_t weight;
    std::memcpy(&weight, &one.weight, sizeof weight);
    put(bytes, one.record);
    put(bytes, weight);
  }
  return bytes;
}

std::vector<Neighbour> unpack_neighbours(std::string_view bytes) {
  std::vector<Neighbour> neighbours;
  for (; bytes.size() >= kEntry; bytes.remove_prefix(kEntry)) {
    const auto weight = get<std::uint64_t>(bytes.data() + 4);
    auto &one = neighbours.emplace_back(Neighbour{get<std::uint32_t>(bytes.data()), 0});
    std::memcpy(&one.weight, &weight, sizeof weight);
  }
  return neighbours;
}

Buckets::Buckets(std::vector<Entry> entries) : entries_(std::move(entries)) {
  Patience patience;
  std::sort(entries_.begin(), entries_.end(), [&](const Entry &a, const Entry &b) {
    patience.step();
    return a.hash != b.hash ? a.hash < b.hash : a.number < b.number;
  });
  while ((entries_.size() >> bits_) > kInBucket && bits_ < 30)
    ++bits_;
}

std::string Buckets::pack(std::size_t first, std::size_t end) const {
  std::string bytes;
  bytes.reserve((end - first) * kEntry);
  for (; first < end; ++first) {
    put(bytes, entries_[first].hash);
    put(bytes, entries_[first].number);
  }
  return bytes;
}

std::vector<std::uint32_t> entries_of(std::string_view bytes, std::uint64_t hash) {
  std::vector<std::uint32_t> numbers;
  std::size_t low = 0, high = bytes.size() / kEntry;
  while (low < high) {
    const auto middle = (low + high) / 2;
    if (get<std::uint64_t>(bytes.data() + middle * kEntry) < hash)
      low = middle + 1;
    else
      high = middle;
  }
  for (auto at = low * kEntry; at < bytes.size() && get<std::uint64_t>(bytes.data() + at) == hash;
       at += kEntry)
    numbers.push_back(get<std::uint32_t>(bytes.data() + at + 8));
  return numbers;
}

std::uint64_t RecordOrder::number(std::string_view id) {
  std::int64_t value = 0;
  std::from_chars(id.data(), id.data() + id.size(), value);
  return static_cast<std::uint64_t>(value);
}

bool RecordOrder::precedes(std::string_view id, std::string_view source, std::string_view other_id,
                           std::string_view other_source) const {
  if (numbers_)
    return static_cast<std::int64_t>(number(id)) < static_cast<std::int64_t>(number(other_id));
  if (!sourced_ || source == other_source)
    return id < other_id;
  const auto one = head(source).append(id), other = head(other_source).append(other_id);
  return one != other ? one < other : id < other_id;
}

} // namespace cdp::core::match
