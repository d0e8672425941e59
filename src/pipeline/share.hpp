// Lines of the inbox that can be decided beside each other: those that share nobody are shared out.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <unordered_set>
#include <vector>

#include "collect/candidate.hpp"
#include "identity/identities.hpp"

namespace cdp::pipeline {

// Numbers for all that these lines decide, in their order, whoever decides first. Nothing of what came before
// them is on its way, and who will use them has begun.
void reserve_numbers(std::vector<collect::Incoming> &lines);

// What lines name that others are deciding: all else about people is as it was read, unless somebody came in
// between.
struct InOtherHands {
  std::unordered_set<std::uint64_t> identifiers; // hashes of their names
  std::unordered_set<std::int64_t> people;       // who may be merged
  std::size_t parts = 0;                         // a transaction each
};

// Shares out one window of the inbox. Lines that share an identifier, a person, a messageId or an account are
// of one part and keep their order, so that the state is that of deciding all in order.
class Sharing {
public:
  // Reads whom lines are about, while others still decide what they have in their hands. Ids are reserved in
  // the order of lines, so that the oldest identifier has the smallest one, whoever decides its line first.
  // Needs an open SPI session.
  explicit Sharing(std::vector<collect::Incoming> &lines);
  ~Sharing();

  // For each line, which part it belongs to, how many numbers it needs, and what was seen of its people; each
  // part gets about its weight of the lines. Locks nobody: where somebody else merges people meanwhile, parts
  // may wait for each other. Nothing of what came before is on its way any more. `theirs` becomes what all
  // parts but the first have.
  std::vector<std::size_t> share_out(std::vector<collect::Incoming> &lines,
                                     const std::vector<double> &weights, InOtherHands &theirs);

private:
  class Groups;
  struct Outline { // what is left of a message once its identifiers are read
    std::size_t line;
    std::size_t first, end;            // of its identifiers in named_, none: it goes to quarantine
    std::uint64_t message_id, account; // hashes; 0: none
  };

  void read_outlines(const std::vector<collect::Incoming> &lines);
  void read_wholly(const std::vector<collect::Incoming> &lines, std::span<const std::size_t> which,
                   const collect::Sources &sources);
  void note(std::size_t line, std::size_t first, core::MessageType type, std::string_view message_id,
            std::string_view group_id);
  std::span<const std::size_t> named_by(const Outline &outline) const {
    return {named_.begin() + static_cast<std::ptrdiff_t>(outline.first), outline.end - outline.first};
  }
  void reserve_ids(std::vector<collect::Incoming> &lines) const;
  void find_groups(std::size_t lines);
  void join_people(std::size_t lines, std::size_t index);
  void meet_again(std::size_t lines, const InOtherHands &theirs);
  void note_seen(std::vector<collect::Incoming> &lines) const;
  InOtherHands given(const std::vector<std::size_t> &part_of);

  identity::Identities identities_;
  std::vector<Outline> outlines_; // in the order of lines
  std::vector<std::size_t> named_;
  std::unique_ptr<Groups> groups_; // of lines and identifiers, by number in this order
  std::uint64_t met_at_ = 0;       // pg::transactions_ended() when people were read
  bool names_content_ = false;     // some line comes with a messageId that another may get by its content
};

} // namespace cdp::pipeline
