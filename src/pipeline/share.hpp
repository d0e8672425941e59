// Lines of the inbox that can be decided beside each other: those that share nobody are shared out.
#pragma once
#include <cstdint>
#include <vector>

#include "collect/candidate.hpp"
#include "identity/identities.hpp"

namespace cdp::pipeline {

// Numbers for all that these lines decide, in their order, whoever decides first. Nothing of what came before
// them is on its way, and who will use them has begun.
void reserve_numbers(std::vector<collect::Incoming> &lines);

// Shares out one window of the inbox. Lines that share an identifier, a person, a messageId or an account are
// of one part and keep their order, so that the state is that of deciding all in order.
class Sharing {
public:
  // Reads whom lines are about, while others still decide those before. Needs an open SPI session.
  explicit Sharing(const std::vector<collect::Incoming> &lines);

  // For each line, which part it belongs to, how many numbers it needs, and what was seen of its people; each
  // part gets about its weight of the lines. Ids are reserved in the order of lines, so that the oldest
  // identifier has the smallest one, whoever decides its line first. Locks nobody: where somebody else merges
  // people meanwhile, parts may wait for each other. Nothing of what came before is on its way.
  std::vector<std::size_t> share_out(std::vector<collect::Incoming> &lines,
                                     const std::vector<double> &weights);

private:
  class Groups;
  struct Outline { // what is left of a message once its identifiers are read
    std::size_t line;
    std::uint64_t message_id = 0, account = 0; // hashes; 0: none
  };

  void reserve_ids(std::vector<collect::Incoming> &lines) const;
  Groups find_groups(std::vector<collect::Incoming> &lines);

  identity::Identities identities_;
  std::vector<Outline> outlines_;
  bool names_content_ = false; // some line comes with a messageId that another may get by its content
};

} // namespace cdp::pipeline
