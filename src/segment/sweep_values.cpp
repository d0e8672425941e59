// What the aggregates of a rule are worth, of the events that count at the instant at hand.
#include "segment/sweep_aggregate.hpp"

#include <algorithm>

#include "pg/values.hpp"

namespace cdp::segment {

using core::Entry;
using core::Function;
using core::InputValue;

std::optional<Datum> Sweep::value_of(Aggregate &aggregate) {
  auto &tally = *aggregate.tally;
  const auto at_entry = [&](const Entry *entry) {
    return entry ? std::optional(aggregate.values[static_cast<std::size_t>(entry - aggregate.entries.data())])
                 : std::nullopt;
  };
  const auto time_of = [](const Entry *entry) {
    return entry ? std::optional(TimestampTzGetDatum(entry->at)) : std::nullopt;
  };
  overflows_ = overflows_ || tally.overflows();
  switch (aggregate.function) {
  case Function::count:
  case Function::count_value:
    return Int64GetDatum(tally.count());
  case Function::count_distinct:
    return Int64GetDatum(tally.distinct());
  case Function::minimum:
    return at_entry(tally.smallest());
  case Function::maximum:
    return at_entry(tally.largest());
  case Function::first:
    return at_entry(tally.first());
  case Function::last:
    return at_entry(tally.last());
  case Function::sequence:
  case Function::sequence_count:
  case Function::last_sequence:
  case Function::funnel:
    return sequence_of(aggregate);
  case Function::other:
    return other_of(aggregate);
  case Function::first_time:
    return time_of(tally.first());
  case Function::last_time:
    return time_of(tally.last());
  default:
    break;
  }
  if (tally.count() == 0)
    return std::nullopt;
  switch (aggregate.function) {
  case Function::any:
    return BoolGetDatum(tally.trues() > 0);
  case Function::all:
    return BoolGetDatum(tally.trues() == tally.count());
  case Function::sum:
    return sum_of(aggregate);
  default:
    return average_of(aggregate);
  }
}

Datum Sweep::sum_of(Aggregate &aggregate) {
  auto &tally = *aggregate.tally;
  if (aggregate.type != INT8OID)
    return in_memory([&] { return pg::numeric_of(tally.sum(), tally.scale()); });
  auto sum = tally.sum();
  for (int i = 0; i < 15; ++i)
    sum /= 10;
  if (sum < INT64_MIN || sum > INT64_MAX)
    overflows_ = true; // PostgreSQL raises the error
  return Int64GetDatum(static_cast<std::int64_t>(sum));
}

Datum Sweep::average_of(Aggregate &aggregate) {
  auto &tally = *aggregate.tally;
  return in_memory([&] { return pg::average_of(tally.sum(), tally.scale(), tally.count()); });
}

void Sweep::find_values(Aggregate &aggregate) {
  const auto &entries = aggregate.entries;
  aggregate.values.assign(entries.size(), 0);
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < entries.size(); ++i)
    if (entries[i].value.kind != InputValue::Kind::null) {
      aggregate.values[i] = aggregate.value_type->datum(entries[i].value.bytes(), values_);
      order.push_back(i);
    }
  if (aggregate.is_ordered())
    aggregate.ranks = aggregate.value_type->rank(aggregate.values, std::move(order));
}

void Sweep::set_sequence(const pg::Aggregate &one, Aggregate &aggregate) {
  aggregate.steps = static_cast<unsigned>(one.steps);
  aggregate.stands_on_start = aggregate.function == Function::funnel;
  if (aggregate.function == Function::funnel) {
    aggregate.within = std::stoll(one.pattern);
    return;
  }
  auto parsed = core::Sequence::parse(one.pattern, aggregate.steps);
  if (auto *sequence = std::get_if<core::Sequence>(&parsed))
    aggregate.sequence = std::move(*sequence);
  if (!aggregate.sequence) {
    usable_ = false;
    return;
  }
  aggregate.stands_on_start = aggregate.function == Function::sequence && aggregate.sequence->before.empty();
  for (const auto &step : aggregate.sequence->steps)
    aggregate.wanted |= step.step;
}

// Matched once while the same events count; `start` stays with it.
std::optional<Datum> Sweep::sequence_of(Aggregate &aggregate) {
  if (const auto now = aggregate.tally->changes(); aggregate.said_of != now) {
    aggregate.said = match(aggregate);
    aggregate.said_of = now;
  }
  return aggregate.said;
}

std::optional<Datum> Sweep::match(Aggregate &aggregate) {
  thread_local std::vector<core::SequenceEvent> events; // kept for its room
  events.clear();
  const auto &met = has_key_ || !aggregate.met ? aggregate.own_steps : *aggregate.met;
  const auto add = [&](std::size_t i) {
    if (aggregate.tally->includes(i))
      events.push_back(met.events[i]);
  };
  if (aggregate.asked.bound)
    std::for_each(met.order.begin(), met.order.end(), add);
  else
    for (std::size_t i = 0; i < met.events.size(); ++i)
      add(i);
  switch (aggregate.function) {
  case Function::sequence:
    aggregate.start = aggregate.sequence->latest_start(events);
    return BoolGetDatum(aggregate.start.has_value());
  case Function::sequence_count:
    return Int64GetDatum(aggregate.sequence->count(events));
  case Function::last_sequence: {
    const auto last = aggregate.sequence->last(events);
    return last ? std::optional(TimestampTzGetDatum(*last)) : std::nullopt;
  }
  default:
    const auto reach = core::funnel_reach(events, aggregate.steps, aggregate.within);
    aggregate.start = reach.depth ? std::optional(reach.start) : std::nullopt;
    return Int32GetDatum(reach.depth);
  }
}

} // namespace cdp::segment
