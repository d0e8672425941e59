// One segment, ready to judge steps: its owner, settings and prepared statements, kept for the life of the
// backend.
#pragma once
#include "segment/evaluation.hpp"
#include "segment/ledger.hpp"
#include "segment/plan.hpp"
#include "segment/sweep.hpp"
#include "segment/timelines.hpp"

#include <memory>

#include "pg/rule_run.hpp"
#include "pg/rule_search.hpp"

namespace cdp::segment {

class Judge {
public:
  explicit Judge(std::int32_t segment_id); // reads cdp.segments

  std::int32_t segment_id() const { return segment_id_; }
  const std::string &name() const { return name_; }

  // Whether what is new at a step can change the answer.
  bool concerns(const Step &step, const Observed *event, const std::string *event_name) const;
  bool uses_timelines() const { return sweep_ != nullptr; }
  bool looks_at_traits() const { return relevance_.traits; }
  // What somebody must have done to be in at an instant or later, when one input tells. Runs as the owner.
  std::optional<Sweep::Need> need(Timestamp at) const;
  // Those it asks about, by place. Whoever judges says in each stint when the person is in them.
  std::span<const std::int32_t> segments() const { return segments_; }
  std::size_t computed() const { return computed_; } // how many of the last of these are computed traits
  // Traits of which it asks since when they are so, by place; they are in each stint as well.
  const std::vector<std::string> &since() const { return since_; }
  // 0: it asks about none that is judged; else more than that of those it asks about.
  int level() const { return level_; }
  // The inputs without which nobody is in; empty: anybody may be.
  std::span<const std::int32_t> needed_inputs() const {
    return sweep_ && sweep_->needs_events() ? std::span<const std::int32_t>(sweep_->inputs())
                                            : std::span<const std::int32_t>();
  }

  void add_wanted(Timestamp at, Wanted &wanted) const { sweep_->add_wanted(at, wanted); }

  // What holds in each stint; those of a person in order. Runs as the owner; may throw what the rule throws.
  std::vector<std::vector<Range>> judge(const std::vector<Stint> &stints);

  // The same by PostgreSQL as a whole, from the events themselves; writes nothing.
  std::vector<std::vector<Range>> judge_by_sql(const std::vector<Stint> &stints);

  // The same for one stint, when the caller runs as the owner already and it uses timelines; false:
  // PostgreSQL has to judge.
  bool sweep(const Stint &stint, std::vector<Range> &ranges) { return sweep_->judge(stint, ranges); }
  // The same for people who come several times.
  bool sweep(const std::vector<Stint> &stints, std::vector<std::vector<Range>> &ranges) {
    ranges.assign(stints.size(), {});
    return sweep_all(stints, ranges).empty();
  }
  // The same by what is remembered, in another thread; false: try the above.
  bool works_alone() const { return sweep_ && sweep_->works_alone(); }
  bool sweep_alone(const Stint &stint, std::vector<Range> &ranges) {
    return sweep_->judge_alone(stint, ranges);
  }

  pg::Rows explain(std::int64_t profile_id, const std::string &traits, Timestamp at, const pg::Session &);
  const pg::RuleSettings &settings() const { return settings_; }

private:
  struct Searches {
    SearchPlan plan;
    std::vector<std::unique_ptr<pg::Search>> tests;
  };
  std::vector<std::size_t> sweep_all(const std::vector<Stint> &stints,
                                     std::vector<std::vector<Range>> &result);
  void make_sweep(const Plan &plan);
  void add_turns(const std::string &level, pg::KeptPlan *query, const pg::Params &params,
                 std::vector<std::vector<Timestamp>> &turns);

  friend std::vector<Judge *> judges();
  std::int32_t segment_id_;
  int level_ = 0;
  std::vector<std::int32_t> segments_;
  std::size_t computed_ = 0;
  bool is_value_ = false; // it is a computed trait
  std::vector<std::string> since_;
  std::string name_;
  pg::RuleSettings settings_;
  pg::Relevance relevance_;
  std::vector<Searches> searches_;
  std::unique_ptr<Sweep> sweep_; // when the rule could be taken apart
  std::unique_ptr<pg::KeptPlan> judge_, person_inputs_, event_inputs_, group_inputs_, explain_;
};

// The definitions of the inputs that a plan uses, in their order.
std::vector<std::string> definitions_of(const pg::Decomposition &made, const pg::RuleSettings &settings);

// Those of all rules there are, an input each.
std::vector<std::string> definitions_in_use();

// The segments there are, in order; the backend keeps them until one changes.
std::vector<Judge *> judges();
// Those that ask about any of these segments, or about one that does; whoever is asked about comes first.
std::vector<Judge *> dependents(const std::vector<std::int32_t> &segments);
Judge &judge_of(std::int32_t segment_id);

} // namespace cdp::segment
