// Long loops over records ask now and then whether they are still wanted.
#pragma once

namespace cdp::core::match {

/// May throw. Each thread has its own; without one nobody is asked.
inline thread_local void (*ask_if_wanted)() = nullptr;

class Patience {
public:
  void step() {
    if ((++steps_ & 8191) == 0 && ask_if_wanted)
      ask_if_wanted();
  }

private:
  unsigned steps_ = 0;
};

} // namespace cdp::core::match
