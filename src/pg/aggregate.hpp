// States of aggregates: C++ objects in the aggregate's memory context, which is freed whole; their
// destructors never run, so everything in them must be allocated there, too.
#pragma once
#include <memory_resource>

#include "pg/function.hpp"

extern "C" {
#include "utils/datum.h"
}

namespace cdp::pg {

// Standard containers on a memory context. No allocation can jump out of C++ frames.
class ContextResource : public std::pmr::memory_resource {
public:
  explicit ContextResource(MemoryContext context) : context_(context) {}

private:
  void *do_allocate(std::size_t size, std::size_t alignment) override {
    void *memory = alignment > MAXIMUM_ALIGNOF
                       ? nullptr
                       : MemoryContextAllocExtended(context_, size, MCXT_ALLOC_NO_OOM | MCXT_ALLOC_HUGE);
    if (!memory)
      throw std::bad_alloc();
    return memory;
  }
  void do_deallocate(void *memory, std::size_t, std::size_t) override { pfree(memory); }
  bool do_is_equal(const memory_resource &other) const noexcept override { return this == &other; }

  MemoryContext context_;
};

// The state of the aggregate that argument 0 holds; made first where there is none yet. State is constructed
// with the aggregate's memory context.
template <class State> State &aggregate_state(FunctionCallInfo fcinfo) {
  if (!PG_ARGISNULL(0))
    return *static_cast<State *>(static_cast<void *>(PG_GETARG_POINTER(0)));
  MemoryContext context;
  if (!AggCheckCallContext(fcinfo, &context))
    throw Error(ERRCODE_FEATURE_NOT_SUPPORTED, "this function is a part of an aggregate");
  static_assert(alignof(State) <= MAXIMUM_ALIGNOF);
  void *memory = call([&] { return MemoryContextAlloc(context, sizeof(State)); });
  return *new (memory) State(context);
}

// For final functions: null when there were no rows.
template <class State> State *finished_state(FunctionCallInfo fcinfo) {
  return PG_ARGISNULL(0) ? nullptr : static_cast<State *>(static_cast<void *>(PG_GETARG_POINTER(0)));
}

} // namespace cdp::pg
