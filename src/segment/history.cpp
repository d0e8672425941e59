#include "segment/history.hpp"

#include <algorithm>
#include <charconv>
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
  steps_.clear();
}

void History::finish() {
  static std::vector<core::TimelineEvent> events; // kept for their room
  static std::vector<Entry> entries;
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
  const auto *found = find(input);
  if (!found)
    return {};
  odd = odd || found->odd;
  if (found->last < from)
    return {};
  const std::span entries(entries_.data() + found->start, found->count);
  if (entries.front().at >= from)
    return entries;
  const auto first = std::partition_point(entries.begin(), entries.end(),
                                          [&](const Entry &entry) { return entry.at < from; });
  return {first, entries.end()};
}

const Steps &History::steps_of(std::int32_t input, bool bound) const {
  for (const auto &[other, steps] : steps_)
    if (other == input)
      return *steps;
  auto &made = *steps_.emplace_back(input, std::make_unique<Steps>()).second;
  if (const auto *found = find(input))
    made.read({entries_.data() + found->start, found->count}, bound);
  return made;
}

void Steps::read(std::span<const Entry> entries, bool bound) {
  std::vector<std::string_view> bindings; // of one person: few
  events.clear();
  for (const auto &entry : entries) {
    core::SequenceEvent event{entry.at, 0, 0};
    const auto bytes = entry.value.bytes();
    if (!bound) {
      bytes.copy(reinterpret_cast<char *>(&event.steps), sizeof event.steps);
    } else if (const auto space = bytes.find(' '); space != std::string_view::npos) {
      std::int64_t steps = 0; // as SQL has them
      std::from_chars(bytes.data(), bytes.data() + space, steps);
      event.steps = static_cast<std::uint64_t>(steps);
      bindings.push_back(bytes.substr(space));
      event.binding = bindings.size(); // until they are known
    }
    events.push_back(event);
  }
  order.resize(events.size());
  std::iota(order.begin(), order.end(), 0);
  if (!bound)
    return;
  const auto name = [&](std::uint32_t i) {
    return events[i].binding ? bindings[events[i].binding - 1] : std::string_view();
  };
  std::stable_sort(order.begin(), order.end(),
                   [&](std::uint32_t a, std::uint32_t b) { return name(a) < name(b); });
  std::vector<std::uint64_t> numbers(events.size());
  for (std::size_t i = 1; i < order.size(); ++i)
    numbers[order[i]] = numbers[order[i - 1]] + (name(order[i]) != name(order[i - 1]));
  for (std::size_t i = 0; i < events.size(); ++i)
    events[i].binding = numbers[i];
}

} // namespace cdp::segment
