// Memberships follow people: every decision about a person is a step, and a step is judged for the whole
// known future. One Evaluation an ingest call; see evaluation.cpp for how batches stay invisible.
#pragma once
#include "core/timestamp.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace cdp::segment {

// A person's state from one decision to the next.
struct Step {
  std::int64_t profile_id;
  std::int64_t decision_seq;   // events with event_id <= this are known
  core::Timestamp from, until; // receipt instant of this decision; that of the person's next one, or infinity
  std::string traits;          // golden traits after this decision, JSON text
};

class Evaluation {
public:
  Evaluation(); // loads the segments; cheap when there are none
  ~Evaluation();
  Evaluation(const Evaluation &) = delete;
  Evaluation &operator=(const Evaluation &) = delete;

  bool any() const; // are there segments at all

  // A wave: each person's identity (cdp.identifiers.profile_id) is now as in these steps, and their events
  // are stored. Steps of one person come in decision order, over all waves, and `from` never goes back.
  void evaluate(const std::vector<Step> &steps);

  // The person was merged away: nothing holds from this instant on.
  void end(std::int64_t profile_id, core::Timestamp at, std::int64_t decision_seq);

  // Compares what was found with what is stored and writes the difference. Call it once, last.
  void store();

private:
  struct State;
  std::unique_ptr<State> state_;
};

} // namespace cdp::segment
