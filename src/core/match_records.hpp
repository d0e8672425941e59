// The records of one run: every value is a number, the same for the same text in whatever column; 0 is NULL.
// Records are in the order of their ids. Throws std::bad_alloc only.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <memory>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "large_array.hpp"
#include "match_model.hpp"
#include "prefetch.hpp"

namespace cdp::core::match {

using Code = std::uint32_t;

/// Texts, each once, in memory that does not move.
class Dictionary {
public:
  Dictionary();
  Code code(std::string_view text) { return code(text, hash_of(text)); } // adds what is new
  static std::uint32_t hash_of(std::string_view text);
  Code code(std::string_view text, std::uint32_t hash);
  std::string_view text(Code code) const { return *place_of(code); }
  /// Of many texts, each so far from the last; 0 for those without data.
  void codes(const std::string_view *texts, std::size_t apart, std::size_t number, Code *to);
  void expect(std::uint32_t hash) const { prefetch(&slots_[hash & (slots_.size() - 1)]); }
  std::size_t size() const { return size_; }
  std::size_t bytes() const {
    return bytes_ + std::bit_ceil(size_) * sizeof(std::string_view) + slots_.size() * sizeof(Slot);
  }

private:
  struct Slot {
    std::uint32_t hash;
    Code code;
  };
  std::string_view keep(std::string_view text);
  void grow();
  const std::string_view *place_of(Code code) const {
    return texts_[static_cast<std::size_t>(std::bit_width(code))].data() + (code - std::bit_floor(code));
  }

  std::array<RoughArray<std::string_view>, 33>
      texts_;              // as many as were there before in each, or room for them
  LargeArray<Slot> slots_; // open addressing, a power of two
  std::vector<std::unique_ptr<char[]>> chunks_;
  std::size_t size_ = 1, used_ = 0, room_ = 0, bytes_ = 0;
};

class Records {
public:
  explicit Records(const Model &model);

  /// A record: its id, its source, and a text a feature of the model, nullptr for NULL.
  void add(std::string_view id, std::string_view source,
           const std::vector<const std::string_view *> &features);

  std::size_t size() const { return sources_.size(); }
  std::size_t features() const { return codes_.size(); }
  std::string_view id(std::size_t record) const {
    return std::string_view(ids_).substr(id_ends_[record], id_ends_[record + 1] - id_ends_[record]);
  }
  Code source(std::size_t record) const { return sources_[record]; }
  Code code(int feature, std::size_t record) const {
    return codes_[static_cast<std::size_t>(feature)][record];
  }
  const RoughArray<Code> &codes(int feature) const { return codes_[static_cast<std::size_t>(feature)]; }
  double number(int feature, std::size_t record) const {
    return numbers_[static_cast<std::size_t>(feature)][record];
  }
  const std::vector<Code> &elements(Code code) const { return elements_.at(code); } // sorted, distinct
  std::string_view text(Code code) const { return dictionary_.text(code); }
  const Dictionary &dictionary() const { return dictionary_; }
  std::size_t bytes() const;

private:
  friend class Reading;
  double number_of(Code code) const;
  void note_elements(Code code);

  std::vector<bool> is_number_, is_list_;
  std::vector<std::uint32_t> hashes_; // of the texts that are added
  Dictionary dictionary_;
  std::string ids_;
  std::vector<std::uint64_t> id_ends_{0};
  RoughArray<Code> sources_;
  std::vector<RoughArray<Code>> codes_;
  std::vector<RoughArray<double>> numbers_;
  std::unordered_map<Code, std::vector<Code>> elements_;
};

} // namespace cdp::core::match
