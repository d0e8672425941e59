// When something can have happened.
#pragma once
#include <vector>

#include "collect/candidate.hpp"

namespace cdp::collect {

// How many days before or after its receipt something can have happened; what is further off is no time.
extern int max_event_age, max_event_lead;

// Puts open candidates aside that say they happened at no time.
void check_times(std::vector<Candidate> &candidates);

// Whether events wait for tables that the worker is going to make: for that it needs all events for itself.
bool months_wait();

// When events of lines that wait occurred, as a sample of many tells that is taken now and then; else
// nothing.
std::vector<Timestamp> times_that_wait();

} // namespace cdp::collect
