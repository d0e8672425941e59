// Lines of the inbox that can be decided beside each other: those that share nobody are shared out.
#pragma once
#include <cstdint>
#include <optional>
#include <vector>

#include "collect/candidate.hpp"

namespace cdp::pipeline {

// Numbers for all that these lines decide, in their order, whoever decides first. Nothing of what came before
// them is on its way, and who will use them has begun.
void reserve_numbers(std::vector<collect::Incoming> &lines);

// By the hash of what lines have in common, the first who has it.
class FirstWith {
public:
  explicit FirstWith(std::size_t most = 0); // so many hashes

  // The first who has it: `number`, unless somebody had it before.
  std::size_t put(std::uint64_t hash, std::size_t number);
  std::optional<std::size_t> find(std::uint64_t hash);
  template <class Change> void each(Change &&change) {
    for (auto &entry : entries_)
      if (entry.is_taken) {
        std::size_t number = entry.number;
        change(number);
        entry.number = static_cast<std::uint32_t>(number);
      }
  }

private:
  struct Entry {
    std::uint64_t hash = 0;
    std::uint32_t number = 0;
    bool is_taken = false;
  };
  Entry &place(std::uint64_t hash);

  std::vector<Entry> entries_; // more than are ever taken, a power of two
};

// Shares out one window of the inbox after the other. Lines that share an identifier, a person, a messageId
// or an account are of one part and keep their order, so that the state is that of deciding all in order. So
// do lines that are joined only by some of the window before, of which parts may still be on their way.
class Sharing {
public:
  // For each line, which part it belongs to, and how many numbers it needs; each part gets about its weight
  // of the lines. Ids are reserved in the order of lines, so that the oldest identifier has the smallest one,
  // whoever decides its line first. Locks nobody: where somebody else merges people meanwhile, parts may wait
  // for each other. Needs an open SPI session.
  std::vector<std::size_t> share_out(std::vector<collect::Incoming> &lines,
                                     const std::vector<double> &weights);
  // What came before is over.
  void forget() {
    before_ = FirstWith();
    lines_before_ = 0;
  }

private:
  class Groups;
  Groups find_groups(std::vector<collect::Incoming> &lines);

  FirstWith before_; // of the lines before, by their groups
  std::size_t lines_before_ = 0;
};

} // namespace cdp::pipeline
