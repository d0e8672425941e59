// The segments that a rule asks about, by name.
#pragma once
#include <string>

#include "pg/rule.hpp"

namespace cdp::segment {

// Finds those that a rule names; an error points at the name of one that there is not.
void find_asked(pg::Rule &rule, const std::string &text);

} // namespace cdp::segment
