#include "pg/guard.hpp"

#include "pg/ending.hpp"

namespace cdp::pg {

namespace detail {

void throw_current_error(MemoryContext context) {
  // The copy must outlive a subtransaction that is rolled back on the error's way, and its SPI sessions.
  MemoryContextSwitchTo(TopTransactionContext ? TopTransactionContext : context);
  ErrorData *data = CopyErrorData();
  FlushErrorState();
  MemoryContextSwitchTo(context);
  throw PgError(data);
}

char *keep(const std::string &text) noexcept {
  if (text.empty())
    return nullptr;
  auto *copy = static_cast<char *>(
      MemoryContextAllocExtended(CurrentMemoryContext, text.size() + 1, MCXT_ALLOC_NO_OOM | MCXT_ALLOC_HUGE));
  if (copy)
    memcpy(copy, text.c_str(), text.size() + 1);
  return copy;
}

void describe(Report &report, const Error &error) noexcept {
  report.sqlstate = error.sqlstate;
  report.message = keep(error.what());
  report.detail = keep(error.detail());
  report.hint = keep(error.hint());
  report.text = keep(error.text());
  report.position = error.position();
}

void raise(const Report &report) {
  if (report.rethrow)
    ReThrowError(report.rethrow);
  const char *fallback =
      report.sqlstate == ERRCODE_OUT_OF_MEMORY ? "out of memory" : "unexpected C++ exception";
  ereport(ERROR,
          (errcode(report.sqlstate), errmsg_internal("%s", report.message ? report.message : fallback),
           report.detail ? errdetail_internal("%s", report.detail) : 0,
           report.hint ? errhint("%s", report.hint) : 0, report.text ? internalerrquery(report.text) : 0,
           report.text ? internalerrposition(report.position) : 0));
  pg_unreachable();
}

} // namespace detail

namespace {

// The pieces of backend state a subtransaction must put back.
struct Subtransaction {
  MemoryContext context = CurrentMemoryContext;
  ResourceOwner owner = CurrentResourceOwner;

  void begin() {
    call([&] {
      BeginInternalSubTransaction(nullptr);
      MemoryContextSwitchTo(context);
    });
  }
  void commit() {
    call([&] {
      ReleaseCurrentSubTransaction();
      MemoryContextSwitchTo(context);
    });
    CurrentResourceOwner = owner;
  }
  void roll_back() {
    call([&] {
      RollbackAndReleaseCurrentSubTransaction();
      MemoryContextSwitchTo(context);
    });
    CurrentResourceOwner = owner;
  }
};

} // namespace

bool is_end(const ErrorData &error) {
  // RAISE can claim any of these; a rule that does so must not stop the message it is judged for.
  if (error.funcname && strcmp(error.funcname, "exec_stmt_raise") == 0)
    return false;
  const int sqlstate = error.sqlerrcode;
  return sqlstate == ERRCODE_QUERY_CANCELED || sqlstate == ERRCODE_ADMIN_SHUTDOWN ||
         sqlstate == ERRCODE_CRASH_SHUTDOWN || sqlstate == ERRCODE_OUT_OF_MEMORY ||
         sqlstate == ERRCODE_T_R_DEADLOCK_DETECTED || sqlstate == ERRCODE_LOCK_NOT_AVAILABLE;
}

bool subtransaction(const std::function<void()> &body, Failure &failure) {
  try {
    try_in_subtransaction([&] {
      body();
      return true;
    });
    return true;
  } catch (const PgError &error) {
    if (is_end(*error.data()))
      throw;
    failure.sqlstate = error.data()->sqlerrcode;
    failure.message = error.what();
    failure.detail = error.data()->detail ? error.data()->detail : "";
  } catch (const Error &error) {
    failure = {error.sqlstate, error.what(), error.detail()};
  }
  return false;
}

bool try_in_subtransaction(const std::function<bool()> &body) {
  Subtransaction inner;
  inner.begin();
  bool keep_it;
  try {
    keep_it = body();
  } catch (...) {
    inner.roll_back(); // whoever catches the error further out must find the subtransaction it left
    throw;
  }
  if (keep_it)
    inner.commit();
  else
    inner.roll_back();
  return keep_it;
}

int count_in_transaction() {
  static TimestampTz began;
  static int count;
  if (const auto now = GetCurrentTransactionStartTimestamp(); now != began) {
    began = now;
    count = 0;
  }
  return ++count;
}

} // namespace cdp::pg
