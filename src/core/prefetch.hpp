// Memory that will be needed soon. A hint: any address will do, and nothing depends on it.
#pragma once

namespace cdp::core {

inline void prefetch(const void *place) {
  __builtin_prefetch(place);
  asm volatile(""); // or gcc takes functions that only prefetch for functions that do nothing
}

} // namespace cdp::core
