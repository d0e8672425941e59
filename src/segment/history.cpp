#include "segment/history.hpp"

#include <algorithm>
#include <bit>
#include <functional>
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

namespace {

// Events whose runs, each in order, end at these places: pairs of runs become one until one is left.
void merge_runs(std::vector<core::TimelineEvent> &events, std::vector<std::size_t> &ends) {
  const auto earlier = [](const auto &a, const auto &b) { return a.order() < b.order(); };
  const auto at = [&](std::size_t place) { return events.begin() + static_cast<std::ptrdiff_t>(place); };
  while (ends.size() > 1) {
    std::size_t kept = 0, start = 0;
    for (std::size_t i = 0; i < ends.size(); i += 2) {
      const auto middle = ends[i], end = ends[std::min(i + 1, ends.size() - 1)];
      if (start < middle && middle < end && earlier(events[middle], events[middle - 1]))
        std::inplace_merge(at(start), at(middle), at(end), earlier);
      ends[kept++] = start = end;
    }
    ends.resize(kept);
  }
}

} // namespace

void History::finish(const Wanted *wanted) {
  thread_local std::vector<core::TimelineEvent> events; // kept for their room
  thread_local std::vector<std::size_t> ends;
  thread_local std::vector<Entry> entries;
  events.clear();
  ends.clear();
  entries.clear();
  for (const auto packed : packed_) {
    if (!core::unpack_timeline(packed, events, wanted ? wanted->least() : core::kMinusInfinity))
      throw broken_timeline();
    ends.push_back(events.size());
  }
  merge_runs(events, ends);
  for (const auto &event : events) {
    core::InputValues values(event.values);
    while (values.next())
      if (!wanted || wanted->has(event, values.value().input))
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
  std::size_t count = 0;
  for (const auto &one : asked.inputs)
    if (const auto entries = of(one.input, from, odd); !entries.empty()) {
      rest.emplace_back(entries, one.steps);
      count += entries.size();
    }
  steps.entries.reserve(count);
  steps.events.reserve(count);
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

// Numbers what they have in common as it appears; then all of one number lie together, in order of time.
void Steps::sort() {
  thread_local std::vector<std::uint32_t> slots, starts; // kept for their room
  const auto name = [&](std::uint32_t i) { return entries[i].value.bytes(); };
  const auto count = static_cast<std::uint32_t>(events.size());
  slots.assign(std::bit_ceil(std::size_t{count} * 2 + 1), 0); // the first event of a name, from 1
  starts.assign(1, 0);
  for (std::uint32_t i = 0; i < count; ++i) {
    auto place = std::hash<std::string_view>()(name(i)) & (slots.size() - 1);
    while (slots[place] && name(slots[place] - 1) != name(i))
      place = (place + 1) & (slots.size() - 1);
    if (!slots[place]) {
      slots[place] = i + 1;
      events[i].binding = starts.size() - 1;
      starts.push_back(0);
    } else {
      events[i].binding = events[slots[place] - 1].binding;
    }
    ++starts[events[i].binding + 1];
  }
  std::partial_sum(starts.begin(), starts.end(), starts.begin());
  order.resize(count);
  for (std::uint32_t i = 0; i < count; ++i)
    order[starts[events[i].binding]++] = i;
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
