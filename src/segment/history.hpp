// What is known of one person's events, by input: packed timelines taken apart.
#pragma once
#include "core/sequence.hpp"
#include "core/tally.hpp"

#include <algorithm>
#include <array>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace cdp {
class Error;
}

namespace cdp::segment {

using core::Timestamp;

// An input whose events meet these steps of a sequence.
struct StepInput {
  std::int32_t input;
  std::uint64_t steps;
  auto operator<=>(const StepInput &) const = default;
};

// The events of a sequence, of several inputs.
struct Steps {
  std::vector<core::Entry> entries;        // by time and id
  std::vector<core::SequenceEvent> events; // an entry each
  std::vector<std::uint32_t> order;        // as the matcher reads them

  void clear();
  void sort(); // makes the order, of what has been added
};

// What is asked of histories by its number, the same for all who ask the same.
struct StepsAsked {
  std::size_t number = 0;
  std::vector<StepInput> inputs;
  bool bound = false; // the inputs' values are what the events of a match have in common

  static StepsAsked of(std::vector<StepInput> inputs, bool bound);
};

// What is asked of one person's history: from when on an input's events may count.
class Wanted {
public:
  void add(std::int32_t input, Timestamp from) {
    const auto number = static_cast<std::size_t>(input);
    if (from_.size() <= number)
      from_.resize(number + 1, core::kInfinity);
    from_[number] = std::min(from_[number], from);
    least_ = std::min(least_, from);
  }
  void clear() {
    std::fill(from_.begin(), from_.end(), core::kInfinity);
    least_ = core::kInfinity;
  }
  bool has(const core::TimelineEvent &event, std::int32_t input) const {
    const auto number = static_cast<std::size_t>(input);
    return number < from_.size() && event.at >= from_[number];
  }
  Timestamp least() const { return least_; } // of all inputs

private:
  std::vector<Timestamp> from_; // by input; kInfinity: nobody asks
  Timestamp least_ = core::kInfinity;
};

class History {
public:
  // An identifier's timeline, or a stretch of it; the bytes must outlive this, unless they are given away.
  void add(std::string_view packed) { packed_.push_back(packed); }
  void keep(std::string packed) {
    add(*kept_.emplace_back(std::make_unique<std::string>(std::move(packed))));
  }
  // Once, when all is added; an error when the bytes are broken. What is not wanted is left out, if that is
  // said.
  void finish(const Wanted *wanted = nullptr);
  void clear(); // for the next person, with the room there is

  struct Said { // what an input has been told, and whether something odd is among it
    std::int32_t input;
    bool odd;
    std::size_t start, count;
    Timestamp last;
  };
  // What counts from an instant on; none when all is older.
  std::span<const core::Entry> of(std::int32_t input, Timestamp from, bool &odd) const;
  // Those from an instant on. Made once for all who ask in the same thread.
  enum class Asker { backend, helper };
  const Steps &steps_of(const StepsAsked &asked, Timestamp from, Asker asker) const;
  const Said *said(std::int32_t input) const {
    const auto number = static_cast<std::size_t>(input);
    return number < places_.size() && places_[number] ? &said_[places_[number] - 1] : nullptr;
  }
  std::size_t size() const { return entries_.size(); }
  std::span<const Said> inputs() const { return said_; } // those that have been told something

private:
  void group_by_input(const std::vector<core::Entry> &entries);
  void merge(const StepsAsked &asked, Timestamp from, Steps &steps) const;
  std::span<const core::Entry> entries_of(const Said &said) const {
    return {entries_.data() + said.start, said.count};
  }

  std::vector<std::string_view> packed_;
  std::vector<std::unique_ptr<std::string>> kept_;
  std::vector<core::Entry> entries_; // by input, then time and id
  std::vector<Said> said_;
  std::vector<std::uint32_t> places_; // by input: in said_, from 1; 0: it was told nothing
  struct Made {
    std::size_t number;
    Timestamp from;
    std::unique_ptr<Steps> steps;
  };
  struct MadeSteps {
    std::vector<Made> steps; // and room for more
    std::size_t count = 0;
  };
  mutable std::array<MadeSteps, 2> made_; // by who asks
};

// Who reads broken bytes throws this.
Error broken_timeline();

} // namespace cdp::segment
