// Background processes: the mechanics of their loop, the facts about databases they need, and the table in
// shared memory by which the launcher and the workers know of each other.
//
//   launcher (one a server, no database)  ->  worker (one a database that has the extension)
//
// The table says for each database: is a worker there, and if not, when to look (again) whether one is
// needed. A worker that leaves says why, and that decides when. Without shared_preload_libraries there is no
// table and no launcher; everything here then does nothing, or says so.
#pragma once
#include <chrono>

#include "pg/guard.hpp"

struct BackgroundWorker;

namespace cdp::pg {

using std::chrono::milliseconds;

// The C symbols that run a process, and the names that pg_stat_activity shows.
struct ProcessKind {
  const char *function, *name;
};
inline constexpr ProcessKind launcher_process{"cdp_launcher_main", "cdp launcher"};
inline constexpr ProcessKind worker_process{"cdp_worker_main", "cdp worker"};
inline constexpr ProcessKind inbox_process{"cdp_inbox_worker_main", "cdp inbox worker"};

// What PostgreSQL has to know to start one.
void describe(const ProcessKind &kind, BackgroundWorker &worker);

// For _PG_init while the server starts: registers the launcher, the shared table and the DROP DATABASE hook.
void install_launcher();

// ---- Inside a process

// Why a worker leaves.
enum class Farewell { failed, no_extension, database_claimed, switched_off, duplicate };

// Connects to the database, or with InvalidOid to none (shared catalogs only).
void begin_process(const ProcessKind &kind, Oid database);
[[noreturn]] void leave_process(Farewell farewell);

// The same for a process that works for the one that started it (src/pg/companion.hpp): the table does not
// know it.
void begin_companion(const ProcessKind &kind, Oid database);

// Sleeps until the time is over or something happens; reloads settings, answers SIGTERM and barriers.
void sleep(milliseconds time);

// Runs body in a transaction of its own. False: it is rolled back, and failure says why.
// activity is what pg_stat_activity shows meanwhile; it must stay valid.
bool transaction(const char *activity, const std::function<void()> &body, Failure &failure,
                 bool log_failures = true);

void report_idle(const std::string &activity);
void log(const std::string &message, const std::string &hint = {});

// ---- Databases

// In a transaction: does the extension exist? If so it cannot be dropped until the transaction ends.
bool extension_exists();
// Makes this process the one worker of its database; false when another is.
bool become_the_worker();
// Does somebody drop, rename, move or copy the database? They wait for everybody in it to leave, for 5
// seconds.
bool database_is_claimed(Oid database);
// Every database that may have a worker. Opens a transaction of its own.
std::vector<Oid> connectable_databases();

// Starts a worker. False: there is no free slot of max_worker_processes.
bool start_worker(Oid database);
bool start_worker_and_wait(); // for the current database, until it is the worker, or has left again

// ---- The shared table

namespace workers {
bool available();                               // is there a table, that is: was the library preloaded?
bool due(Oid database);                         // is it time to start a worker, to work or just to look?
bool crowded();                                 // are enough workers on their way for now?
void expect(Oid database);                      // one is on its way
void put_off(Oid database, milliseconds delay); // none for now: look again then
bool settle();                                  // in a worker: the extension is here; may it stay?
void hold(Oid database, bool held);             // a user's wish; a server restart forgets it
void keep_only(const std::vector<Oid> &databases);
milliseconds until_next_due(milliseconds limit);
void wake_at_commit(); // if this transaction commits, look at this database at once
} // namespace workers

} // namespace cdp::pg
