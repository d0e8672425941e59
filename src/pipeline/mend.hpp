// People decided anew: identities, profiles and segments follow in one transaction.
#pragma once
#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <vector>

namespace cdp::pipeline {

// Decides the people of these identifiers, and everybody whom that touches, from the evidence, the rules
// applied and people's decisions; returns the number of the decision. `all`: refold profiles and segments
// even of people whose identifiers stay as they were. Needs an open SPI session; refuses isolation above READ
// COMMITTED.
// `prepare` runs when the people are locked, and again, undone before, when more of them are to be;
// `numbered` gets the number.
std::int64_t mend(const std::set<std::int64_t> &identifiers, const std::string &reason, bool all,
                  const std::function<void()> &prepare, const std::function<void(std::int64_t)> &numbered);

// Folds the golden traits of those who were folded by other rules than are in force, or of whom a value is
// too old, with their segments; how many.
std::int64_t fold_anew(const std::vector<std::int64_t> &profile_ids);

} // namespace cdp::pipeline
