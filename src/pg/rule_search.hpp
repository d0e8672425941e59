// When does a comparison with the clock turn? Asked of the comparison itself, evaluated by PostgreSQL:
// intervals are not invertible at daylight saving time and month ends.
#pragma once
#include <string>
#include <vector>

#include "pg/spi.hpp"

namespace cdp::pg {

class Search {
public:
  // A test is SQL text with $1 for the instant and $2 and on for the inputs.
  Search(std::string test, std::vector<std::string> zones, bool wide)
      : test_(std::move(test)), zones_(std::move(zones)), wide_(wide) {}
  ~Search();
  Search(const Search &) = delete;
  Search &operator=(const Search &) = delete;

  // Adds every instant strictly between from and until at which the truth changes, for these inputs.
  void run(const std::vector<Oid> &types, const std::vector<Datum> &inputs, const std::vector<bool> &nulls,
           Timestamp from, Timestamp until, std::vector<Timestamp> &turns);

private:
  struct Compiled;
  void compile(const std::vector<Oid> &types);
  int truth(Timestamp at);
  Timestamp turn_between(Timestamp low, Timestamp high, int truth_low);
  void look_around(Timestamp main, Timestamp from, Timestamp until, std::vector<Timestamp> &turns);
  std::vector<Timestamp> seams(Timestamp low, Timestamp high);
  bool transition_near(Timestamp at) const;
  bool input_near_transition() const;

  std::string test_;
  std::vector<std::string> zones_;
  bool wide_;
  Compiled *compiled_ = nullptr;
};

// Adds the instant that lies `offset` from another, if it is strictly between from and until and on the
// calendar.
void add_turn(Timestamp stands, std::int64_t offset, Timestamp from, Timestamp until,
              std::vector<Timestamp> &turns);

// Whether a local clock of these zones jumps between two instants.
bool clock_jumps(const std::vector<std::string> &zones, Timestamp low, Timestamp high);

} // namespace cdp::pg
