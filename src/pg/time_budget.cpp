#include "pg/time_budget.hpp"

extern "C" {
#include "storage/latch.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"
}
#undef printf
#undef fprintf
#undef sprintf
#undef snprintf

namespace cdp::pg {

int expression_timeout_ms = 5000, refresh_timeout_ms = 600'000;

namespace {

constexpr int kAgainMs = 1000; // for code that catches the cancel and goes on

volatile sig_atomic_t ran_out = false, is_running = false;

// In a signal handler: the ordinary cancel interrupt, unless somebody else has asked for it already.
void cancel() {
  if (QueryCancelPending || !is_running)
    return;
  ran_out = true;
  QueryCancelPending = true;
  InterruptPending = true;
  SetLatch(MyLatch);
}

TimeoutId timer() {
  static const TimeoutId id = call([] { return RegisterTimeout(USER_TIMEOUT, cancel); });
  return id;
}

// Disarms however the body ends; a cancel of ours that came too late must not hit what comes next.
class Budget {
public:
  explicit Budget(int milliseconds) : id_(timer()) {
    ran_out = false;
    is_running = true;
    call([&] {
      const TimestampTz end = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), milliseconds);
#if PG_VERSION_NUM >= 150000
      enable_timeout_every(id_, end, kAgainMs);
#else
      enable_timeout_at(id_, end);
#endif
    });
  }
  ~Budget() {
    is_running = false;
    disable_timeout(id_, false);
    if (ran_out)
      QueryCancelPending = false;
  }
  Budget(const Budget &) = delete;
  Budget &operator=(const Budget &) = delete;

private:
  const TimeoutId id_;
};

} // namespace

void within_budget(int milliseconds, const std::function<void()> &body) {
  if (milliseconds <= 0 || is_running) {
    body();
    return;
  }
  try {
    Budget budget(milliseconds);
    body();
  } catch (const PgError &error) {
    if (!ran_out || error.data()->sqlerrcode != ERRCODE_QUERY_CANCELED)
      throw;
    throw Error(out_of_time, "out of its time of " + std::to_string(milliseconds) + " ms", {},
                "Make the expression faster, or give it more time: cdp.expression_timeout.");
  }
}

bool timed_subtransaction(const std::function<void()> &body, Failure &failure) {
  return subtransaction([&] { within_budget(expression_timeout_ms, body); }, failure);
}

} // namespace cdp::pg
