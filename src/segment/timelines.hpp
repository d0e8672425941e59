// Timelines of people, as stored: kept when events come, read when segments are judged. A timeline that is
// missing, or that some input has not been asked about, is made anew from the events; so nothing depends on
// what is stored but speed. Callers hold the people's locks.
#pragma once
#include "segment/history.hpp"
#include "segment/inputs.hpp"

namespace cdp::segment {

using Histories = std::unordered_map<std::int64_t, History>;

// The timelines of people, by who is who now (cdp.identifiers.profile_id); of each what `wanted` adds for
// that person, or all.
using Wants = std::function<void(std::int64_t profile_id, Wanted &wanted)>;
// Identifiers whose packed timelines are known already need not be read; these must outlive the histories.
using Timelines = std::unordered_map<std::int64_t, std::vector<std::string>>;
Histories read_histories(const std::vector<std::int64_t> &profile_ids, const Wants &wants = {},
                         const Timelines &known = {});
// The same, but that each is still to be finished, which is plain C++.
Histories gather_histories(const std::vector<std::int64_t> &profile_ids, const Timelines &known);

// Makes timelines that are missing or too old anew from the events; gives each identifier's packed stretches.
std::vector<std::pair<std::int64_t, std::string>>
make_timelines(const std::vector<std::int64_t> &identifiers);

// Those that have events; none once all timelines were found to be there, which is remembered.
std::vector<std::int64_t> identifiers_without_timeline();
void timelines_are_complete();

// Adds events that were just stored to their identifiers' timelines. No message of this transaction has a
// decision before `first`.
// Returns what inputs had to say, an event each; puts whole timelines that it wrote among the known ones.
std::vector<Observed> add_events(const std::vector<EventFacts> &events, std::int64_t first, Timelines &known);

} // namespace cdp::segment
