#include "pg/background_table.hpp"

#include <algorithm>
#include <csignal>

extern "C" {
#include "catalog/objectaccess.h"
#include "catalog/pg_database.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
}

namespace cdp::pg::workers {

namespace {

constexpr int table_size = 1024;              // databases; the rest get no worker
constexpr int crowd = 2;                      // workers on their way at a time: slots are scarce
constexpr milliseconds lost_after{60'000};    // a worker that has not arrived by then never will
constexpr milliseconds healthy_after{60'000}; // a worker that lived so long had no problem starting
constexpr milliseconds look_again{
    3'600'000}; // CREATE EXTENSION wakes us: this is for a wake-up that was lost
constexpr milliseconds longest_backoff{60'000}; // between attempts to start a worker that fails

enum class State { absent, expected, here, held };

struct Entry {
  Oid database;
  State state;
  pid_t pid;
  bool woken;          // somebody created the extension since the worker was started
  int failures;        // in a row, each less than a minute after its start
  TimestampTz since;   // expected or here since
  TimestampTz look_at; // absent: not before
};

struct Table {
  LWLock *lock;
  Latch *launcher;
  int count;
  Entry entries[table_size];
};

Table *table = nullptr;
Farewell farewell = Farewell::failed;
bool wake_pending = false;

TimestampTz from_now(milliseconds delay) {
  return TimestampTzPlusMilliseconds(GetCurrentTimestamp(), delay.count());
}

// Nothing between lock and unlock may ereport: the exit callback takes the lock, too.
class Locked {
public:
  explicit Locked(LWLockMode mode = LW_EXCLUSIVE) { LWLockAcquire(table->lock, mode); }
  ~Locked() { LWLockRelease(table->lock); }
  Locked(const Locked &) = delete;
  Locked &operator=(const Locked &) = delete;
};

Entry *find(Oid database) {
  Entry *end = table->entries + table->count;
  Entry *entry = std::find_if(table->entries, end, [&](const Entry &e) { return e.database == database; });
  return entry == end ? nullptr : entry;
}

Entry *find_or_add(Oid database) {
  if (Entry *entry = find(database))
    return entry;
  if (table->count == table_size)
    return nullptr;
  Entry *entry = &table->entries[table->count++];
  *entry = Entry{};
  entry->database = database;
  return entry;
}

bool is_lost(const Entry &entry) {
  return entry.since < from_now(-lost_after);
}

bool too_many_expected() {
  return std::count_if(table->entries, table->entries + table->count, [](const Entry &entry) {
           return entry.state == State::expected && !is_lost(entry);
         }) >= crowd;
}

void wake_launcher() {
  if (table->launcher)
    SetLatch(table->launcher);
}

milliseconds backoff(int failures) {
  return std::min(longest_backoff, milliseconds(1000) * (1 << std::min(failures, 10)) / 2);
}

// What a worker's farewell means for the next one.
void after_leaving(Entry &entry) {
  const bool was_healthy = entry.since < from_now(-healthy_after);
  entry.pid = 0;
  if (entry.state == State::held)
    return;
  entry.state = State::absent;
  if (farewell == Farewell::failed)
    entry.failures = was_healthy ? 1 : entry.failures + 1;
  else
    entry.failures = 0;
  switch (farewell) {
  case Farewell::failed:
    entry.look_at = from_now(backoff(entry.failures));
    break;
  case Farewell::no_extension:
    entry.look_at = entry.woken ? 0 : from_now(look_again);
    break;
  case Farewell::database_claimed:
  case Farewell::duplicate:
    entry.look_at = from_now(milliseconds(1000));
    break;
  case Farewell::switched_off:
    entry.look_at = 0;
    break;
  }
}

// Runs however the process ends, short of a crash, which empties the table.
void at_exit(int, Datum database) {
  Locked lock;
  if (!OidIsValid(DatumGetObjectId(database)))
    table->launcher = nullptr;
  else if (Entry *entry = find(DatumGetObjectId(database)); entry && entry->pid == MyProcPid)
    after_leaving(*entry);
  wake_launcher();
}

void at_start(Oid database) {
  Locked lock;
  if (!OidIsValid(database)) {
    table->launcher = MyLatch;
  } else if (Entry *entry = find_or_add(database); entry && entry->pid == 0) {
    entry->pid = MyProcPid;
    entry->since = GetCurrentTimestamp();
  }
}

shmem_request_hook_type previous_shmem_request = nullptr;
shmem_startup_hook_type previous_shmem_startup = nullptr;
object_access_hook_type previous_object_access = nullptr;

void request_shared_memory() {
  if (previous_shmem_request)
    previous_shmem_request();
  RequestAddinShmemSpace(MAXALIGN(sizeof(Table)));
  RequestNamedLWLockTranche("cdp", 1);
}

void attach_shared_memory() {
  if (previous_shmem_startup)
    previous_shmem_startup();
  bool found;
  LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
  table = static_cast<Table *>(ShmemInitStruct("cdp", sizeof(Table), &found));
  if (!found) {
    memset(static_cast<void *>(table), 0, sizeof(Table));
    table->lock = &GetNamedLWLockTranche("cdp")->lock;
  }
  LWLockRelease(AddinShmemInitLock);
}

// DROP DATABASE comes here holding its lock, allowed to drop, just before it counts who is connected. The
// worker must go now: in the middle of a long batch it would notice too late.
void on_object_access(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id, void *argument) {
  if (previous_object_access)
    previous_object_access(access, class_id, object_id, sub_id, argument);
  if (access != OAT_DROP || class_id != DatabaseRelationId || !table)
    return;
  Locked lock(LW_SHARED);
  if (Entry *entry = find(object_id); entry && entry->pid != 0)
    kill(entry->pid, SIGTERM);
}

} // namespace

void install_table() {
  previous_shmem_request = shmem_request_hook;
  shmem_request_hook = request_shared_memory;
  previous_shmem_startup = shmem_startup_hook;
  shmem_startup_hook = attach_shared_memory;
  previous_object_access = object_access_hook;
  object_access_hook = on_object_access;
}

void enter(Oid database) {
  if (!table)
    return;
  at_start(database);
  before_shmem_exit(at_exit, ObjectIdGetDatum(database));
}

void say(Farewell reason) {
  farewell = reason;
}

bool available() {
  return table != nullptr;
}

bool due(Oid database) {
  Locked lock(LW_SHARED);
  const Entry *entry = find(database);
  if (!entry)
    return table->count < table_size;
  if (entry->state == State::expected)
    return is_lost(*entry);
  return entry->state == State::absent && entry->look_at <= GetCurrentTimestamp();
}

bool crowded() {
  Locked lock(LW_SHARED);
  return too_many_expected();
}

void expect(Oid database) {
  if (!table)
    return;
  Locked lock;
  if (Entry *entry = find_or_add(database); entry && entry->pid == 0) {
    entry->state = State::expected;
    entry->since = GetCurrentTimestamp();
    entry->woken = false;
  }
}

void put_off(Oid database, milliseconds delay) {
  if (!table)
    return;
  Locked lock;
  if (Entry *entry = find_or_add(database); entry && entry->pid == 0) {
    entry->state = State::absent;
    entry->look_at = from_now(delay);
  }
}

bool settle() {
  if (!table)
    return true;
  Locked lock;
  Entry *entry = find(MyDatabaseId);
  if (entry && entry->state == State::held)
    return false; // stop_worker() was called while this worker was on its way
  if (entry && entry->pid == MyProcPid)
    entry->state = State::here;
  wake_launcher(); // there is room for the next one
  return true;
}

void hold(Oid database, bool held) {
  if (!table)
    return;
  Locked lock;
  if (Entry *entry = find_or_add(database))
    if (held || entry->state == State::held)
      entry->state = held ? State::held : entry->pid != 0 ? State::here : State::absent;
}

void keep_only(const std::vector<Oid> &databases) {
  Locked lock;
  for (int i = table->count - 1; i >= 0; --i) {
    Entry &entry = table->entries[i];
    if (std::find(databases.begin(), databases.end(), entry.database) != databases.end())
      continue;
    if (entry.pid != 0)
      kill(entry.pid, SIGTERM); // it became a template, or closed
    else
      entry = table->entries[--table->count];
  }
}

milliseconds until_next_due(milliseconds limit) {
  Locked lock(LW_SHARED);
  if (too_many_expected())
    return limit; // they wake us when they have settled or left
  const TimestampTz now = GetCurrentTimestamp();
  for (const Entry *entry = table->entries; entry < table->entries + table->count; ++entry)
    if (entry->state == State::absent)
      limit = std::min(limit, milliseconds(TimestampDifferenceMilliseconds(now, entry->look_at)));
  return limit;
}

namespace {

void wake(Oid database) {
  Locked lock;
  if (Entry *entry = find_or_add(database)) {
    entry->woken = true;
    entry->look_at = 0;
    entry->failures = 0;
    if (entry->state == State::held && entry->pid == 0)
      entry->state = State::absent;
  }
  wake_launcher();
}

void on_transaction_end(XactEvent event, void *) {
  if (!wake_pending)
    return;
  switch (event) {
  case XACT_EVENT_COMMIT: // after others can see what was committed
    wake(MyDatabaseId);
    wake_pending = false;
    break;
  case XACT_EVENT_ABORT:
  case XACT_EVENT_PREPARE:
    wake_pending = false;
    break;
  default:
    break;
  }
}

} // namespace

void wake_at_commit() {
  if (!table)
    return;
  static bool registered = false;
  if (!registered) {
    call([] { RegisterXactCallback(on_transaction_end, nullptr); });
    registered = true;
  }
  wake_pending = true;
}

} // namespace cdp::pg::workers
