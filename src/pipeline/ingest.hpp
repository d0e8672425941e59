// The way of a message: read, claimed, decided, folded, evaluated, written - in one transaction.
#pragma once
#include "collect/candidate.hpp"
#include "identity/identities.hpp"

namespace cdp::pipeline {

// What became of a batch. profile_ids[i] is the person of accepted candidate i when the batch was decided,
// and decisions[i] its number; else 0.
struct Outcome {
  std::vector<collect::Candidate> candidates;
  std::vector<std::int64_t> decisions;
  std::vector<std::int64_t> profile_ids;

  std::int64_t count(collect::Fate fate) const;
};

// What the lines hold: read, known by source and identifiers, held against what is known of their sources,
// claimed and counted. Only what is accepted then is to be decided.
std::vector<collect::Candidate> take_in(const std::vector<collect::Incoming> &lines,
                                        identity::Identities &identities);

// Decides the messages of these lines in order. A single call is a batch of one. Quarantined candidates are
// reported, not yet written. Needs an open SPI session; refuses isolation above READ COMMITTED.
Outcome ingest(const std::vector<collect::Incoming> &lines);

} // namespace cdp::pipeline
