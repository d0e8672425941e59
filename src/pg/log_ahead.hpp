// The write-ahead log of a long transaction, written while it goes on.
#pragma once

namespace cdp::pg {

// Lets the WAL writer begin with what this transaction has logged so far: else all that the buffers hold is
// written and flushed when it commits, while everybody waits.
void write_log_ahead();

} // namespace cdp::pg
