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
  // Nobody is needed for now.
  void let_go();

  // Gives all parts but the first away, and waits until they are begun. Nothing may be out.
  void give(const std::vector<collect::Oldest> &parts);
  // What was given, until finish().
  const std::vector<ItemPointerData> &out() const { return out_; }
  // Waits for what is out: how many lines came of it. Throws what one of them failed with. Needs an open SPI
  // session, and the turn.
  std::int64_t finish();

private:
  using steady_clock = std::chrono::steady_clock;

  static std::size_t most(); // as the setting is now
  void gather();
  void learn(steady_clock::duration ours, steady_clock::duration theirs);

  std::vector<std::unique_ptr<pg::Companion>> companions_;
  std::vector<ItemPointerData> out_;
  double our_weight_ = 0.4; // of all, for as many as we are
  steady_clock::time_point given_at_, not_before_;
};

// Of this process.
Company &company();

// Inside a companion: decides the lines at these places. What it answers is for Company::finish.
[[noreturn]] void keep_company(Oid database);

} // namespace cdp::pipeline
