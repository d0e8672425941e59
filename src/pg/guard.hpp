// The wall between C++ exceptions and PostgreSQL's longjmp.
//
//   SQL -> CDP_FUNCTION(name) -> guarded(body)     a C++ exception becomes an ereport, after all frames are
//   unwound C++ -> pg::call([&] { backend calls })         an ereport becomes the exception PgError
//
// Rules: every backend call that can ereport goes through pg::call; the lambda owns nothing with a
// destructor; a PgError is never swallowed, except by pg::subtransaction, because the transaction is dirty.
#pragma once
#include "pg/pg.hpp"

namespace cdp {

// Our own error: what a user sees. Owned strings; throwing it costs no PostgreSQL memory.
class Error : public std::exception {
public:
  Error(int code, std::string message, std::string detail = {}, std::string hint = {})
      : sqlstate(code), message_(std::move(message)), detail_(std::move(detail)), hint_(std::move(hint)) {}
  const char *what() const noexcept override { return message_.c_str(); }
  const std::string &detail() const noexcept { return detail_; }
  const std::string &hint() const noexcept { return hint_; }
  // Points at a character of a text that is not the client's statement (1-based; 0: nowhere).
  Error &at(std::string text, int position) {
    text_ = std::move(text);
    position_ = position;
    return *this;
  }
  const std::string &text() const noexcept { return text_; }
  int position() const noexcept { return position_; }

  const int sqlstate;

private:
  std::string message_, detail_, hint_, text_;
  int position_ = 0;
};

namespace pg {

// An error the backend raised inside call(). The ErrorData lives in the memory context that was current
// there.
class PgError : public std::exception {
public:
  explicit PgError(ErrorData *data) noexcept : data_(data) {}
  const char *what() const noexcept override {
    return data_ && data_->message ? data_->message : "unknown PostgreSQL error";
  }
  ErrorData *data() const noexcept { return data_; }

private:
  ErrorData *data_;
};

namespace detail {
// Puts the backend's error handlers back, however a frame is left.
struct HandlerScope {
  sigjmp_buf *stack = PG_exception_stack;
  ErrorContextCallback *callbacks = error_context_stack;
  void restore() const {
    PG_exception_stack = stack;
    error_context_stack = callbacks;
  }
  ~HandlerScope() { restore(); }
};
[[noreturn]] void throw_current_error(MemoryContext context);
} // namespace detail

// Run backend code; an ereport(ERROR) inside becomes a PgError.
template <class F> auto call(F &&body) -> std::invoke_result_t<F &> {
  using Result = std::invoke_result_t<F &>;
  static_assert(std::is_void_v<Result> || std::is_trivially_destructible_v<Result>,
                "pg::call must return a trivially destructible value");
  MemoryContext context = CurrentMemoryContext;
  detail::HandlerScope handlers;
  sigjmp_buf local;
  if (sigsetjmp(local, 0) != 0) {
    handlers.restore();
    detail::throw_current_error(context);
  }
  PG_exception_stack = &local;
  return body();
}

// CHECK_FOR_INTERRUPTS() that unwinds C++ frames; call it in every loop that can be long.
inline void check_for_interrupts() {
  if (INTERRUPTS_PENDING_CONDITION())
    call([] { ProcessInterrupts(); });
}

namespace detail {
struct Report { // trivially destructible: it is alive while ereport jumps away
  ErrorData *rethrow = nullptr;
  int sqlstate = 0;
  int position = 0;
  char *message = nullptr, *detail = nullptr, *hint = nullptr, *text = nullptr;
};
static_assert(std::is_trivially_destructible_v<Report>);

// A copy that never throws or jumps; nullptr for an empty text or when memory is gone.
char *keep(const std::string &text) noexcept;
[[noreturn]] void raise(const Report &report);
void describe(Report &report, const Error &error) noexcept;
} // namespace detail

// Run a function body; every C++ exception becomes an ereport once its frames are gone.
template <class F> auto guarded(F &&body) -> std::invoke_result_t<F &> {
  detail::Report report;
  try {
    return body();
  } catch (const PgError &error) {
    report.rethrow = error.data();
  } catch (const Error &error) {
    detail::describe(report, error);
  } catch (const std::bad_alloc &) {
    report.sqlstate = ERRCODE_OUT_OF_MEMORY;
  } catch (const abi::__forced_unwind &) {
    throw; // a thread being cancelled must go on unwinding
  } catch (const std::exception &error) {
    report.sqlstate = ERRCODE_INTERNAL_ERROR;
    report.message = detail::keep(error.what());
  } catch (...) {
    report.sqlstate = ERRCODE_INTERNAL_ERROR;
  }
  detail::raise(report);
}

// What went wrong inside a subtransaction that was rolled back.
struct Failure {
  int sqlstate = 0;
  std::string message, detail;
};

// Run body in a subtransaction. True: it is committed. False: it is rolled back and failure says why.
// Query cancel, shutdown and out-of-memory are rethrown, never reported as a failure.
bool subtransaction(const std::function<void()> &body, Failure &failure);

// Run body in a subtransaction that is rolled back when body returns false (its row locks are released).
bool try_in_subtransaction(const std::function<bool()> &body);

// How often it was asked in this transaction. What a subtransaction has written in leaves 8 kB of memory
// until its transaction ends, so that there must not be too many.
int count_in_transaction();

} // namespace pg
} // namespace cdp

// Declares an SQL-callable function and opens its body, which may throw.
#define CDP_FUNCTION(name)                                                                                   \
  extern "C" {                                                                                               \
  PGDLLEXPORT Datum name(PG_FUNCTION_ARGS);                                                                  \
  PG_FUNCTION_INFO_V1(name);                                                                                 \
  }                                                                                                          \
  static Datum name##_body([[maybe_unused]] FunctionCallInfo fcinfo);                                        \
  extern "C" Datum name(PG_FUNCTION_ARGS) {                                                                  \
    return cdp::pg::guarded([&] { return name##_body(fcinfo); });                                            \
  }                                                                                                          \
  static Datum name##_body([[maybe_unused]] FunctionCallInfo fcinfo)
