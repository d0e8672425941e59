// Memberships follow people: every decision about a person is a step, and a step is judged for the whole
// known future. One Evaluation an ingest call; see evaluation.cpp for how batches stay invisible.
#pragma once
#include "core/survivorship.hpp"
#include "core/timestamp.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace cdp::segment {

// A person's state from one decision to the next.
struct Step {
  std::int64_t profile_id;
  std::int64_t decision_seq;    // events with event_id <= this are known
  core::Timestamp from;         // receipt instant of this decision
  std::string traits;           // golden traits after this decision, JSON text
  bool everything = true;       // else only this decision's event is new to the person,
  bool traits_changed = true;   // and traits if this says so
  void *traits_jsonb = nullptr; // as PostgreSQL has them; set by the evaluation when a rule looks at them
  bool identifiers_changed =
      true;              // or identifiers that were nobody's, which lists may know, are new to the person
  bool is_theirs = true; // else what was decided is another's, and so is its event
  void *said = nullptr;  // the traits of the message, if that is what it is, jsonb as PostgreSQL has it,
  core::Timestamp said_at = 0; // and of when

  // What conditions that look at the person alone said, by their number: rules share them.
  enum class Answer : std::int8_t { unknown, holds, fails };
  mutable std::vector<Answer> answers;
};

// The jsonb values live as long as the evaluation's memory context.
struct NewEvent {
  std::int64_t event_id, identifier_id;
  std::int32_t source_id;
  core::Timestamp occurred_at, received_at;
  std::string type;
  std::optional<std::string> event;
  void *properties, *context;
};

class Evaluation {
public:
  Evaluation(); // loads the segments; cheap when there are none
  ~Evaluation();
  Evaluation(const Evaluation &) = delete;
  Evaluation &operator=(const Evaluation &) = delete;

  bool any() const; // are there segments at all

  // Events that were just stored; the first of this transaction's decisions is `first`. Before evaluate().
  void add_events(std::vector<NewEvent> events, std::int64_t first);

  // A wave: each person's identity (cdp.identifiers.profile_id) is now as in these steps, and their events
  // are stored. Steps of one person come in decision order, over all waves, and `from` never goes back.
  void evaluate(std::vector<Step> steps);

  // What computed traits are at each step, as found so far, else as stored.
  std::vector<core::ComputedValues> computed(const std::vector<Step> &steps,
                                             const std::vector<std::int32_t> &asked) const;

  // The person was merged away: nothing holds from this instant on.
  void end(std::int64_t profile_id, core::Timestamp at, std::int64_t decision_seq);

  // Compares what was found with what is stored and writes the difference. Call it once, last.
  void store();

private:
  struct State;
  std::unique_ptr<State> state_;
};

} // namespace cdp::segment
