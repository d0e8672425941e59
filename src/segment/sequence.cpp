// Sequences and funnels as SQL aggregates: rows become events, core finds the matches.
#include "core/sequence.hpp"

#include <map>

#include "pg/aggregate.hpp"

using namespace cdp;

namespace {

struct Steps {
  std::uint64_t met = 0;
  int count = 0;
};

// What the rows of one group say. Events that no match can need are not kept.
struct State {
  explicit State(MemoryContext context) : resource(context) {}

  pg::ContextResource resource;
  std::pmr::string pattern{&resource};
  core::Timestamp within = 0; // of a funnel
  int step_count = -1;        // until the first row
  std::uint64_t used = 0;
  bool sorted = true;
  std::pmr::vector<core::SequenceEvent> events{&resource};
  std::pmr::map<std::pmr::string, std::uint64_t, std::less<>> bindings{&resource};

  std::span<const core::SequenceEvent> in_order() {
    if (!sorted)
      core::sort_events(events);
    sorted = true;
    return events;
  }
};

Error wrong(std::string message, std::string hint = {}) {
  return Error(ERRCODE_INVALID_PARAMETER_VALUE, std::move(message), {}, std::move(hint));
}

core::Sequence parse(std::string_view pattern, int step_count) {
  auto result = core::Sequence::parse(pattern, static_cast<unsigned>(step_count));
  if (auto *error = std::get_if<core::PatternError>(&result))
    throw wrong(error->message, error->hint).at(std::string(pattern), error->position);
  return std::get<core::Sequence>(std::move(result));
}

// NULL is not met. The elements of an array that are NULL take no room in it.
Steps steps_argument(FunctionCallInfo fcinfo, int number) {
  if (PG_ARGISNULL(number))
    throw Error(ERRCODE_NULL_VALUE_NOT_ALLOWED, "the steps must not be NULL");
  ArrayType *array = pg::call([&] { return PG_GETARG_ARRAYTYPE_P(number); });
  Steps steps;
  steps.count = ARR_NDIM(array) == 1 ? ARR_DIMS(array)[0] : 0;
  if (steps.count < 1 || steps.count > static_cast<int>(core::kMaxSequenceSteps))
    throw wrong("there must be 1 to 64 steps", "Each boolean is a step: event = 'Product Added'.");
  const bits8 *present = ARR_NULLBITMAP(array);
  const auto *value = reinterpret_cast<const bool *>(ARR_DATA_PTR(array));
  for (int i = 0; i < steps.count; ++i)
    if (!present || present[i / 8] & 1 << i % 8)
      steps.met |= static_cast<std::uint64_t>(*value++) << i;
  return steps;
}

std::string_view text_view(FunctionCallInfo fcinfo, int number) {
  text *value = pg::call([&] { return PG_GETARG_TEXT_PP(number); });
  return {VARDATA_ANY(value), static_cast<std::size_t>(VARSIZE_ANY_EXHDR(value))};
}

void check_pattern(State &state, FunctionCallInfo fcinfo, int steps) {
  if (PG_ARGISNULL(1))
    throw Error(ERRCODE_NULL_VALUE_NOT_ALLOWED, "the sequence pattern must not be NULL");
  const auto pattern = text_view(fcinfo, 1);
  if (state.step_count < 0) {
    state.used = parse(pattern, steps).steps_used();
    state.pattern = pattern;
  } else if (state.pattern != pattern) {
    throw wrong("the sequence pattern must be the same for all rows of a group");
  }
}

core::Timestamp fixed_length(const Interval &span) {
  const auto length = core::funnel_length(span.month, span.day, span.time);
  if (const auto *error = std::get_if<core::PatternError>(&length))
    throw wrong(error->message, error->hint);
  return std::get<core::Timestamp>(length);
}

void check_window(State &state, FunctionCallInfo fcinfo, int steps) {
  if (PG_ARGISNULL(1))
    throw Error(ERRCODE_NULL_VALUE_NOT_ALLOWED, "the length of a funnel must not be NULL");
  const auto within = fixed_length(*PG_GETARG_INTERVAL_P(1));
  if (state.step_count >= 0 && state.within != within)
    throw wrong("the length of a funnel must be the same for all rows of a group");
  state.within = within;
  state.used = steps == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << steps) - 1;
}

std::uint64_t binding_of(State &state, std::string_view name) {
  if (auto found = state.bindings.find(name); found != state.bindings.end())
    return found->second;
  return state.bindings.emplace(name, state.bindings.size()).first->second;
}

// Arguments: state, pattern or length, instant, [binding,] steps.
template <class F> Datum add_row(FunctionCallInfo fcinfo, bool bound, F &&check) {
  auto &state = pg::aggregate_state<State>(fcinfo);
  const auto steps = steps_argument(fcinfo, bound ? 4 : 3);
  check(state, fcinfo, steps.count);
  if (state.step_count >= 0 && state.step_count != steps.count)
    throw wrong("the number of steps must be the same for all rows of a group");
  state.step_count = steps.count;
  if (!PG_ARGISNULL(2) && steps.met & state.used && !(bound && PG_ARGISNULL(3))) {
    const TimestampTz at = PG_GETARG_TIMESTAMPTZ(2);
    const auto binding = bound ? binding_of(state, text_view(fcinfo, 3)) : 0;
    if (!TIMESTAMP_NOT_FINITE(at)) {
      auto &events = state.events;
      state.sorted =
          state.sorted && (events.empty() || (events.back().binding == binding && events.back().at <= at));
      events.push_back({at, steps.met, binding});
    }
  }
  PG_RETURN_POINTER(&state);
}

// What ask(sequence, events) says of the rows; nothing when there were none.
template <class F> auto ask_sequence(FunctionCallInfo fcinfo, F &&ask) {
  auto *state = pg::finished_state<State>(fcinfo);
  using Answer = decltype(ask(core::Sequence(), std::span<const core::SequenceEvent>()));
  return state ? ask(parse(state->pattern, state->step_count), state->in_order()) : Answer();
}

} // namespace

// cdp_internal.sequence_add(internal, pattern text, occurred_at timestamptz, steps boolean[])
CDP_FUNCTION(cdp_sequence_add) {
  return add_row(fcinfo, false, check_pattern);
}

// cdp_internal.sequence_by_add(internal, pattern text, occurred_at timestamptz, binding text, steps
// boolean[])
CDP_FUNCTION(cdp_sequence_by_add) {
  return add_row(fcinfo, true, check_pattern);
}

// cdp_internal.funnel_add(internal, within interval, occurred_at timestamptz, steps boolean[])
CDP_FUNCTION(cdp_funnel_add) {
  return add_row(fcinfo, false, check_window);
}

// cdp_internal.funnel_by_add(internal, within interval, occurred_at timestamptz, binding text, steps
// boolean[])
CDP_FUNCTION(cdp_funnel_by_add) {
  return add_row(fcinfo, true, check_window);
}

// cdp_internal.sequence_found(internal)
CDP_FUNCTION(cdp_sequence_found) {
  PG_RETURN_BOOL(
      ask_sequence(fcinfo, [](const auto &sequence, auto events) { return sequence.matches(events); }));
}

// cdp_internal.sequence_count(internal)
CDP_FUNCTION(cdp_sequence_count) {
  PG_RETURN_INT64(
      ask_sequence(fcinfo, [](const auto &sequence, auto events) { return sequence.count(events); }));
}

// cdp_internal.sequence_last(internal)
CDP_FUNCTION(cdp_sequence_last) {
  const auto last =
      ask_sequence(fcinfo, [](const auto &sequence, auto events) { return sequence.last(events); });
  if (!last)
    PG_RETURN_NULL();
  PG_RETURN_TIMESTAMPTZ(*last);
}

// cdp_internal.funnel_depth(internal)
CDP_FUNCTION(cdp_funnel_depth) {
  auto *state = pg::finished_state<State>(fcinfo);
  if (!state)
    PG_RETURN_INT32(0);
  PG_RETURN_INT32(
      core::funnel_depth(state->in_order(), static_cast<unsigned>(state->step_count), state->within));
}
