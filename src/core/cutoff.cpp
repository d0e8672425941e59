#include "core/cutoff.hpp"

#include <algorithm>

namespace cdp::core {

namespace {

constexpr Timestamp kBlock = 32 * kMicrosPerDay;
constexpr Timestamp kMinute = 60 * kMicrosPerSecond;
constexpr Timestamp kQuarter = kMicrosPerDay / 96; // local clocks jump at quarters of an hour
constexpr Timestamp kBack = 5 * kMicrosPerDay;     // clamped months and skipped days go back less far
constexpr Timestamp kNear = 64; // blocks: to look at them costs less than to know that one need not
constexpr Timestamp kEndOfTime = 2'921'575 * kMicrosPerDay; // year 9999

} // namespace

// Truncated to minutes or seconds it jumps so often that little is looked at ahead.
std::int64_t Cutoff::block_number(Timestamp instant) {
  if (block_size_ == 0) {
    const auto quarter = (instant >= 0 ? instant : instant - kQuarter + 1) / kQuarter * kQuarter;
    Block pieces;
    jumps_often_ = !add_even(quarter, quarter + kQuarter, pieces);
    block_size_ = jumps_often_ ? kMicrosPerDay : kBlock;
  }
  return (instant >= 0 ? instant : instant - block_size_ + 1) / block_size_;
}

Timestamp Cutoff::at(Timestamp instant) {
  if (!ask_)
    return instant + distance_;
  const auto &pieces = block(block_number(instant));
  return pieces[place(pieces, instant)].at(instant);
}

Timestamp Cutoff::least_from(Timestamp instant) {
  return ask_ ? at(instant) - kBack : at(instant);
}

std::size_t Cutoff::place(const Block &pieces, Timestamp instant) {
  const auto after = std::upper_bound(pieces.begin(), pieces.end(), instant,
                                      [](Timestamp at, const Piece &piece) { return at < piece.from; });
  return static_cast<std::size_t>(after - pieces.begin()) - 1;
}

Timestamp Cutoff::passes(Timestamp instant, Timestamp value, Timestamp until) {
  until = std::min(until, kEndOfTime);
  if (!ask_) {
    const auto turn = value - distance_;
    return turn > instant && turn < until ? turn : kInfinity;
  }
  const auto bound = at(instant);
  const bool beyond = bound >= value;
  auto number = block_number(instant);
  if (!beyond && (value - bound) / block_size_ > kNear)
    number = skip(number, block_number(until), value);
  for (; number <= block_number(until); ++number) {
    const auto end_of_block = (number + 1) * block_size_;
    if (jumps_often_ && !beyond && ask_(end_of_block - 1) + kBack < value)
      continue; // nowhere in it
    const auto &pieces = block(number);
    for (auto i = number == block_number(instant) ? place(pieces, instant) : 0; i < pieces.size(); ++i) {
      const auto &piece = pieces[i];
      const auto end = i + 1 < pieces.size() ? pieces[i + 1].from : end_of_block;
      const auto start = std::max(piece.from, instant);
      if (start >= until)
        return kInfinity;
      if ((piece.at(start) >= value) != beyond)
        return start;
      if (beyond && piece.at(start) >= value + kBack)
        return kInfinity;
      const auto turn = piece.from + (value - piece.value);
      if (!beyond && piece.runs && turn < end)
        return turn < until ? turn : kInfinity;
    }
  }
  return kInfinity;
}

// The blocks before it are nowhere at the value: it goes back less far.
std::int64_t Cutoff::skip(std::int64_t number, std::int64_t last, Timestamp value) const {
  while (number < last) {
    const auto middle = number + (last - number) / 2;
    if (ask_((middle + 1) * block_size_ - 1) + kBack < value)
      number = middle + 1;
    else
      last = middle;
  }
  return number;
}

const Cutoff::Block &Cutoff::block(std::int64_t number) {
  auto found = blocks_.find(number);
  if (found != blocks_.end())
    return found->second;
  Block pieces;
  const auto low = number * block_size_, high = low + block_size_;
  for (auto day = low; day < high; day += kMicrosPerDay) {
    const auto end = day + kMicrosPerDay;
    if (jumps_(day - 2 * kMicrosPerDay, end + 2 * kMicrosPerDay) || !add_even(day, end, pieces))
      for (auto at = day; at < end; at += kQuarter)
        cut(at, at + kQuarter, pieces);
  }
  return blocks_.emplace(number, std::move(pieces)).first->second;
}

// True: it runs, or stands still, all the way from low to high.
bool Cutoff::add_even(Timestamp low, Timestamp high, Block &pieces) {
  const auto first = ask_(low), last = high - low > 1 ? ask_(high - 1) : first;
  const bool runs = last - first == high - 1 - low && high - low > 1;
  if (!runs && last != first)
    return false;
  if (!pieces.empty() && pieces.back().runs == runs && pieces.back().at(low) == first)
    return true;
  pieces.push_back({low, first, runs});
  return true;
}

void Cutoff::cut(Timestamp low, Timestamp high, Block &pieces) {
  if (add_even(low, high, pieces))
    return;
  // Where it is truncated it jumps at each minute or second: halving would look for every one of them.
  const auto length = high - low;
  const auto step = length > kMinute            ? kMinute
                    : length > kMicrosPerSecond ? kMicrosPerSecond
                                                : (length + 1) / 2;
  for (auto at = low; at < high; at += step)
    cut(at, std::min(at + step, high), pieces);
}

} // namespace cdp::core
