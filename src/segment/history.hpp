// What is known of one person's events, by input: packed timelines taken apart.
#pragma once
#include "core/sequence.hpp"
#include "core/tally.hpp"

#include <memory>
#include <span>
#include <string>
#include <vector>

namespace cdp {
class Error;
}

namespace cdp::segment {

using core::Timestamp;

// The events of a sequence.
struct Steps {
  std::vector<core::SequenceEvent> events; // an entry each
  std::vector<std::uint32_t> order;        // as the matcher reads them

  void read(std::span<const core::Entry> entries, bool bound);
};

class History {
public:
  // An identifier's timeline, or a stretch of it; the bytes must outlive this, unless they are given away.
  void add(std::string_view packed) { packed_.push_back(packed); }
  void keep(std::string packed) {
    add(*kept_.emplace_back(std::make_unique<std::string>(std::move(packed))));
  }
  void finish(); // once, when all is added; an error when the bytes are broken
  void clear();  // for the next person, with the room there is

  struct Said { // what an input has been told, and whether something odd is among it
    std::int32_t input;
    bool odd;
    std::size_t start, count;
    Timestamp last;
  };
  // What counts from an instant on; none when all is older.
  std::span<const core::Entry> of(std::int32_t input, Timestamp from, bool &odd) const;
  // The same for an input whose values are the steps of a sequence that an event meets, `bound`: with what a
  // match must have in common. Made once for all who ask.
  const Steps &steps_of(std::int32_t input, bool bound) const;
  std::size_t size() const { return entries_.size(); }
  std::span<const Said> inputs() const { return said_; } // those that have been told something

private:
  void group_by_input(const std::vector<core::Entry> &entries);
  const Said *find(std::int32_t input) const {
    const auto number = static_cast<std::size_t>(input);
    return number < places_.size() && places_[number] ? &said_[places_[number] - 1] : nullptr;
  }

  std::vector<std::string_view> packed_;
  std::vector<std::unique_ptr<std::string>> kept_;
  std::vector<core::Entry> entries_; // by input, then time and id
  std::vector<Said> said_;
  std::vector<std::uint32_t> places_; // by input: in said_, from 1; 0: it was told nothing
  mutable std::vector<std::pair<std::int32_t, std::unique_ptr<Steps>>> steps_; // by input
};

// Who reads broken bytes throws this.
Error broken_timeline();

} // namespace cdp::segment
