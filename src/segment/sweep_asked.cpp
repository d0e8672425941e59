#include "segment/sweep.hpp"

#include <algorithm>

#include "pg/jsonb.hpp"

namespace cdp::segment {

namespace {

// In the expressions' memory, which goes with the next values.
Datum jsonb_of(const std::string &text, pg::Bindings &bindings) {
  MemoryContext before = MemoryContextSwitchTo(bindings.memory());
  void *value = pg::parse_jsonb(text);
  MemoryContextSwitchTo(before);
  return PointerGetDatum(value);
}

} // namespace

void bind_inside(pg::Bindings &bindings, int first, std::size_t segments, const Inside *inside,
                 Timestamp at) {
  for (std::size_t i = 0; inside && i < inside->size(); ++i) {
    const auto &[turns, values] = (*inside)[i];
    const int number = first + static_cast<int>(i);
    const auto past =
        static_cast<std::size_t>(std::upper_bound(turns.begin(), turns.end(), at) - turns.begin());
    if (i < segments)
      bindings.bind(number, BoolGetDatum(past % 2 == 1));
    else if (past && values[past - 1])
      bindings.bind(number, jsonb_of(*values[past - 1], bindings));
    else
      bindings.bind_null(number);
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
  for (std::size_t i = 0; inside && i < inside->size(); ++i) {
    const auto &turns = (*inside)[i].turns;
    if (const auto turn = std::upper_bound(turns.begin(), turns.end(), at); turn != turns.end())
      next = std::min(next, *turn);
  }
  return next;
}

// Of a computed trait, for what is bound.
bool Sweep::has_value() {
  const auto value = pg::call([&] { return value_->evaluate(); });
  held_ = value.is_null ? std::nullopt : Key(pg::call([&] { return TextDatumGetCString(value.datum); }));
  return held_.has_value();
}

bool is_outside(const Stint &stint, std::span<const std::int64_t> segments) {
  return std::any_of(segments.begin(), segments.end(), [&](std::int64_t place) {
    const auto &turns = (*stint.inside)[static_cast<std::size_t>(place)].turns;
    const auto next = std::upper_bound(turns.begin(), turns.end(), stint.step->from);
    return (next - turns.begin()) % 2 == 0 && (next == turns.end() || *next >= stint.until);
  });
}

bool Sweep::judge_alone(const Stint &stint, std::vector<Range> &ranges) {
  alone_ = true;
  bool judged = false;
  try {
    judged = judge(stint, ranges);
  } catch (const std::exception &) { // then the backend meets it again
  }
  alone_ = false;
  return judged;
}

} // namespace cdp::segment
