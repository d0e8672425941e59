#include "match_records.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <functional>

namespace cdp::core::match {

namespace {
constexpr std::size_t kChunk = std::size_t{1} << 20;
constexpr char kElementEnd = '\x1F';
} // namespace

Dictionary::Dictionary() : slots_(1024) {
  texts_[0].resize(1);
  texts_[0][0] = {};
}

std::string_view Dictionary::keep(std::string_view text) {
  if (chunks_.empty() || used_ + text.size() > room_) { // of few texts little is held
    room_ = std::max(std::min(kChunk, std::max<std::size_t>(4096, 2 * room_)), text.size());
    chunks_.push_back(std::make_unique_for_overwrite<char[]>(room_));
    bytes_ += room_;
    used_ = 0;
  }
  char *place = chunks_.back().get() + used_;
  if (!text.empty())
    std::memcpy(place, text.data(), text.size());
  used_ += text.size();
  return {place, text.size()};
}

void Dictionary::grow() {
  LargeArray<Slot> larger(slots_.size() * 2);
  for (const Slot &slot : slots_)
    if (slot.code) {
      auto at = slot.hash & (larger.size() - 1);
      while (larger[at].code)
        at = (at + 1) & (larger.size() - 1);
      larger[at] = slot;
    }
  slots_ = std::move(larger);
}

std::uint32_t Dictionary::hash_of(std::string_view text) {
  const auto full = std::hash<std::string_view>()(text);
  return static_cast<std::uint32_t>(full ^ full >> 32);
}

Code Dictionary::code(std::string_view text, std::uint32_t hash) {
  if (size_ * 8 > slots_.size() * 5)
    grow();
  auto at = hash & (slots_.size() - 1);
  for (; slots_[at].code; at = (at + 1) & (slots_.size() - 1))
    if (slots_[at].hash == hash && this->text(slots_[at].code) == text)
      return slots_[at].code;
  const auto fresh = static_cast<Code>(size_);
  auto &texts = texts_[static_cast<std::size_t>(std::bit_width(fresh))];
  texts.reserve(std::bit_floor(fresh));
  texts.push_back(keep(text));
  slots_[at] = {hash, fresh};
  ++size_;
  return fresh;
}

void Dictionary::codes(const std::string_view *texts, std::size_t apart, std::size_t number, Code *to) {
  constexpr std::size_t kTogether = 32; // whose ways to memory go side by side
  std::uint32_t hashes[kTogether] = {};
  for (std::size_t first = 0; first < number; first += kTogether) {
    const auto few = std::min(kTogether, number - first);
    const auto text = [&](std::size_t i) -> const std::string_view & { return texts[(first + i) * apart]; };
    for (std::size_t i = 0; i < few; ++i)
      if (text(i).data())
        expect(hashes[i] = hash_of(text(i)));
    for (int turn = 0; turn < 2; ++turn)
      for (std::size_t i = 0; i < few; ++i) {
        const auto &slot = slots_[hashes[i] & (slots_.size() - 1)];
        if (!text(i).data() || slot.hash != hashes[i])
          continue;
        if (turn == 0)
          prefetch(place_of(slot.code));
        else
          prefetch(this->text(slot.code).data());
      }
    for (std::size_t i = 0; i < few; ++i)
      to[first + i] = text(i).data() ? code(text(i), hashes[i]) : 0;
  }
}

Records::Records(const Model &model) : codes_(model.features.size()), numbers_(model.features.size()) {
  for (const auto &feature : model.features) {
    is_number_.push_back(feature.is_number);
    is_list_.push_back(feature.is_list);
  }
}

void Records::add(std::string_view id, std::string_view source,
                  const std::vector<const std::string_view *> &features) {
  ids_ += id;
  id_ends_.push_back(ids_.size());
  sources_.push_back(dictionary_.code(source));
  hashes_.resize(codes_.size());
  for (std::size_t f = 0; f < codes_.size(); ++f) // so that the slots come from memory together
    if (features[f])
      dictionary_.expect(hashes_[f] = Dictionary::hash_of(*features[f]));
  for (std::size_t f = 0; f < codes_.size(); ++f) {
    const std::string_view *text = features[f];
    const Code code = text ? dictionary_.code(*text, hashes_[f]) : 0;
    codes_[f].push_back(code);
    if (is_number_[f])
      numbers_[f].push_back(number_of(code));
    if (is_list_[f])
      note_elements(code);
  }
}

double Records::number_of(Code code) const {
  return code ? std::strtod(std::string(text(code)).c_str(), nullptr) : 0;
}

void Records::note_elements(Code code) {
  if (!code || elements_.contains(code))
    return;
  const auto text = this->text(code); // which does not move
  std::vector<Code> elements;
  for (std::size_t at = 0; at < text.size();) {
    const auto end = text.find(kElementEnd, at);
    elements.push_back(dictionary_.code(text.substr(at, end - at)));
    at = end + 1;
  }
  std::sort(elements.begin(), elements.end());
  elements.erase(std::unique(elements.begin(), elements.end()), elements.end());
  elements_.emplace(code, std::move(elements));
}

std::size_t Records::bytes() const {
  std::size_t bytes =
      dictionary_.bytes() + ids_.capacity() + id_ends_.capacity() * 8 + sources_.capacity() * 4;
  for (const auto &codes : codes_)
    bytes += codes.capacity() * sizeof(Code);
  for (const auto &numbers : numbers_)
    bytes += numbers.capacity() * sizeof(double);
  return bytes;
}

} // namespace cdp::core::match
