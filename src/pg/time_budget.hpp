// A time budget for code that somebody else wrote: whatever is not done in time is cancelled, as a user would
// cancel it, and told from that.
#pragma once
#include <functional>
#include <string>

#include "pg/guard.hpp"

namespace cdp::pg {

// cdp.expression_timeout and cdp.refresh_timeout, in milliseconds; 0: none. src/cdp.cpp defines them.
extern int expression_timeout_ms, refresh_timeout_ms;

// The SQLSTATE of what ran out of its budget: program limit exceeded, in a subclass of our own. A cancel by
// a user, or by another timeout, is none of it and stays what it is.
inline constexpr int out_of_time = MAKE_SQLSTATE('5', '4', 'T', '0', '0');

// Runs body, and cancels it after so many milliseconds (0: never) with an Error of SQLSTATE out_of_time. As
// after any error, what body did must be rolled back: call it in a subtransaction to go on. An inner one
// lives within the budget of the outer one, too. Costs two setitimer calls.
void within_budget(int milliseconds, const std::function<void()> &body,
                   const char *setting = "cdp.expression_timeout");

// As pg::subtransaction, within cdp.expression_timeout.
bool timed_subtransaction(const std::function<void()> &body, Failure &failure);

} // namespace cdp::pg
