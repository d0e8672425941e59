#include "pg/background_table.hpp"

#include <algorithm>

extern "C" {
#include "access/genam.h"
#include "access/table.h"
#include "catalog/pg_database.h"
#include "catalog/pg_extension.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/backend_status.h"
#include "utils/wait_event.h"
}

#ifndef DATCONNLIMIT_INVALID_DB
#define DATCONNLIMIT_INVALID_DB -2 // a half dropped database; older headers do not name it
#endif

namespace cdp::pg {

namespace {

MemoryContext process_context = nullptr;
bool process_is_launcher = false;

} // namespace

void describe(const ProcessKind &kind, BackgroundWorker &worker) {
  memset(&worker, 0, sizeof worker);
  worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
  worker.bgw_start_time = BgWorkerStart_RecoveryFinished; // never on a standby, at once on promotion
  worker.bgw_restart_time = BGW_NEVER_RESTART;
  strlcpy(worker.bgw_library_name, "cdp", sizeof worker.bgw_library_name);
  strlcpy(worker.bgw_function_name, kind.function, sizeof worker.bgw_function_name);
  strlcpy(worker.bgw_type, kind.name, sizeof worker.bgw_type);
  strlcpy(worker.bgw_name, kind.name, sizeof worker.bgw_name);
}

namespace {

BackgroundWorker describe_worker(Oid database) {
  BackgroundWorker worker;
  describe(worker_process, worker);
  snprintf(worker.bgw_name, sizeof worker.bgw_name, "cdp worker for database %u", database);
  worker.bgw_main_arg = ObjectIdGetDatum(database);
  return worker;
}

} // namespace

void install_launcher() {
  if (IsBinaryUpgrade)
    return;
  workers::install_table();
  BackgroundWorker launcher;
  describe(launcher_process, launcher);
  launcher.bgw_restart_time = 5;
  RegisterBackgroundWorker(&launcher);
}

// ---- Inside a process

namespace {

void connect(const ProcessKind &kind, Oid database, bool in_table) {
  call([&] {
    pqsignal(SIGHUP, SignalHandlerForConfigReload);
    pqsignal(SIGTERM, die);
    if (in_table)
      workers::enter(database);
    BackgroundWorkerUnblockSignals();
    if (!OidIsValid(database))
      BackgroundWorkerInitializeConnection(nullptr, nullptr, 0);
    else
      BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
    ProcessConfigFile(PGC_SIGHUP); // a reload may have passed us by while we started
    const char *settings[][2] = {{"application_name", kind.name},
                                 {"search_path", "pg_catalog, pg_temp"},
                                 {"default_transaction_isolation", "read committed"},
                                 {"lock_timeout", "0"}, // nobody is there who would do it another time
                                 {"max_parallel_workers_per_gather", "0"}};
    for (auto &setting : settings)
      SetConfigOption(setting[0], setting[1], PGC_SUSET, PGC_S_SESSION);
    process_context = AllocSetContextCreate(TopMemoryContext, "cdp process", ALLOCSET_DEFAULT_SIZES);
    MemoryContextSwitchTo(process_context);
  });
}

} // namespace

void begin_process(const ProcessKind &kind, Oid database) {
  process_is_launcher = !OidIsValid(database);
  connect(kind, database, true);
}

void begin_companion(const ProcessKind &kind, Oid database) {
  connect(kind, database, false);
}

void leave_process(Farewell farewell) {
  workers::say(farewell);
  proc_exit(0);
}

void sleep(milliseconds time) {
  call([&] {
    (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
                    static_cast<long>(std::max(time, milliseconds(0)).count()), PG_WAIT_EXTENSION);
    ResetLatch(MyLatch);
    QueryCancelPending = false; // nothing runs that could be cancelled
    if (ProcDiePending)
      proc_exit(process_is_launcher ? 1 : 0); // 1: the postmaster starts it again
    CHECK_FOR_INTERRUPTS();
    if (ConfigReloadPending) {
      ConfigReloadPending = false;
      ProcessConfigFile(PGC_SIGHUP);
    }
  });
}

namespace {

void begin_transaction(const char *activity) {
  call([&] {
    SetCurrentStatementStartTimestamp();
    debug_query_string = activity;
    pgstat_report_activity(STATE_RUNNING, activity);
    StartTransactionCommand();
    PushActiveSnapshot(GetTransactionSnapshot());
  });
}

void end_transaction() {
  call([] {
    PopActiveSnapshot();
    CommitTransactionCommand();
  });
}

// The error as it was raised, with its context, but as a warning: the process goes on.
void log_error(ErrorData *error) {
  call([&] {
    error->elevel = WARNING;
    ThrowErrorData(error);
  });
}

void log_failure(const Failure &failure) {
  call([&] {
    ereport(WARNING, (errcode(failure.sqlstate), errmsg_internal("%s", failure.message.c_str()),
                      failure.detail.empty() ? 0 : errdetail_internal("%s", failure.detail.c_str())));
  });
}

void after_transaction(bool committed) {
  call([&] {
    if (!committed)
      AbortCurrentTransaction();
    debug_query_string = nullptr;
    pgstat_report_stat(false); // else autovacuum never learns what a background process wrote
    MemoryContextSwitchTo(process_context);
    MemoryContextReset(process_context);
  });
}

} // namespace

bool transaction(const char *activity, const std::function<void()> &body, Failure &failure,
                 bool log_failures) {
  bool committed = false;
  try {
    begin_transaction(activity);
    body();
    end_transaction();
    committed = true;
  } catch (const PgError &error) {
    ErrorData *data = error.data();
    failure = {data->sqlerrcode, error.what(), data->detail ? data->detail : ""};
    if (log_failures)
      log_error(data);
  } catch (const Error &error) {
    failure = {error.sqlstate, error.what(), error.detail()};
    if (log_failures)
      log_failure(failure);
  } catch (const std::exception &error) {
    failure = {ERRCODE_INTERNAL_ERROR, error.what(), ""};
    if (log_failures)
      log_failure(failure);
  }
  after_transaction(committed);
  return committed;
}

void report_idle(const std::string &activity) {
  pgstat_report_activity(STATE_IDLE, activity.c_str());
}

void log(const std::string &message, const std::string &hint) {
  call([&] {
    ereport(LOG, (errmsg_internal("%s", message.c_str()), hint.empty() ? 0 : errhint("%s", hint.c_str())));
  });
}

// ---- Databases

bool extension_exists() {
  return call([] {
    const Oid extension = get_extension_oid("cdp", true);
    if (!OidIsValid(extension))
      return false;
    LockDatabaseObject(ExtensionRelationId, extension, 0, AccessShareLock);
    return get_extension_oid("cdp", true) == extension; // it may have gone while we waited
  });
}

namespace {

// No pg_advisory_lock() can meet it; cdp_internal.worker_pid() looks for it.
LOCKTAG worker_lock() {
  LOCKTAG tag;
  SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, 0x636470, 1, 0xCD);
  return tag;
}

bool try_lock(const LOCKTAG &tag, LOCKMODE mode) {
  constexpr bool for_the_session = true, dont_wait = true;
  return LockAcquire(&tag, mode, for_the_session, dont_wait) != LOCKACQUIRE_NOT_AVAIL;
}

bool somebody_holds(const LOCKTAG &tag, LOCKMODE conflicting) {
  if (!try_lock(tag, conflicting))
    return true;
  LockRelease(&tag, conflicting, true);
  return false;
}

bool somebody_is_the_worker() {
  return somebody_holds(worker_lock(), RowShareLock);
}

} // namespace

bool become_the_worker() {
  return call([] {
    for (int attempt = 0; attempt < 10; ++attempt) { // the one before us may be on its way out
      if (try_lock(worker_lock(), ExclusiveLock))
        return true;
      sleep(milliseconds(100));
    }
    return false;
  });
}

bool database_is_claimed(Oid database) {
  return call([&] {
    LOCKTAG tag;
    SET_LOCKTAG_OBJECT(tag, InvalidOid, DatabaseRelationId, database, 0);
    return somebody_holds(tag, RowExclusiveLock); // what every session takes while it connects
  });
}

std::vector<Oid> connectable_databases() {
  std::vector<Oid> databases;
  Failure failure;
  const bool done = transaction(
      "scanning pg_database",
      [&] {
        Relation catalog = call([] { return table_open(DatabaseRelationId, AccessShareLock); });
        SysScanDesc scan =
            call([&] { return systable_beginscan(catalog, InvalidOid, false, nullptr, 0, nullptr); });
        while (HeapTuple tuple = call([&] { return systable_getnext(scan); })) {
          auto *row = reinterpret_cast<Form_pg_database>(GETSTRUCT(tuple));
          if (row->datallowconn && !row->datistemplate && row->datconnlimit != DATCONNLIMIT_INVALID_DB)
            databases.push_back(row->oid);
        }
        call([&] {
          systable_endscan(scan);
          table_close(catalog, AccessShareLock);
        });
      },
      failure);
  if (!done)
    throw Error(failure.sqlstate, "could not list the databases: " + failure.message);
  return databases;
}

bool start_worker(Oid database) {
  return call([&] {
    BackgroundWorker worker = describe_worker(database);
    return RegisterDynamicBackgroundWorker(&worker, nullptr);
  });
}

bool start_worker_and_wait() {
  return call([] {
    BackgroundWorker worker = describe_worker(MyDatabaseId);
    worker.bgw_notify_pid = MyProcPid;
    BackgroundWorkerHandle *handle;
    pid_t pid;
    if (!RegisterDynamicBackgroundWorker(&worker, &handle))
      return false;
    auto status = WaitForBackgroundWorkerStartup(handle, &pid);
    while (status == BGWH_STARTED && !somebody_is_the_worker()) {
      (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 20, PG_WAIT_EXTENSION);
      ResetLatch(MyLatch);
      CHECK_FOR_INTERRUPTS();
      status = GetBackgroundWorkerPid(handle, &pid);
    }
    return true;
  });
}

} // namespace cdp::pg
