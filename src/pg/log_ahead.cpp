#include "pg/log_ahead.hpp"

#include "pg/guard.hpp"

extern "C" {
#include "access/xlog.h"
}

namespace cdp::pg {

// Less is not worth waking somebody, and a flush of his, for which the commit would wait.
static constexpr XLogRecPtr kWorthWriting = 1 << 20;

void write_log_ahead() {
  if (XactLastRecEnd != 0)
    call([] {
      if (XactLastRecEnd > GetFlushRecPtr(nullptr) + kWorthWriting)
        XLogSetAsyncXactLSN(XactLastRecEnd);
    });
}

} // namespace cdp::pg
