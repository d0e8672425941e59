#include "segment/history.hpp"

#include <algorithm>
#include <map>
#include <numeric>

#include "pg/guard.hpp"

namespace cdp::segment {

using core::Entry;
using core::InputValue;

Error broken_timeline() {
  return Error(ERRCODE_DATA_CORRUPTED, "a timeline cannot be read", {},
               "TRUNCATE cdp_internal.timelines; they are made anew from the events.");
}

void History::clear() {
  packed_.clear();
  kept_.clear();
  entries_.clear();
  said_.clear();
  std::fill(places_.begin(), places_.end(), 0);
  for (auto &made : made_)
    made.count = 0;
}

void History::finish() {
  thread_local std::vector<core::TimelineEvent> events; // kept for their room
  thread_local std::vector<Entry> entries;
  events.clear();
  entries.clear();
  for (const auto packed : packed_)
    if (!core::unpack_timeline(packed, events))
      throw broken_timeline();
  const auto earlier = [](const auto &a, const auto &b) { return a.order() < b.order(); };
  if (packed_.size() > 1 && !std::is_sorted(events.begin(), events.end(), earlier))
    std::sort(events.begin(), events.end(), earlier);
  for (const auto &event : events) {
    core::InputValues values(event.values);
    while (values.next())
      entries.push_back({event.at, event.event_id, values.value()});
    if (values.broken())
      throw broken_timeline();
  }
  group_by_input(entries);
}

// By input, each in the order they are in.
void History::group_by_input(const std::vector<Entry> &entries) {
  for (const auto &entry : entries) {
    const auto input = static_cast<std::size_t>(entry.value.input);
    if (places_.size() <= input)
      places_.resize(input + 1);
    if (places_[input] == 0) {
      said_.push_back({entry.value.input, false, 0, 0, 0});
      places_[input] = static_cast<std::uint32_t>(said_.size());
    }
    ++said_[places_[input] - 1].count;
  }
  std::size_t start = 0;
  for (auto &one : said_) {
    one.start = start;
    start += std::exchange(one.count, 0);
  }
  entries_.resize(entries.size());
  for (const auto &entry : entries) {
    auto &one = said_[places_[static_cast<std::size_t>(entry.value.input)] - 1];
    entries_[one.start + one.count++] = entry;
    one.odd = one.odd || entry.value.kind == InputValue::Kind::odd;
    one.last = entry.at;
  }
}

std::span<const Entry> History::of(std::int32_t input, Timestamp from, bool &odd) const {
  const auto *found = said(input);
  if (!found)
    return {};
  odd = odd || found->odd;
  if (found->last < from)
    return {};
  const auto entries = entries_of(*found);
  if (entries.front().at >= from)
    return entries;
  const auto first = std::partition_point(entries.begin(), entries.end(),
                                          [&](const Entry &entry) { return entry.at < from; });
  return {first, entries.end()};
}

const Steps &History::steps_of(const StepsAsked &asked, Timestamp from, Asker asker) const {
  auto &[steps, count] = made_[static_cast<std::size_t>(asker)];
  for (std::size_t i = 0; i < count; ++i)
    if (steps[i].number == asked.number && steps[i].from == from)
      return *steps[i].steps;
  if (count == steps.size())
    steps.push_back({0, 0, std::make_unique<Steps>()});
  auto &made = steps[count++];
  made.number = asked.number;
  made.from = from;
  merge(asked, from, *made.steps);
  return *made.steps;
}

// An event that is in several inputs meets the steps of all of them.
void History::merge(const StepsAsked &asked, Timestamp from, Steps &steps) const {
  thread_local std::vector<std::pair<std::span<const Entry>, std::uint64_t>> rest; // kept for its room
  steps.clear();
  rest.clear();
  bool odd = false;
  for (const auto &one : asked.inputs)
    if (const auto entries = of(one.input, from, odd); !entries.empty())
      rest.emplace_back(entries, one.steps);
  const auto order = [](const Entry &entry) { return std::pair(entry.at, entry.event_id); };
  while (!rest.empty()) {
    auto next = rest.begin();
    for (auto other = next + 1; other != rest.end(); ++other)
      if (order(other->first.front()) < order(next->first.front()))
        next = other;
    const auto &entry = next->first.front();
    if (!steps.entries.empty() && steps.entries.back().event_id == entry.event_id)
      steps.events.back().steps |= next->second;
    else if (entry.value.kind != InputValue::Kind::null) { // what has nothing in common matches nothing
      steps.entries.push_back(entry);
      steps.events.push_back({entry.at, next->second, 0});
    }
    next->first = next->first.subspan(1);
    if (next->first.empty())
      rest.erase(next);
  }
  if (asked.bound)
    steps.sort();
}

void Steps::clear() {
  entries.clear();
  events.clear();
  order.clear();
}

void Steps::sort() {
  const auto name = [&](std::uint32_t i) { return entries[i].value.bytes(); };
  order.resize(events.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(),
            [&](std::uint32_t a, std::uint32_t b) { return std::pair(name(a), a) < std::pair(name(b), b); });
  for (std::size_t i = 1; i < order.size(); ++i)
    events[order[i]].binding = events[order[i - 1]].binding + (name(order[i]) != name(order[i - 1]));
}

StepsAsked StepsAsked::of(std::vector<StepInput> inputs, bool bound) {
  static std::map<std::pair<std::vector<StepInput>, bool>, std::size_t> numbers;
  std::sort(inputs.begin(), inputs.end());
  std::vector<StepInput> joined; // steps may ask the same
  for (const auto &one : inputs)
    if (!joined.empty() && joined.back().input == one.input)
      joined.back().steps |= one.steps;
    else
      joined.push_back(one);
  const auto number = numbers.emplace(std::pair(joined, bound), numbers.size()).first->second;
  return {number, std::move(joined), bound};
}

} // namespace cdp::segment
