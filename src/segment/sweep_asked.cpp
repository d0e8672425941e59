#include "segment/sweep.hpp"

#include <algorithm>

namespace cdp::segment {

void bind_inside(pg::Bindings &bindings, int first, const Inside *inside, Timestamp at) {
  for (std::size_t i = 0; inside && i < inside->size(); ++i) {
    const auto &turns = (*inside)[i];
    const auto past = std::upper_bound(turns.begin(), turns.end(), at) - turns.begin();
    bindings.bind(first + static_cast<int>(i), BoolGetDatum(past % 2 == 1));
  }
}

void bind_since(pg::Bindings &bindings, int first, const Since *since) {
  for (std::size_t i = 0; since && i < since->size(); ++i)
    if ((*since)[i] == core::kMinusInfinity)
      bindings.bind_null(first + static_cast<int>(i));
    else
      bindings.bind(first + static_cast<int>(i), TimestampTzGetDatum((*since)[i]));
}

Timestamp next_turn(const Inside *inside, Timestamp at) {
  auto next = core::kInfinity;
  for (const auto &turns : inside ? *inside : Inside())
    if (const auto turn = std::upper_bound(turns.begin(), turns.end(), at); turn != turns.end())
      next = std::min(next, *turn);
  return next;
}

bool is_outside(const Stint &stint, std::span<const std::int64_t> segments) {
  return std::any_of(segments.begin(), segments.end(), [&](std::int64_t place) {
    const auto &turns = (*stint.inside)[static_cast<std::size_t>(place)];
    const auto next = std::upper_bound(turns.begin(), turns.end(), stint.step->from);
    return (next - turns.begin()) % 2 == 0 && (next == turns.end() || *next >= stint.until);
  });
}

} // namespace cdp::segment
