// One segment during one evaluation: judges in subtransactions, so that a rule that fails for somebody, or
// for everybody, stops nobody else.
#pragma once
#include "segment/judge.hpp"
#include "segment/store.hpp"

namespace cdp::segment {

class Progress {
public:
  // With `members`, sorted: only they are stored as being in the segment, so of others who are not there is
  // nothing to note.
  explicit Progress(Judge &judge, const std::vector<std::int64_t> *members = nullptr)
      : judge_(judge), members_(members) {
    found_.segment_id = judge.segment_id();
  }

  const Judge &judge() const { return judge_; }

  // Steps of people, each with its history where the judge looks at timelines. A person's steps come in
  // order; each counts up to their next, the last for all the future.
  void evaluate(const std::vector<Stint> &stints);
  void end(std::int64_t profile_id, core::Timestamp at) { found_.people[profile_id].end(at); }
  Found take() { return std::move(found_); }

private:
  using Places = std::vector<std::size_t>;
  static std::vector<Stint> bounded(std::vector<Stint> stints);
  void try_all(const std::vector<Stint> &stints, const Places &chosen);
  void add(const Step &step, std::vector<Range> ranges);
  void halve(const std::vector<Stint> &stints, const Places &chosen, const pg::Failure &failure);
  void one_by_one(const std::vector<Stint> &stints, std::int64_t profile_id, pg::Failure failure);

  Judge &judge_;
  const std::vector<std::int64_t> *members_;
  Found found_;
};

} // namespace cdp::segment
