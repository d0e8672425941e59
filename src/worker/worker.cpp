// The worker: one a database. A turn is one batch in one transaction; turns follow each other while there is
// work, then it naps. It leaves when the extension is gone, when it is switched off, or when somebody wants
// the database.
#include "worker/worker.hpp"

#include <algorithm>

#include "pipeline/company.hpp"

#include "pg/background.hpp"
#include "pg/spi.hpp"

namespace cdp::worker {

namespace {

using std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr pg::milliseconds longest_delay = 60s;
constexpr pg::milliseconds note_interval = 10s; // how often cdp.worker_status is written while all is well
constexpr pg::milliseconds others_turn = 10s;   // until work that somebody is in the way of is tried again
constexpr pg::milliseconds attention = 1s;      // how soon a resting worker notices who wants its database
constexpr int shrink = 10;                      // by how much a batch that failed gets smaller
constexpr int quarantines_before_delay = 10;    // more in a row, and it is not the lines that are bad

bool restore_is_running() {
  static pg::Statement statement("SELECT cdp_internal.restore_is_running()");
  return statement.run().boolean(0, 1);
}

// How many inbox lines were taken; -1 when one line was moved to quarantine.
std::int64_t drain(int size) {
  static pg::Statement batch("SELECT cdp_internal.drain_inbox($1)"), line("SELECT cdp_internal.drain_line()");
  return size > 1 ? batch.run(pg::Params().integer(size)).bigint(0, 1) : line.run().bigint(0, 1);
}

// Work beside the inbox, a batch in a transaction. Each says how much it did; 0: nothing waits; -1: not now,
// somebody is in the way. One whose every look passes all that it did before pauses between them while lines
// wait, unless it did a full batch.
struct Duty {
  const char *activity;
  pg::Statement batch;
  std::int64_t full = 0;
  pg::milliseconds pause = {};
  bool alone = false; // not while others decide lines of ours: they would be in the way
  steady_clock::time_point rests_until = {}, pauses_until = {};
};

Duty duties[] = {
    {"applying identity rules", pg::Statement("SELECT cdp_internal.mend_identities(100)")},
    {"following attached tables", pg::Statement("SELECT cdp_internal.follow_attached()")},
    {"making months of events", pg::Statement("SELECT cdp_internal.make_months()"), 0, {}, true},
    {"undoing imports", pg::Statement("SELECT cdp_internal.undo_imports()")},
    {"processing sources again", pg::Statement("SELECT cdp_internal.reprocess_messages()")},
    {"matching records that changed", pg::Statement("SELECT cdp_internal.follow_batch()")},
    {"removing old events", pg::Statement("SELECT cdp_internal.keep_events()")},
    {"detaching or attaching events", pg::Statement("SELECT cdp_internal.move_months()")},
    {"folding golden traits anew", pg::Statement("SELECT cdp_internal.fold_profiles(200)")},
    {"maintaining segments",
     pg::Statement("SELECT cdp_internal.maintain_segments(pg_catalog.clock_timestamp())")},
    {"judging accounts",
     pg::Statement("SELECT cdp_internal.maintain_accounts(pg_catalog.clock_timestamp())")},
    {"telling changes of memberships", pg::Statement("SELECT cdp_internal.tell_changes(10000)"), 10000, 1s},
    {"folding sets of people", pg::Statement("SELECT cdp_internal.fold_sets()")},
    {"counting the days of segments", pg::Statement("SELECT cdp_internal.close_days()")},
    {"refreshing profile views",
     pg::Statement("SELECT cdp_internal.refresh_profile_views(pg_catalog.clock_timestamp())")},
    {"folding counts of sources", pg::Statement("SELECT cdp_internal.fold_source_counts()")},
};

class Worker {
public:
  [[noreturn]] void run() {
    for (;;) {
      if (turn(true)) {
        do
          leave_if_asked();
        while (turn(false));
      }
      if (unsaved_ > 0 && steady_clock::now() - noted_at_ >= note_interval)
        note();
      rest();
    }
  }

private:
  bool turn(bool after_nap);
  bool also(Duty &duty, bool lines_wait);
  bool succeeded(std::int64_t taken);
  bool failed(const pg::Failure &failure);
  void note(const std::optional<std::string> &error = std::nullopt);
  void rest();
  void leave_if_asked();

  int size_ = settings.batch_size; // smaller after failures
  int good_turns_ = 0;             // in a row at this size
  int failures_ = 0;               // turns that failed, in a row
  int stuck_ = 0;                  // of these, how often nothing could be done about it
  int quarantined_ = 0;            // lines, in a row
  std::int64_t unsaved_ = 0;       // lines done that cdp.worker_status does not know of
  bool settled_ = false;
  steady_clock::time_point noted_at_;
};

// True: there may be more to do, come again at once.
bool Worker::turn(bool after_nap) {
  bool here = false, restoring = false;
  std::int64_t taken = 0;
  pg::Failure failure;
  const bool done = pg::transaction(
      "draining cdp.inbox",
      [&] {
        here = pg::extension_exists();
        if (!here)
          return;
        pg::Session session;
        if (after_nap)
          pg::try_in_subtransaction([&] { // which lets go of the inbox: its turn comes first
            restoring = restore_is_running();
            return false;
          });
        if (!restoring)
          taken = drain(size_);
      },
      failure, size_ == 1);
  if (!done)
    return failed(failure);
  if (!here)
    pg::leave_process(pg::Farewell::no_extension);
  bool more = succeeded(taken);
  if (restoring)
    return more;
  for (Duty &duty : duties)
    more = also(duty, taken != 0) || more;
  return more;
}

// Work beside the inbox, in a transaction of its own. True: there may be more of it.
bool Worker::also(Duty &duty, bool lines_wait) {
  std::int64_t worked = 0;
  if (duty.alone && !pipeline::company().out().empty())
    return false; // nothing is shared out while a month is wanted
  if (steady_clock::now() < std::max(duty.rests_until, lines_wait ? duty.pauses_until : duty.rests_until))
    return false;
  pg::Failure failure;
  const bool done = pg::transaction(
      duty.activity,
      [&] {
        // Its lock comes before those of its tables, as DROP EXTENSION takes them.
        const bool here = pg::extension_exists();
        pg::Session session;
        if (here && !restore_is_running()) // it may have begun since this turn did
          worked = duty.batch.run().bigint(0, 1);
      },
      failure);
  if (!done) {
    ++failures_;
    note(failure.message + " (SQLSTATE " + unpack_sql_state(failure.sqlstate) + ")");
  }
  if (worked < 0)
    duty.rests_until = steady_clock::now() + others_turn;
  if (worked < duty.full)
    duty.pauses_until = steady_clock::now() + duty.pause;
  return done && worked > 0;
}

bool Worker::succeeded(std::int64_t taken) {
  const bool recovered = failures_ > 0;
  failures_ = 0;
  quarantined_ = taken < 0 ? quarantined_ + 1 : 0;
  stuck_ = std::max(0, quarantined_ - quarantines_before_delay);
  unsaved_ += std::abs(taken);
  if (taken == 0)
    size_ = settings.batch_size;
  else if (++good_turns_ >= shrink)
    size_ *= shrink, good_turns_ = 0;
  size_ = std::min(size_, settings.batch_size);
  if (!settled_) {
    if (!pg::workers::settle())
      pg::leave_process(pg::Farewell::switched_off);
    pg::log("cdp worker started for database " + std::to_string(MyDatabaseId));
  }
  if (!settled_ || recovered || (taken != 0 && steady_clock::now() - noted_at_ >= note_interval))
    note();
  settled_ = true;
  return taken != 0 && stuck_ == 0;
}

// A batch that fails as a whole is tried again in smaller ones, until the line that cannot be processed is
// alone: drain_line() moves it to quarantine, or raises the error again when it is not the line's fault.
bool Worker::failed(const pg::Failure &failure) {
  const std::string what = failure.message + " (SQLSTATE " + unpack_sql_state(failure.sqlstate) + ")";
  ++failures_;
  good_turns_ = 0;
  note(what);
  if (size_ == 1) {
    ++stuck_;
    return false;
  }
  const int smaller = std::max(1, size_ / shrink);
  pg::log("a batch of up to " + std::to_string(size_) +
          " inbox lines failed and is tried again in batches of " + std::to_string(smaller) + ": " + what);
  size_ = smaller;
  return true;
}

void Worker::note(const std::optional<std::string> &error) {
  pg::Failure failure;
  const bool done = pg::transaction(
      "writing cdp.worker_status",
      [&] {
        if (!pg::extension_exists())
          return;
        pg::Session session;
        static pg::Statement statement("SELECT cdp_internal.note_worker($1, $2, $3, $4)");
        statement.run(
            pg::Params().boolean(!settled_).bigint(unsaved_).integer(failures_).optional_text(error));
      },
      failure);
  if (done)
    unsaved_ = 0;
  noted_at_ = steady_clock::now();
}

void Worker::rest() {
  pg::milliseconds delay(settings.naptime_ms);
  if (stuck_ > 0) {
    delay = std::max(delay, std::min(longest_delay, delay * (1 << std::min(stuck_, 16))));
    pg::report_idle(
        "waiting " + std::to_string(delay.count()) + " ms after " + std::to_string(stuck_) +
        (quarantined_ > 0 ? " lines too many went to quarantine in a row" : " failures in a row"));
  } else {
    pg::report_idle("waiting for work");
  }
  for (const auto end = steady_clock::now() + delay; steady_clock::now() < end; leave_if_asked())
    pg::sleep(std::min(attention, std::chrono::ceil<pg::milliseconds>(end - steady_clock::now())));
}

void Worker::leave_if_asked() {
  pg::sleep(0ms);
  if (!settings.enabled)
    pg::leave_process(pg::Farewell::switched_off);
  if (pg::database_is_claimed(MyDatabaseId)) {
    pg::log(pg::workers::available()
                ? "the cdp worker leaves its database to the session that locks it"
                : "the cdp worker leaves its database to the session that locks it, and does not come back",
            pg::workers::available() ? "" : "SELECT cdp.start_worker();");
    pg::leave_process(pg::Farewell::database_claimed);
  }
}

[[noreturn]] void run(Oid database) {
  pg::begin_process(pg::worker_process, database);
  if (!settings.enabled)
    pg::leave_process(pg::Farewell::switched_off);
  if (!pg::become_the_worker())
    pg::leave_process(pg::Farewell::duplicate);
  pipeline::may_have_company = true;
  Worker().run();
}

} // namespace

} // namespace cdp::worker

extern "C" {
PGDLLEXPORT void cdp_inbox_worker_main(Datum database);
void cdp_inbox_worker_main(Datum database) {
  cdp::pg::guarded([&] { cdp::pipeline::keep_company(DatumGetObjectId(database)); });
}
PGDLLEXPORT void cdp_worker_main(Datum database);
void cdp_worker_main(Datum database) {
  cdp::pg::guarded([&] { cdp::worker::run(DatumGetObjectId(database)); });
}
}

// The install script calls it: the launcher looks at this database as soon as the extension is there to be
// seen.
CDP_FUNCTION(cdp_wake_launcher) {
  cdp::pg::workers::wake_at_commit();
  PG_RETURN_VOID();
}

// Starts a worker for this database and waits until it is there, or has left again. False: no slot was free.
CDP_FUNCTION(cdp_launch_worker) {
  if (RecoveryInProgress())
    throw cdp::Error(ERRCODE_READ_ONLY_SQL_TRANSACTION, "a standby has no cdp worker", "",
                     "It starts on promotion.");
  if (!cdp::worker::settings.enabled)
    throw cdp::Error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "cdp.worker is off", "",
                     "ALTER SYSTEM SET cdp.worker = on; SELECT pg_reload_conf();");
  cdp::pg::workers::hold(MyDatabaseId, false);
  cdp::pg::workers::expect(MyDatabaseId);
  PG_RETURN_BOOL(cdp::pg::start_worker_and_wait());
}

// The launcher leaves this database alone until the worker is started by hand, or the server restarts.
CDP_FUNCTION(cdp_hold_worker) {
  cdp::pg::workers::hold(MyDatabaseId, true);
  PG_RETURN_VOID();
}
