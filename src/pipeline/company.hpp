// The processes that decide lines of the inbox together with the worker of a database, each a part of what
// waits.
#pragma once
#include <chrono>
#include <memory>
#include <vector>

#include "collect/inbox.hpp"

#include "pg/companion.hpp"

namespace cdp::pipeline {

// Settings: how many processes there may be, the worker itself included; and whether this process is a
// worker, which alone has any beside it.
extern int inbox_workers;
extern bool may_have_company;

class Company {
public:
  // How much of the lines is for whom, this process first; just it when nobody else is there. Starts what is
  // missing.
  std::vector<double> weights();
  // There will be work for others, too: starts what is missing, and lets go of whom nobody wants any more.
  void gather();
  // Somebody will be here in a moment.
  bool is_awaited() const;
  // Nobody is needed for now.
  void let_go();

  // Lets somebody begin each of these parts, but the first, that has something. Nothing may be out.
  void begin(const std::vector<std::size_t> &sizes);
  // Gives what was begun. False: somebody is gone, and their part is as if it had not been read.
  bool give(const std::vector<collect::Oldest> &parts);
  // What was given, until finish().
  const std::vector<ItemPointerData> &out() const { return out_; }
  // Waits for what is out: how many lines came of it. Throws what one of them failed with. Needs an open SPI
  // session, and the turn.
  std::int64_t finish();

private:
  using steady_clock = std::chrono::steady_clock;

  static std::size_t most(); // as the setting is now
  void learn(steady_clock::duration ours, steady_clock::duration theirs);

  std::vector<std::unique_ptr<pg::Companion>> companions_;
  std::vector<pg::Companion *> begun_; // a part each; null: nobody
  std::vector<ItemPointerData> out_;
  double our_weight_ = 0.4; // of all, for as many as we are
  steady_clock::time_point given_at_, not_before_, started_at_;
};

// Of this process.
Company &company();

// Inside a companion: decides the lines at these places. What it answers is for Company::finish.
[[noreturn]] void keep_company(Oid database);

} // namespace cdp::pipeline
