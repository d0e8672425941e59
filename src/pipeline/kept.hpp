// Accepted messages as they may be stored, of sources that keep them: cdp.reprocess_source takes them anew.
#pragma once
#include "collect/candidate.hpp"

namespace cdp::pipeline {

// Keeps the accepted ones, by the numbers of their decisions: those of sources that keep theirs, and those
// that were kept already.
void keep_messages(const std::vector<collect::Candidate> &candidates,
                   const std::vector<collect::Incoming> &lines, const std::vector<std::int64_t> &decisions);

// A row (…, source, import, received_at, message, hashed as json, came_as) of what was put away, as a line,
// with what it has of its treatment already.
collect::Incoming line_put_away(const pg::Rows &rows, std::size_t i);

} // namespace cdp::pipeline
