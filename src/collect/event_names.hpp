// The names of events that ever came.
#pragma once
#include <vector>

#include "collect/candidate.hpp"

namespace cdp::collect {

// Writes down those of accepted events that are new. A backend remembers what it knows: mostly this is free.
void note_event_names(const std::vector<Candidate> &candidates);

} // namespace cdp::collect
