// Which links to take out so that some identifiers leave a person, and what goes along with them.
#pragma once
#include <set>
#include <utility>
#include <vector>

#include "identity/history.hpp"

namespace cdp::identity {

struct SplitPlan {
  std::vector<std::pair<std::int64_t, std::int64_t>> links; // to remove: one that leaves, one that stays
  std::vector<std::int64_t> allowed;                        // decisions that join the two, to take back
  std::int64_t leaves = 0, stays = 0; // an identifier of each side, of the highest priority
};

// What stays is the largest part of the person that holds together without `leaving`, the one with the oldest
// identifier of several; all that only `leaving` joins to it goes along. Raises 22023 when nothing would
// stay.
SplitPlan plan_split(const History &person, std::int64_t profile_id, const std::set<std::int64_t> &leaving,
                     const Types &types);

} // namespace cdp::identity
