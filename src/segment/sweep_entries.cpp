// Who is swept at all, and over what: most people are settled by how often and when they did something.
#include "segment/sweep_aggregate.hpp"

#include <algorithm>
#include <bit>
#include <functional>

namespace cdp::segment {

namespace {

constexpr std::size_t kMostKeyBytes = 1000; // an index entry must hold it

} // namespace

void Sweep::add_need(const pg::Decomposition::Need &need) {
  if (need.events <= 0)
    return;
  const auto place = static_cast<std::size_t>(need.aggregate);
  const auto &aggregate = *aggregates_[place];
  AggregateNeed one{place, static_cast<std::size_t>(need.events), need.within, aggregate.wanted, 0};
  if (aggregate.sequence) {
    one.last = aggregate.sequence->steps.back().step;
  } else if (aggregate.function == core::Function::funnel) {
    const auto depth = std::min<std::int64_t>(need.events, aggregate.steps);
    one.steps = UINT64_MAX >> (64 - depth);
    one.last = std::uint64_t{1} << (depth - 1);
  }
  needs_.push_back(one);
}

// The most telling of its needs: what was done lately, or often.
std::optional<Sweep::Need> Sweep::need(Timestamp at) {
  std::optional<Need> best;
  for (const auto &need : needs_) {
    const Need one{telling_input(need), need.steps ? 1 : need.events, since(need, at)};
    if (!best || std::pair(one.from, one.events) > std::pair(best->from, best->events))
      best = one;
  }
  return best;
}

// Of a sequence the last step: the earlier ones are what many do.
std::int32_t Sweep::telling_input(const AggregateNeed &need) const {
  const auto &aggregate = *aggregates_[need.aggregate];
  for (const auto &one : aggregate.asked.inputs)
    if (one.steps & need.last)
      return one.input;
  return aggregate.input;
}

// Nothing that the need is about counts when it is older.
Timestamp Sweep::since(const AggregateNeed &need, Timestamp at) {
  const auto least = aggregates_[need.aggregate]->tally->least_from(at);
  Timestamp earliest;
  if (need.within == pg::Decomposition::Need::kAnyTime || __builtin_sub_overflow(at, need.within, &earliest))
    return least;
  return std::max(least, earliest);
}

// Bounds that only PostgreSQL can say are not asked for here.
void Sweep::find_wanted() {
  for (const auto &one : aggregates_) {
    std::optional<Timestamp> shift;
    const auto is_fixed = [](const auto &cutoff) { return cutoff->is_fixed(); };
    if (std::all_of(one->cutoffs.begin(), one->cutoffs.end(), is_fixed))
      if (const auto least = one->tally->least_from(0); least != core::kMinusInfinity)
        shift = least;
    if (one->steps == 0)
      wanted_.push_back({one->input, shift});
    for (const auto &step : one->asked.inputs)
      wanted_.push_back({step.input, shift});
  }
}

void Sweep::add_wanted(Timestamp at, Wanted &wanted) const {
  for (const auto &[input, shift] : wanted_) {
    Timestamp from = core::kMinusInfinity;
    if (shift && __builtin_add_overflow(at, *shift, &from))
      from = core::kMinusInfinity;
    wanted.add(input, from);
  }
}

// False: an input could not say what an event means.
bool Sweep::collect(const History &history, Timestamp at) {
  bool odd = false;
  if (groups_.empty())
    groups_.resize(1);
  auto &entries = groups_[0].entries;
  entries.clear();
  for (const auto &aggregate : aggregates_) {
    entries.emplace_back();
    if (aggregate->steps == 0)
      entries.back() = history.of(aggregate->input, aggregate->tally->least_from(at), odd);
    for (const auto &one : aggregate->asked.inputs)
      if (const auto *said = history.said(one.input))
        odd = odd || said->odd;
  }
  if (odd)
    return false;
  // Else nobody is in, whatever else holds.
  group_count_ = std::all_of(needs_.begin(), needs_.end(),
                             [&](const AggregateNeed &need) { return is_met(need, history, at); });
  if (group_count_ > 0)
    collect_sequences(history, at);
  if (group_count_ > 0 && has_key_)
    split_by_key();
  return true;
}

void Sweep::collect_sequences(const History &history, Timestamp at) {
  for (std::size_t i = 0; i < aggregates_.size(); ++i) {
    if (aggregates_[i]->steps == 0)
      continue;
    auto &aggregate = *aggregates_[i];
    aggregate.met = &history.steps_of(aggregate.asked, aggregate.tally->least_from(at),
                                      alone_ ? History::Asker::helper : History::Asker::backend);
    groups_[0].entries[i] = aggregate.met->entries;
  }
}

// Most people were never often or lately enough, or skipped a step.
bool Sweep::is_met(const AggregateNeed &need, const History &history, Timestamp at) {
  const auto from = since(need, at);
  const auto &entries = groups_[0].entries[need.aggregate];
  const auto &steps = aggregates_[need.aggregate]->asked.inputs;
  if (steps.empty())
    return entries.size() >= need.events && entries.back().at >= from;
  const auto least = aggregates_[need.aggregate]->tally->least_from(at);
  return std::all_of(steps.begin(), steps.end(), [&](const StepInput &one) {
    const auto *said = history.said(one.input);
    return (one.steps & need.steps) == 0 || (said && said->last >= (one.steps & need.last ? from : least));
  });
}

// Most keys come less often, and need not be sorted: less often than so many of the same hash.
void Sweep::drop_rare_keys(std::size_t least) {
  static thread_local std::vector<std::uint32_t> hashes, counts; // kept for their room
  if (least < 2)
    return;
  hashes.clear();
  counts.assign(std::bit_ceil(keys_.size() * 4 + 1), 0);
  for (const auto &key : keys_) {
    const auto hash = key ? std::hash<std::string_view>()(*key) : 0;
    hashes.push_back(static_cast<std::uint32_t>(hash & (counts.size() - 1)));
    ++counts[hashes.back()];
  }
  std::size_t kept = 0;
  for (std::size_t i = 0; i < keys_.size(); ++i)
    if (counts[hashes[i]] >= least)
      keys_[kept++] = keys_[i];
  keys_.resize(kept);
}

// The keys that have as many events as one aggregate needs, or all.
void Sweep::choose_keys() {
  keys_.clear();
  const auto add = [&](std::size_t aggregate) {
    for (const auto &entry : groups_[0].entries[aggregate])
      keys_.push_back(entry.value.key());
  };
  const auto most = std::max_element(needs_.begin(), needs_.end(),
                                     [](const auto &a, const auto &b) { return a.events < b.events; });
  std::size_t least = 1;
  if (most != needs_.end()) {
    least = most->events;
    add(most->aggregate);
  } else {
    for (std::size_t i = 0; i < aggregates_.size(); ++i)
      add(i);
  }
  drop_rare_keys(least);
  std::sort(keys_.begin(), keys_.end());
  std::size_t kept = 0;
  for (std::size_t first = 0, next; first < keys_.size(); first = next) {
    for (next = first + 1; next < keys_.size() && keys_[next] == keys_[first];)
      ++next;
    if (next - first >= least)
      keys_[kept++] = keys_[first];
  }
  keys_.resize(kept);
}

void Sweep::split_by_key() {
  choose_keys();
  const auto entries = groups_[0].entries;
  if (groups_.size() < keys_.size())
    groups_.resize(keys_.size());
  group_count_ = keys_.size();
  for (std::size_t i = 0; i < group_count_; ++i) {
    if (keys_[i] && keys_[i]->size() > kMostKeyBytes)
      throw Error(ERRCODE_PROGRAM_LIMIT_EXCEEDED,
                  "a key has more than " + std::to_string(kMostKeyBytes) + " bytes");
    groups_[i].key = keys_[i] ? Key(*keys_[i]) : Key();
    groups_[i].owned.assign(entries.size(), {});
    groups_[i].places.assign(entries.size(), {});
  }
  for (std::size_t i = 0; group_count_ > 0 && i < entries.size(); ++i)
    for (std::size_t place = 0; place < entries[i].size(); ++place) {
      const auto &entry = entries[i][place];
      const auto key = std::lower_bound(keys_.begin(), keys_.end(), entry.value.key());
      if (key == keys_.end() || *key != entry.value.key())
        continue;
      auto &group = groups_[static_cast<std::size_t>(key - keys_.begin())];
      group.owned[i].push_back(entry);
      if (aggregates_[i]->steps)
        group.places[i].push_back(static_cast<std::uint32_t>(place));
    }
  for (std::size_t i = 0; i < group_count_; ++i)
    groups_[i].entries.assign(groups_[i].owned.begin(), groups_[i].owned.end());
}

// The steps of one key: `places` in those of all keys.
void Sweep::take_steps(std::span<const std::uint32_t> places, Aggregate &aggregate) {
  auto &own = aggregate.own_steps;
  own.clear();
  for (auto place : places) {
    own.entries.push_back(aggregate.met->entries[place]);
    own.events.push_back(aggregate.met->events[place]);
    own.events.back().binding = 0;
  }
  if (aggregate.asked.bound)
    own.sort();
}

// The values of the entries that count, as the aggregate is to see them.
std::vector<std::size_t> Sweep::chosen_of(const Aggregate &aggregate) {
  std::vector<std::size_t> chosen;
  for (std::size_t i = 0; i < aggregate.entries.size(); ++i)
    if (aggregate.tally->includes(i))
      chosen.push_back(i);
  if (aggregate.descending)
    std::reverse(chosen.begin(), chosen.end());
  if (!aggregate.distinct)
    return chosen;
  const auto place = [&](std::size_t i) { // nulls last
    return aggregate.is_null(i) ? INT32_MAX : aggregate.ranks[i];
  };
  std::sort(chosen.begin(), chosen.end(), [&](auto a, auto b) { return place(a) < place(b); });
  chosen.erase(
      std::unique(chosen.begin(), chosen.end(), [&](auto a, auto b) { return place(a) == place(b); }),
      chosen.end());
  return chosen;
}

std::optional<Datum> Sweep::other_of(Aggregate &aggregate) {
  static std::vector<pg::Aggregation::Value> values; // kept for its room
  values.clear();
  for (auto i : chosen_of(aggregate))
    values.push_back({aggregate.values[i], aggregate.is_null(i)});
  const auto value = pg::call([&] { return aggregate.other->over(values, bindings_->memory()); });
  return value.is_null ? std::nullopt : std::optional(value.datum);
}

} // namespace cdp::segment
