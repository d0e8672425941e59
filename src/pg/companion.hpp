// Another process of this database that works for this one, in transactions of its own: it gets jobs, texts
// of bytes, one after the other, and answers each. It has the settings of the server, not those of this
// session, and it leaves when this process lets it go or ends.
//
//   this process    begin ───────────────> give ───> ... ───────────────> answer
//   the companion         begin, accept          work, commit, say what came of it
#pragma once
#include <chrono>
#include <memory>
#include <string>

#include "pg/background.hpp"

namespace cdp::pg {

class Companion {
public:
  // Null: there is no free slot of max_worker_processes.
  static std::unique_ptr<Companion> start(const ProcessKind &kind);
  ~Companion(); // it ends what it is at, and leaves
  Companion(const Companion &) = delete;
  Companion &operator=(const Companion &) = delete;

  bool is_connected(); // never waits
  bool is_gone();      // never waits
  bool is_busy() const { return busy_; }

  void begin(); // one that is connected and not busy
  // Waits until it has begun its transaction and taken the locks that come first, or is gone, as its
  // answer will say.
  void await_acceptance();
  void give(std::string_view job);
  // What came of the job. Waits for it; throws what it failed with, or that it is gone.
  std::string answer();
  // What it answered last took so long from the job to its commit.
  std::chrono::nanoseconds took() const { return took_; }

private:
  struct Queues;
  explicit Companion(std::unique_ptr<Queues> queues);
  bool hear(bool wait); // one thing that it says; false: nothing yet, or it is gone

  std::unique_ptr<Queues> queues_;
  bool connected_ = false, gone_ = false, busy_ = false, accepted_ = false;
  std::chrono::nanoseconds took_{};
  std::string said_; // its answer, as it came; empty: none yet
};

// Inside a companion: does one job after the other until the one who started it lets it go. `work` runs in a
// transaction, calls `accept` when others may know that it has begun, which gives it the job, and returns the
// answer.
using Accept = std::function<std::string()>;
[[noreturn]] void serve(const ProcessKind &kind, Oid database, const char *activity, const char *idle,
                        const std::function<std::string(const Accept &accept)> &work);

} // namespace cdp::pg
