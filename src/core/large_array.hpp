// Arrays of millions that are looked into here and there: on huge pages, where the system grants them, since
// what such looks wait for is the way to the page. Throws std::bad_alloc only.
//
// A LargeArray is one of zeros until it is written; of a RoughArray that is made or made larger without a
// value, nothing is known.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <new>
#include <sys/mman.h>
#include <utility>
#include <vector>

namespace cdp::core {

template <class T, bool Zeros> struct LargePages {
  using value_type = T;
  template <class U> struct rebind { using other = LargePages<U, Zeros>; };
  static constexpr std::size_t kPage = std::size_t{2} << 20;

  LargePages() = default;
  template <class U> LargePages(const LargePages<U, Zeros> &) noexcept {}

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
  template <class U, class... Arguments> void construct(U *place, Arguments &&...arguments) {
    if constexpr (!Zeros && sizeof...(Arguments) == 0)
      ::new (static_cast<void *>(place)) U; // what is written later anyway is not written twice
    else
      ::new (static_cast<void *>(place)) U(std::forward<Arguments>(arguments)...);
  }
  template <class U> bool operator==(const LargePages<U, Zeros> &) const noexcept { return true; }
};

template <class T> using LargeArray = std::vector<T, LargePages<T, true>>;
template <class T> using RoughArray = std::vector<T, LargePages<T, false>>;

} // namespace cdp::core
