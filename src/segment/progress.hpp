// One segment during one evaluation: judges in subtransactions, so that a rule that fails for somebody, or
// for everybody, stops nobody else.
#pragma once
#include "segment/judge.hpp"
#include "segment/store.hpp"

#include <atomic>

#include "pg/helper.hpp"

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
  // The same of people who come by steps, some of them again: for the next evaluation.
  void know(std::optional<StoredRows> stored) {
    stored_ = stored;
    by_steps_ = true;
  }

  // Steps of people, each with its history where the judge looks at timelines. A person's steps come in
  // order; each counts up to their next, the last for all the future.
  void evaluate(const std::vector<Stint> &stints);

  // Several at once, of people in order of ids: rules of one owner together, since each change of rights and
  // each subtransaction costs as much as many people; and as many people as the caches hold.
  // With a helper, rules that work alone are judged beside the others, by whoever has time.
  static void evaluate(std::vector<Progress> &segments, const std::vector<std::vector<Stint>> &stints,
                       pg::Helper *helper = nullptr);
  void end(std::int64_t profile_id, core::Timestamp at) { found_.people[profile_id].end(at); }
  const Found &found() const { return found_; }
  Found take() { return std::move(found_); }

private:
  using Places = std::vector<std::size_t>;
  // What one segment has to judge of people who come once each.
  struct Share {
    std::size_t segment;
    std::span<const Stint> stints;
  };
  using Shares = std::vector<Share>;
  struct News {
    std::size_t segment;
    const Stint *stint;
    std::vector<Range> ranges;
    bool beyond;
  };
  struct Alone {
    std::vector<News> news, rest; // of those who are left, only the backend can say
  };
  static void evaluate_often(std::vector<Progress> &segments, Shares often);
  static void evaluate_together(std::vector<Progress> &segments, Shares rest, pg::Helper *helper);
  static void judge_together(std::vector<Progress> &segments, const Shares &some, pg::Helper *helper);
  static bool try_together(std::vector<Progress> &segments, const Shares &together, pg::Helper *helper,
                           pg::Failure &failure);
  static void sweep(std::vector<Progress> &segments, const Share &share, std::vector<News> &news);
  static Alone sweep_alone(std::vector<Progress> &segments, const Shares &together,
                           std::atomic<std::size_t> &next);
  bool is_stored(StoredRows &rows, const Step &step, const std::vector<Range> &ranges) const;
  static std::vector<Stint> bounded(std::vector<Stint> stints);
  void try_all(const std::vector<Stint> &stints, const Places &chosen);
  void one_person_at_a_time(const std::vector<Stint> &stints, const Places &chosen);
  void give_up(const Step &step, const pg::Failure &failure);
  void add(const Step &step, std::vector<Range> ranges);
  void halve(const std::vector<Stint> &stints, const Places &chosen, const pg::Failure &failure);
  void one_by_one(const std::vector<Stint> &stints, const Places &chosen, pg::Failure failure);

  Judge &judge_;
  std::optional<StoredRows> stored_; // of people still to come
  bool by_steps_ = false;
  Found found_;
  int slow_ = 0; // people for whom the rule ran out of time
};

} // namespace cdp::segment
