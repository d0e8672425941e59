// How far a statement is, for others to see while it runs, in cdp.progress: what a transaction writes is not
// seen before it ends, but the locks it holds are. So the numbers are those of a lock that nobody waits for.
// Everything here may throw PgError.
#pragma once

#include <chrono>
#include <cstdint>

#include "pg/guard.hpp"

namespace cdp::pg {

enum class Task {
  read_records = 0,
  draw_pairs = 1,
  weigh_rules = 2,
  score_pairs = 3,
  cluster_records = 4,
  keep_records = 5
};

class ShownProgress {
public:
  explicit ShownProgress(Task task, std::uint64_t total = 0); // 0: unknown
  ~ShownProgress();
  ShownProgress(const ShownProgress &) = delete;
  ShownProgress &operator=(const ShownProgress &) = delete;

  void reach(std::uint64_t done) { // shown ten times a second
    done_ = done;
    if ((++calls_ & 15) == 0 || calls_ < 16)
      show();
  }
  void step(std::uint64_t more) { reach(done_ + more); }

private:
  void show();
  void take(std::uint32_t done);
  void let_go();

  Task task_;
  std::uint32_t total_;
  std::uint64_t done_ = 0;
  std::uint32_t shown_ = 0;
  unsigned calls_ = 0;
  bool holds_ = false;
  int exceptions_;
  std::chrono::steady_clock::time_point at_;
};

} // namespace cdp::pg
