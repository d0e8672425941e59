// Messages taken back, and others put in their place: state becomes what the fold over the facts that are
// left, and the new ones, is.
#pragma once
#include "pipeline/ingest.hpp"

namespace cdp::pipeline {

struct Exchange {
  Outcome outcome;           // of the new messages
  std::int64_t taken = 0;    // messages that were taken out; those that were before are not counted
  std::int64_t decision = 0; // the number under which it is logged; 0: nothing changed
};

// Takes the messages of these decisions out and decides those of the lines, in order and after everything
// else. People who come out as they were keep their history: it is one decision, not two. Costs what the
// people concerned cost. Quarantined candidates are reported, not yet written. Needs an open SPI session;
// refuses isolation above READ COMMITTED.
Exchange exchange(const std::vector<std::int64_t> &withdrawn, const std::vector<collect::Incoming> &lines,
                  const std::string &reason);

} // namespace cdp::pipeline
