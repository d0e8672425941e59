// The strategies of survivorship, one function each.
#pragma once

#include "core/survivorship.hpp"

namespace cdp::core {

/// The claims that count, in order of (asserted_at, decision_seq); there is at least one.
struct Case {
  std::span<const Claim> claims;
  const std::vector<std::size_t> &live;
  const Link &link;
  const Rules &rules;
  const World &world;
};

/// Value, made_from, conflict and error; a null value when the strategy finds none.
Verdict apply(const Case &one);

/// Whether the value is made of all claims, and not that of one.
bool is_made(Strategy strategy);

} // namespace cdp::core
