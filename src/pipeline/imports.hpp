// Which messages came with which import: cdp.begin_import says of which names this is kept.
#pragma once
#include "collect/candidate.hpp"

namespace cdp::pipeline {

// Puts open candidates aside whose import takes none any more.
void check_imports(std::vector<collect::Candidate> &candidates, const std::vector<collect::Incoming> &lines);

// Keeps which accepted messages, by the numbers of their decisions, and how many others, belong to imports.
void note_imports(const std::vector<collect::Candidate> &candidates,
                  const std::vector<collect::Incoming> &lines, const std::vector<std::int64_t> &decisions);

} // namespace cdp::pipeline
