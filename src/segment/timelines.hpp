// Timelines of people, as stored: kept when events come, read when segments are judged. A timeline that is
// missing, or that some input has not been asked about, is made anew from the events; so nothing depends on
// what is stored but speed. Callers hold the people's locks.
#pragma once
#include "segment/inputs.hpp"

#include "core/tally.hpp"

#include <span>

namespace cdp::segment {

// What is known of one person, by input.
class History {
public:
  // An identifier's timeline, or a stretch of it; the bytes must outlive this, unless they are given away.
  void add(std::string_view packed) { packed_.push_back(packed); }
  void keep(std::string packed) {
    add(*kept_.emplace_back(std::make_unique<std::string>(std::move(packed))));
  }
  void finish(); // once, when all is added; an error when the bytes are broken

  struct Said { // what an input has been told, and whether something odd is among it
    std::int32_t input;
    bool odd;
    std::size_t start;
    Timestamp last;
  };
  // What counts from an instant on; none when all is older.
  std::span<const core::Entry> of(std::int32_t input, Timestamp from, bool &odd) const;
  std::size_t size() const { return entries_.size(); }
  // Those that have been told something, in order.
  std::span<const Said> inputs() const { return {said_.data(), said_.size() - 1}; }

private:
  void group_by_input(const std::vector<core::Entry> &entries);

  std::vector<std::string_view> packed_;
  std::vector<std::unique_ptr<std::string>> kept_;
  std::vector<core::Entry> entries_; // by input, then time and id
  std::vector<Said> said_;           // by input; one more at the end
};

using Histories = std::unordered_map<std::int64_t, History>;

// The timelines of people, by who is who now (cdp.identifiers.profile_id).
Histories read_histories(const std::vector<std::int64_t> &profile_ids);

// Makes timelines that are missing or too old anew from the events; gives each identifier's packed stretches.
std::vector<std::pair<std::int64_t, std::string>>
make_timelines(const std::vector<std::int64_t> &identifiers);

// Those that have events; none once all timelines were found to be there, which is remembered.
std::vector<std::int64_t> identifiers_without_timeline();
void timelines_are_complete();

// Adds events that were just stored to their identifiers' timelines. No message of this transaction has a
// decision before `first`.
// Returns what inputs had to say, an event each.
std::vector<Observed> add_events(const std::vector<EventFacts> &events, std::int64_t first);

} // namespace cdp::segment
