#include "core/tally.hpp"

#include <algorithm>
#include <limits>
#include <numeric>

namespace cdp::core {

namespace {

constexpr int kScale = 15;
constexpr auto kEverything = std::numeric_limits<std::int64_t>::max();

std::int64_t power_of_ten(int exponent) {
  std::int64_t power = 1;
  for (int i = 0; i < exponent; ++i)
    power *= 10;
  return power;
}

} // namespace

void Tally::begin(std::span<const Entry> entries, std::span<const std::int32_t> ranks, Timestamp at,
                  std::int64_t known) {
  entries_ = entries;
  ranks_ = ranks;
  known_ = known;
  ++changes_;
  low_ = begin_ = end_ = 0;
  high_ = now_ = entries.size(); // where they mostly are
  count_ = distinct_ = trues_ = 0;
  sum_ = 0;
  overflows_ = false;
  scales_.fill(0);
  unknown_.clear();
  for (std::size_t i = 0; known != kEverything && i < entries.size(); ++i)
    if (!counts(i))
      unknown_.push_back(i);
  std::sort(unknown_.begin(), unknown_.end(),
            [&](std::size_t a, std::size_t b) { return entries_[a].event_id > entries_[b].event_id; });
  if (function_ == Function::count_distinct)
    number_values();
  move(at);
}

Timestamp Tally::least_from(Timestamp at) {
  if (at == least_at_) // everybody is judged at the same instant
    return least_;
  auto least = kMinusInfinity;
  for (const auto &bound : bounds_)
    if (bound.lower)
      least = std::max(least, bound.cutoff->least_from(at) + bound.shift);
  least_at_ = at;
  return least_ = least;
}

void Tally::number_values() {
  constexpr std::size_t kFew = 16; // mostly: then looking is faster than sorting
  std::array<std::string_view, kFew> seen;
  std::size_t count = 0, done = 0;
  value_numbers_.resize(entries_.size());
  for (; done < entries_.size(); ++done) {
    const auto bytes = entries_[done].value.bytes();
    const auto place =
        static_cast<std::size_t>(std::find(seen.begin(), seen.begin() + count, bytes) - seen.begin());
    if (place == kFew)
      break;
    if (place == count)
      seen[count++] = bytes;
    value_numbers_[done] = static_cast<std::int32_t>(place);
  }
  if (done == entries_.size())
    return value_counts_.assign(count, 0);
  std::vector<std::size_t> order(entries_.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return entries_[a].value.bytes() < entries_[b].value.bytes();
  });
  value_numbers_.assign(entries_.size(), 0);
  std::int32_t number = -1;
  for (std::size_t i = 0; i < order.size(); ++i) {
    if (i == 0 || entries_[order[i]].value.bytes() != entries_[order[i - 1]].value.bytes())
      ++number;
    value_numbers_[order[i]] = number;
  }
  value_counts_.assign(static_cast<std::size_t>(number + 1), 0);
}

void Tally::find_range(Timestamp at) {
  auto lowest = kMinusInfinity, highest = at;
  for (const auto &bound : bounds_) {
    const auto place = bound.cutoff->at(at) + bound.shift;
    if (bound.lower)
      lowest = std::max(lowest, place);
    else
      highest = std::min(highest, place);
  }
  const auto count = entries_.size();
  const auto follow = [&](std::size_t &place, Timestamp bound) { // the first entry at or after the bound
    while (place < count && entries_[place].at < bound)
      ++place;
    while (place > 0 && entries_[place - 1].at >= bound)
      --place;
  };
  follow(low_, lowest);
  follow(high_, highest == kInfinity ? kInfinity : highest + 1);
  follow(now_, at == kInfinity ? kInfinity : at + 1);
}

bool Tally::move(Timestamp at) {
  at_ = at;
  find_range(at);
  const auto begin = low_, end = std::max(low_, high_);
  if (begin == begin_ && end == end_)
    return false;
  const auto each = [&](std::size_t from, std::size_t to, int sign) {
    for (auto i = from; i < to; ++i)
      if (counts(i))
        take(i, sign);
  };
  each(begin_, std::min(end_, begin), -1);
  each(std::max(begin_, end), end_, -1);
  each(begin, std::min(end, begin_), 1);
  each(std::max(begin, end_), end, 1);
  begin_ = begin;
  end_ = end;
  ++changes_;
  return true;
}

bool Tally::know(std::int64_t event_id) {
  bool changed = false;
  known_ = event_id;
  while (!unknown_.empty() && counts(unknown_.back())) {
    const auto i = unknown_.back();
    unknown_.pop_back();
    if (i >= begin_ && i < end_) {
      take(i, 1);
      changed = true;
    }
  }
  changes_ += changed;
  return changed;
}

void Tally::take(std::size_t i, int sign) {
  const auto &value = entries_[i].value;
  if (value.kind == InputValue::Kind::null)
    return;
  count_ += sign;
  switch (function_) {
  case Function::sum:
  case Function::average: {
    const auto part = static_cast<__int128>(value.mantissa) * power_of_ten(kScale - value.scale) * sign;
    overflows_ = overflows_ || __builtin_add_overflow(sum_, part, &sum_);
    scales_[value.scale] += sign;
    break;
  }
  case Function::count_distinct: {
    auto &times = value_counts_[static_cast<std::size_t>(value_numbers_[i])];
    distinct_ += sign > 0 ? times == 0 : times == 1 ? -1 : 0;
    times += sign;
    break;
  }
  case Function::any:
  case Function::all:
    trues_ += value.bytes() != std::string_view("\0", 1) ? sign : 0;
    break;
  default:
    break;
  }
}

Timestamp Tally::next(Timestamp until) {
  if (now_ < entries_.size())
    until = std::min(until, std::max(entries_[now_].at, at_ + 1));
  for (const auto &bound : bounds_) {
    // What is at the edge goes or comes next; where local clocks jump back, what was beyond it.
    const auto edge = bound.lower ? low_ : high_;
    for (auto i = edge > 0 ? edge - 1 : 0; i <= edge && i < entries_.size(); ++i)
      until = std::min(until, bound.cutoff->passes(at_, entries_[i].at - bound.shift + bound.lower, until));
  }
  return until;
}

bool Tally::only_sheds() const {
  return only_falls() && std::all_of(bounds_.begin(), bounds_.end(), [](const Bound &bound) {
           return bound.lower && bound.cutoff->is_fixed();
         });
}

Timestamp Tally::leaves(Timestamp occurred_at, Timestamp until) {
  for (const auto &bound : bounds_)
    until = std::min(until, bound.cutoff->passes(at_, occurred_at - bound.shift + 1, until));
  return until;
}

int Tally::scale() const {
  for (int scale = kScale; scale > 0; --scale)
    if (scales_[static_cast<std::size_t>(scale)] > 0)
      return scale;
  return 0;
}

const Entry *Tally::first() const {
  for (auto i = begin_; i < end_; ++i)
    if (counts(i) && entries_[i].value.kind != InputValue::Kind::null)
      return &entries_[i];
  return nullptr;
}

const Entry *Tally::last() const {
  for (auto i = end_; i > begin_; --i)
    if (counts(i - 1) && entries_[i - 1].value.kind != InputValue::Kind::null)
      return &entries_[i - 1];
  return nullptr;
}

const Entry *Tally::extreme(bool largest) {
  std::optional<std::size_t> best;
  for (auto i = begin_; i < end_; ++i)
    if (counts(i) && entries_[i].value.kind != InputValue::Kind::null &&
        (!best || (largest ? ranks_[i] > ranks_[*best] : ranks_[i] < ranks_[*best])))
      best = i;
  return best ? &entries_[*best] : nullptr;
}

const Entry *Tally::smallest() {
  return extreme(false);
}

const Entry *Tally::largest() {
  return extreme(true);
}

} // namespace cdp::core
