// Errors of the parser and analyser point into a text that somebody wrote, not into the statement that called
// us.
#pragma once
#include <string>

#include "pg/guard.hpp"

extern "C" {
#include "mb/pg_wchar.h"
}
#undef printf
#undef fprintf
#undef sprintf
#undef snprintf

namespace cdp::pg {

// The number of the character at a byte, from 1; 0 when the place is not known. May throw PgError.
inline int character_at(const std::string &text, int location) {
  return location < 0 ? 0 : call([&] { return pg_mbstrlen_with_len(text.c_str(), location); }) + 1;
}

// Runs body under call(); an error of it points into text, and explain(ErrorData *) may say more.
template <class F, class Explain> auto pointing_at(const std::string &text, F &&body, Explain &&explain) {
  try {
    return call(body);
  } catch (const PgError &error) {
    call([&] {
      ErrorData *data = error.data();
      if (data->cursorpos > 0) {
        data->internalpos = data->cursorpos;
        data->internalquery = pstrdup(text.c_str());
        data->cursorpos = 0;
      }
      explain(data);
    });
    throw;
  }
}

template <class F> auto pointing_at(const std::string &text, F &&body) {
  return pointing_at(text, std::forward<F>(body), [](ErrorData *) {});
}

} // namespace cdp::pg
