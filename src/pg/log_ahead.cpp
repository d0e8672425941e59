#include "pg/log_ahead.hpp"

#include "pg/guard.hpp"

extern "C" {
#include "access/xlog.h"
}

namespace cdp::pg {

void write_log_ahead() {
  if (XactLastRecEnd != 0)
    call([] { XLogSetAsyncXactLSN(XactLastRecEnd); });
}

} // namespace cdp::pg
