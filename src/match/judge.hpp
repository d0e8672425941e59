// Which pairs are links, and which wait for a person's word: of all records, or of some that changed since.
#pragma once

#include "core/match_index.hpp"
#include "match/matcher.hpp"
#include "match/rows.hpp"
#include "pg/rule_run.hpp"

namespace cdp::match {

struct Thresholds {
  double merge = 0.99, review = 0.5, cluster = 0.5; // probabilities
  std::int64_t max_pairs = 0;

  /// Of less likely pairs nothing is kept: they say nothing of who belongs together.
  double floor() const { return std::min(review, 0.001); }
};

/// A pair that reaches the threshold for review, by record; it is a link when it reaches that for merging and
/// lies in a cluster that holds together.
struct JudgedPair {
  std::string_view id_l, source_l, id_r, source_r;
  double weight = 0;
  bool is_one_cluster = false;
};

/// Rows of cdp_internal.judge_matches, rebuild_matches and update_matches.
class JudgedRows {
public:
  JudgedRows(FunctionCallInfo fcinfo, const Thresholds &thresholds)
      : result_(begin_rows(fcinfo)), thresholds_(thresholds) {}
  void add(const JudgedPair &pair);

private:
  ReturnSetInfo *result_;
  Thresholds thresholds_;
  RowMemory memory_;
};

/// All records, scored and clustered; edges and clusters are by place.
struct Whole {
  Whole(const Matcher &matcher, engine::Records read, const Thresholds &thresholds);

  engine::Records records;
  std::vector<std::size_t> rules;  // that gave the pairs
  std::vector<std::size_t> widest; // of these
  std::vector<engine::Edge> edges; // not below the floor
  engine::Clusters clusters;

  void judge(JudgedRows &rows) const;
};

} // namespace cdp::match
