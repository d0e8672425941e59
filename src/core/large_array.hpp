// Arrays of millions that are looked into here and there: on huge pages, where the system grants them, since
// what such looks wait for is the way to the page. Throws std::bad_alloc only.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <new>
#include <sys/mman.h>
#include <vector>

namespace cdp::core {

template <class T> struct LargePages {
  using value_type = T;
  static constexpr std::size_t kPage = std::size_t{2} << 20;

  LargePages() = default;
  template <class U> LargePages(const LargePages<U> &) noexcept {}

  T *allocate(std::size_t number) {
    if (number > (static_cast<std::size_t>(-1) - kPage) / sizeof(T))
      throw std::bad_alloc();
    const auto size = number * sizeof(T);
    constexpr std::size_t kLine = 64;
    const auto unit = size < kPage ? kLine : kPage;
    void *memory = std::aligned_alloc(unit, (size + unit - 1) / unit * unit);
    if (!memory)
      throw std::bad_alloc();
    if (size >= kPage)
      madvise(memory, size, MADV_HUGEPAGE); // a hint; small pages do as well
    return static_cast<T *>(memory);
  }
  void deallocate(T *memory, std::size_t) noexcept { std::free(memory); }
  template <class U> bool operator==(const LargePages<U> &) const noexcept { return true; }
};

template <class T> using LargeArray = std::vector<T, LargePages<T>>;

} // namespace cdp::core
