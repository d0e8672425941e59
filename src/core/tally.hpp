// One aggregate over one person's events, while time passes and events become known: the events between its
// bounds are counted in and out, never counted over.
// Owns copies of nothing: entries and cutoffs must outlive it. Throws std::bad_alloc and what cutoffs throw.
#pragma once
#include "core/cutoff.hpp"
#include "core/timeline.hpp"

#include <array>
#include <span>

namespace cdp::core {

// What an event said to the aggregate's input.
struct Entry {
  Timestamp at;
  std::int64_t event_id;
  InputValue value;
};

struct Bound {
  Cutoff *cutoff;
  bool lower;      // events at `cutoff + shift` or later; else at or before it
  Timestamp shift; // 1 or -1 microsecond where the bound itself is out
};

enum class Function {
  count,
  count_value,
  count_distinct,
  sum,
  average,
  minimum,
  maximum,
  any,
  all,
  first, // these look at the entries that count, when they are asked
  last,
  first_time,
  last_time,
  sequence,
  sequence_count,
  last_sequence,
  funnel,
  other // one of PostgreSQL's, which looks at the entries that count
};

class Tally {
public:
  Tally(Function function, std::vector<Bound> bounds) : function_(function), bounds_(std::move(bounds)) {}

  // No entry before this counts at an instant or later.
  Timestamp least_from(Timestamp at);

  // Anew, for entries sorted by time and id. `ranks` order the values, for minimum and maximum.
  void begin(std::span<const Entry> entries, std::span<const std::int32_t> ranks, Timestamp at,
             std::int64_t known);

  // Time goes on, or more is known; never back. True: the events that count may be others now.
  bool move(Timestamp at);
  bool know(std::int64_t event_id);

  // The next instant, before `until`, at which move() may find a change; `until` when there is none.
  Timestamp next(Timestamp until);

  // Nothing is to come: from now on entries only go.
  bool only_falls() const { return now_ == entries_.size() && unknown_.empty(); }

  // Nor does anything ever come back.
  bool only_sheds() const;
  // When, before `until`, what occurred at an instant no longer counts; then `until` when it stays.
  Timestamp leaves(Timestamp occurred_at, Timestamp until);

  std::int64_t count() const { return count_; } // of events; of values that are not null
  std::int64_t distinct() const { return distinct_; }
  __int128 sum() const { return sum_; } // in units of 10^-15
  int scale() const;                    // the longest of the values'
  bool overflows() const { return overflows_; }
  std::int64_t trues() const { return trues_; }
  // The earliest, latest, smallest, largest that counts, and has a value; nullptr: there is none.
  const Entry *first() const;
  const Entry *last() const;
  const Entry *smallest();
  const Entry *largest();

  // Another number whenever other events count than before.
  std::uint64_t changes() const { return changes_; }
  bool includes(std::size_t i) const { return i >= begin_ && i < end_ && counts(i); }

private:
  bool counts(std::size_t i) const { return entries_[i].event_id <= known_; }
  void take(std::size_t i, int sign);
  void number_values();
  const Entry *extreme(bool largest);
  void find_range(Timestamp at);

  Function function_;
  std::vector<Bound> bounds_;
  std::span<const Entry> entries_;
  std::span<const std::int32_t> ranks_;
  Timestamp at_ = 0, least_at_ = kInfinity, least_ = 0;
  std::int64_t known_ = 0;
  std::size_t low_ = 0, high_ = 0,
              now_ = 0;             // entries [low_, high_) are between the bounds; now_ is the first to come
  std::size_t begin_ = 0, end_ = 0; // those that are taken in
  std::vector<std::size_t> unknown_; // by event id, the next to be known last
  std::uint64_t changes_ = 0;
  std::int64_t count_ = 0, distinct_ = 0, trues_ = 0;
  __int128 sum_ = 0;
  bool overflows_ = false;
  std::array<std::int64_t, 16> scales_{};
  std::vector<std::int32_t> value_numbers_, value_counts_;
};

} // namespace cdp::core
