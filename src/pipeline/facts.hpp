// What accepted messages say, as it is stored: one row a message, by the number of its decision.
#pragma once
#include "collect/candidate.hpp"
#include "identity/identities.hpp"
#include "segment/evaluation.hpp"

namespace cdp::pipeline {

// A number for every accepted message, 0 for the others. Its people are locked. Those that are reserved for
// its line serve if nobody can have decided anything about these people since: a decision has a larger number
// than those before it, and of two lines that turn out to be about one person one at least sees others.
std::vector<std::int64_t> draw_decisions(const std::vector<collect::Candidate> &candidates,
                                         const std::vector<collect::Incoming> &lines,
                                         const identity::Identities &identities);
// The same where none are reserved.
std::vector<std::int64_t> draw_decisions(const std::vector<collect::Candidate> &candidates);

// Writes the track, page and screen messages of a batch, each owned by owners[i].
void store_events(const std::vector<collect::Candidate> &candidates,
                  const std::vector<std::int64_t> &decisions, const std::vector<std::int64_t> &owners,
                  const std::vector<std::vector<std::int64_t>> &carried);

// Lets the segments know of these events.
void show_events(const std::vector<collect::Candidate> &candidates,
                 const std::vector<std::int64_t> &decisions, const std::vector<std::int64_t> &owners,
                 segment::Evaluation &evaluation);

} // namespace cdp::pipeline
