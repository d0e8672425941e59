// Judging everybody, and noting what it cost.
#pragma once
#include "segment/everybody.hpp"

namespace cdp::segment {

// As of the start of the transaction; see evaluate_everybody.
void refresh(const std::vector<Judge *> &judges, Broken broken);

} // namespace cdp::segment
