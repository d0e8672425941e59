#include "pg/time_budget.hpp"

#include <algorithm>

#include "pg/ending.hpp"

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

// In force, the innermost first; none ends after the one around it.
struct Deadline {
  TimestampTz end;
  Deadline *outer;
};
Deadline *innermost = nullptr;

void arm(TimestampTz end) {
#if PG_VERSION_NUM >= 150000
  enable_timeout_every(timer(), end, kAgainMs);
#else
  enable_timeout_at(timer(), end);
#endif
}

// Another timeout has asked for a cancel, too, and must not lose it.
bool is_asked_by_another() {
  return get_timeout_indicator(STATEMENT_TIMEOUT, false) || get_timeout_indicator(LOCK_TIMEOUT, false);
}

// Disarms however the body ends; a cancel of ours that came too late must not hit what comes next.
class Budget {
public:
  explicit Budget(int milliseconds) {
    timer();
    own_ = {TimestampTzPlusMilliseconds(GetCurrentTimestamp(), milliseconds), innermost};
    if (innermost)
      own_.end = std::min(own_.end, innermost->end);
    else
      ran_out = false; // otherwise it can be that of the budget around this one, not answered yet
    innermost = &own_;
    is_running = true;
    call([&] { arm(own_.end); });
  }
  ~Budget() {
    innermost = own_.outer;
    is_running = innermost != nullptr;
    disable_timeout(timer(), false);
    if (ran_out && !is_asked_by_another())
      QueryCancelPending = false;
    if (innermost)
      arm(innermost->end);
  }
  Budget(const Budget &) = delete;
  Budget &operator=(const Budget &) = delete;

private:
  Deadline own_;
};

// Whether the error says that the time ran out: it is the cancel, or what the code made of the cancel that it
// caught. Not that of another timeout, which came while the code did not listen, and not the end of all.
bool says_so(const ErrorData &error) {
  if (error.sqlerrcode == ERRCODE_QUERY_CANCELED)
    return error.message_id && strcmp(error.message_id, "canceling statement due to user request") == 0;
  return !is_end(error);
}

} // namespace

void within_budget(int milliseconds, const std::function<void()> &body, const char *setting) {
  if (milliseconds <= 0) {
    body();
    return;
  }
  try {
    Budget budget(milliseconds);
    body();
  } catch (const PgError &error) {
    if (!ran_out || !says_so(*error.data()))
      throw;
    if (innermost && GetCurrentTimestamp() >= innermost->end)
      throw; // of the budget around this one
    ran_out = false;
    throw Error(out_of_time, "out of its time of " + std::to_string(milliseconds) + " ms", {},
                std::string("Make it faster, or give it more time: ") + setting + ".");
  }
  if (!innermost || GetCurrentTimestamp() < innermost->end)
    ran_out = false; // done all the same
}

bool timed_subtransaction(const std::function<void()> &body, Failure &failure) {
  return subtransaction([&] { within_budget(expression_timeout_ms, body); }, failure);
}

} // namespace cdp::pg
