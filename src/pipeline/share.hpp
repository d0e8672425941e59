// Lines of the inbox that can be decided beside each other: those that share nobody are shared out.
#pragma once
#include <unordered_map>

#include "collect/candidate.hpp"

namespace cdp::pipeline {

// Numbers for all that these lines decide, in their order, whoever decides first. Nothing of what came before
// them is on its way, and who will use them has begun.
void reserve_numbers(std::vector<collect::Incoming> &lines);

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
  void forget() { before_.clear(); }

private:
  class Groups;
  Groups find_groups(std::vector<collect::Incoming> &lines);

  std::unordered_map<std::uint64_t, std::size_t> before_; // hash of what lines have in common -> their group
};

} // namespace cdp::pipeline
