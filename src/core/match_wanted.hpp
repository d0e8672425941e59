// Long loops over records ask now and then whether they are still wanted.
#pragma once

#include <atomic>
#include <cstddef>

namespace cdp::core::match {

/// May throw. Each thread has its own; without one nobody is asked.
inline thread_local void (*ask_if_wanted)() = nullptr;

/// Of a second thread: whether the first has given up, and what is thrown then.
inline thread_local const std::atomic<bool> *given_up = nullptr;
struct GivenUp {};

inline void need_wanted() {
  if (ask_if_wanted)
    ask_if_wanted();
  if (given_up && given_up->load(std::memory_order_relaxed))
    throw GivenUp();
}

class Patience {
public:
  void step() {
    if ((++steps_ & 8191) == 0)
      need_wanted();
  }
  /// What takes as long as so many steps.
  void step(std::size_t steps) {
    const auto before = steps_;
    steps_ += steps;
    if (before >> 13 != steps_ >> 13)
      need_wanted();
  }

private:
  std::size_t steps_ = 0;
};

} // namespace cdp::core::match
