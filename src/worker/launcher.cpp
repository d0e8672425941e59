// The launcher: keeps one worker in every database that has the extension. It cannot look into a database
// itself: a worker is started, looks, and leaves at once when there is nothing for it. A database that was
// looked at is left alone until CREATE EXTENSION wakes us, so databases without cdp cost nothing.
#include "worker/worker.hpp"

#include "pg/background.hpp"

namespace cdp::worker {

namespace {

constexpr pg::milliseconds claimed_delay{1000};

pg::milliseconds naptime() {
  return std::chrono::seconds(settings.launcher_naptime_s);
}

class Launcher {
public:
  void turn() {
    const std::vector<Oid> databases = pg::connectable_databases();
    pg::workers::keep_only(databases);
    for (const Oid database : databases)
      if (!pg::workers::crowded() && pg::workers::due(database))
        start(database);
    pg::report_idle("watching " + std::to_string(databases.size()) + " databases");
  }

private:
  void start(Oid database) {
    // A worker would wait for whoever drops or copies the database, and die if it is gone then.
    if (pg::database_is_claimed(database))
      return pg::workers::put_off(database, claimed_delay);
    pg::workers::expect(database);
    const bool started = pg::start_worker(database);
    if (!started) {
      pg::workers::put_off(database, naptime());
      if (!complained_)
        pg::log("no free slot for a cdp worker for database " + std::to_string(database),
                "Increase max_worker_processes; cdp needs one, and one a database with the extension.");
    }
    complained_ = !started;
  }

  bool complained_ = false;
};

[[noreturn]] void run() {
  pg::begin_process(pg::launcher_process, InvalidOid);
  Launcher launcher;
  for (;;) {
    if (settings.enabled)
      launcher.turn();
    pg::sleep(settings.enabled ? pg::workers::until_next_due(naptime()) : naptime());
  }
}

} // namespace

} // namespace cdp::worker

extern "C" {
PGDLLEXPORT void cdp_launcher_main(Datum argument);
void cdp_launcher_main(Datum) {
  cdp::pg::guarded([] { cdp::worker::run(); });
}
}
