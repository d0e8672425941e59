// Rows as the result of a function that returns a set. May throw PgError.
#pragma once

#include "pg/function.hpp"

namespace cdp::match {

inline ReturnSetInfo *begin_rows(FunctionCallInfo fcinfo) {
  pg::call([&] { InitMaterializedSRF(fcinfo, 0); });
  return reinterpret_cast<ReturnSetInfo *>(fcinfo->resultinfo);
}

// Texts of a row live in memory that is emptied after some thousand of them.
class RowMemory {
public:
  RowMemory() {
    memory_ = pg::call(
        [] { return AllocSetContextCreate(CurrentMemoryContext, "cdp pairs", ALLOCSET_DEFAULT_SIZES); });
  }
  ~RowMemory() { MemoryContextDelete(memory_); }
  RowMemory(const RowMemory &) = delete;
  RowMemory &operator=(const RowMemory &) = delete;
  template <class F> void run(F &&body) {
    if (++rows_ % 1000 == 0)
      pg::call([&] { MemoryContextReset(memory_); });
    pg::call([&] {
      MemoryContext before = MemoryContextSwitchTo(memory_);
      body();
      MemoryContextSwitchTo(before);
    });
  }

private:
  MemoryContext memory_;
  std::size_t rows_ = 0;
};

inline Datum text_datum(std::string_view text) { // inside pg::call
  return PointerGetDatum(cstring_to_text_with_len(text.data(), static_cast<int>(text.size())));
}

} // namespace cdp::match
