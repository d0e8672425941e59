// A bound that moves with the clock, such as `now() - interval '7 days'`: where it stands at an instant, and
// when it passes another. Between two instants at which a local clock jumps it either runs on or stands
// still, so it is kept as pieces, found by asking and remembered. Owns its pieces; throws what `ask` throws.
#pragma once
#include "core/timestamp.hpp"

#include <functional>
#include <map>
#include <vector>

namespace cdp::core {

class Cutoff {
public:
  // Where the bound stands at an instant; asked some hundred times a month of the calendar, and as often a
  // day if it jumps often.
  using Ask = std::function<Timestamp(Timestamp)>;
  // Whether a local clock that matters jumps between two instants.
  using Jumps = std::function<bool(Timestamp, Timestamp)>;

  // Always the same distance from the clock.
  explicit Cutoff(Timestamp distance) : distance_(distance) {}
  Cutoff(Ask ask, Jumps jumps) : ask_(std::move(ask)), jumps_(std::move(jumps)) {}

  bool is_fixed() const { return !ask_; }
  Timestamp at(Timestamp instant);

  // Never does it stand before this at an instant or later.
  Timestamp least_from(Timestamp instant);

  // The first instant after `instant`, and before `until`, at which the bound lies on the other side of
  // `value` (below, or at and above) than it does at `instant`; kInfinity when none. A bound goes back by no
  // more than days.
  Timestamp passes(Timestamp instant, Timestamp value, Timestamp until);

private:
  struct Piece {
    Timestamp from, value;
    bool runs; // with the clock
    Timestamp at(Timestamp instant) const { return runs ? value + (instant - from) : value; }
  };
  using Block = std::vector<Piece>;

  std::int64_t block_number(Timestamp instant);
  const Block &block(std::int64_t number);
  std::int64_t skip(std::int64_t number, std::int64_t last, Timestamp value) const;
  void cut(Timestamp low, Timestamp high, Block &pieces);
  bool add_even(Timestamp low, Timestamp high, Block &pieces);
  static std::size_t place(const Block &pieces, Timestamp instant);

  Timestamp distance_ = 0;
  Ask ask_;
  Jumps jumps_;
  Timestamp block_size_ = 0; // until the first question
  bool jumps_often_ = false;
  std::map<std::int64_t, Block> blocks_;
};

} // namespace cdp::core
