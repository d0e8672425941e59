// Lines of the inbox that are decided, and deleted in the same transaction.
#pragma once
#include "collect/inbox.hpp"

namespace cdp::pipeline {

// Decides them in order; how many. Needs an open SPI session.
std::int64_t decide(const collect::Oldest &oldest);

} // namespace cdp::pipeline
