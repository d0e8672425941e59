// One segment during one evaluation: judges in subtransactions, so that a rule that fails for somebody, or
// for everybody, stops nobody else.
#pragma once
#include "segment/judge.hpp"
#include "segment/store.hpp"

namespace cdp::segment {

// Errors that say the rule cannot run at all, whoever it is about.
bool is_general(int sqlstate);

// Of one segment, of people in order of ids.
using StoredRows = std::span<const Stored::Row *const>;

class Progress {
public:
  // With what is stored of its people, who then come in order of ids: whoever it does not change for is not
  // noted.
  explicit Progress(Judge &judge, std::optional<StoredRows> stored = std::nullopt)
      : judge_(judge), stored_(stored) {
    found_.segment_id = judge.segment_id();
  }

  const Judge &judge() const { return judge_; }

  // Steps of people, each with its history where the judge looks at timelines. A person's steps come in
  // order; each counts up to their next, the last for all the future.
  void evaluate(const std::vector<Stint> &stints);

  // Several at once: those of one owner together, since each change of rights and each subtransaction costs
  // as much as many people.
  static void evaluate(std::vector<Progress> &segments, const std::vector<std::vector<Stint>> &stints);
  void end(std::int64_t profile_id, core::Timestamp at) { found_.people[profile_id].end(at); }
  const Found &found() const { return found_; }
  Found take() { return std::move(found_); }

private:
  using Places = std::vector<std::size_t>;
  static bool try_together(std::vector<Progress> &segments, const Places &together,
                           const std::vector<std::vector<Stint>> &stints);
  static bool is_stored(StoredRows &rows, const Step &step, const std::vector<Range> &ranges);
  static std::vector<Stint> bounded(std::vector<Stint> stints);
  void try_all(const std::vector<Stint> &stints, const Places &chosen);
  void add(const Step &step, std::vector<Range> ranges);
  void halve(const std::vector<Stint> &stints, const Places &chosen, const pg::Failure &failure);
  void one_by_one(const std::vector<Stint> &stints, std::int64_t profile_id, pg::Failure failure);

  Judge &judge_;
  std::optional<StoredRows> stored_; // of people still to come
  Found found_;
};

} // namespace cdp::segment
