// Since when people's traits are what they are: over all that was said of a person, the first of the last
// assertions that say the same. Rules that ask are few, so only their traits are followed, in
// cdp_internal.trait_runs: a message that comes in order needs no more than the row before it; when it comes
// late, or people change, the person's assertions are read again. So nothing depends on these rows but speed.
#pragma once
#include "segment/evaluation.hpp"
#include "segment/sweep.hpp"

#include <deque>
#include <map>
#include <set>

#include "pg/spi.hpp"

namespace cdp::segment {

// The last assertions of a trait that say the same.
struct Run {
  Timestamp since = core::kMinusInfinity, latest = core::kMinusInfinity; // the first and the last of them
  std::int64_t decision = 0;                                             // of the last
  pg_uuid_t value{}; // its hash: no second copy of personal data

  void say(Timestamp at, std::int64_t by, const pg_uuid_t &said);
};

// What was said at a step about traits, by name; JSON texts.
using Said = std::map<std::string, std::string>;
Said said_at(const Step &step, const std::set<std::string> &traits);

// Of people as they were at a decision, from their assertions up to an instant.
class RunsOf {
public:
  RunsOf(const std::vector<std::int64_t> &people, const std::vector<std::int64_t> &decisions,
         const std::set<std::string> &traits, Timestamp until);
  // Nothing: nothing was ever said about the person.
  const std::map<std::string, Run> *find(std::size_t place) const;
  const Since *since(std::size_t place, const std::vector<std::string> &traits);

private:
  std::map<std::size_t, std::map<std::string, Run>> runs_;
  std::deque<Since> made_;
};

// During one evaluation, step by step.
class KeptRuns {
public:
  void want(const std::vector<std::string> &traits) { traits_.insert(traits.begin(), traits.end()); }
  const std::set<std::string> &traits() const { return traits_; }

  // Steps of a wave that may matter to a rule that asks, those of a person in order.
  void follow(const std::vector<const Step *> &steps);
  // After that; lives as long as this does.
  const Since *since(const Step &step, const std::vector<std::string> &traits);
  void end(std::int64_t profile_id) { ended_.insert(profile_id); }
  void store();

private:
  using Runs = std::map<std::string, Run>;
  void load(const std::vector<const Step *> &steps);
  void read_again(const std::vector<const Step *> &steps);

  std::set<std::string> traits_;
  std::map<std::int64_t, Runs> people_;
  std::set<std::int64_t> changed_, ended_;
  std::set<std::int64_t> silent_; // about whom nothing was ever said: no rows
  std::map<const Step *, Runs> at_;
  std::deque<Since> made_;
};

} // namespace cdp::segment
