// Memberships of segments that are no exact rules. Lists follow their identifiers, in the commit that moves
// these; queries are refreshed later, but nobody stays in one after they were merged away.
#pragma once
#include "segment/evaluation.hpp"
#include "segment/store.hpp"

#include <algorithm>
#include <map>

namespace cdp::segment {

class ListMembers {
public:
  void read(); // which there are
  bool any() const { return !kept_.empty(); }

  // People whose identifiers are, as stored, those of these steps. Only what lists say of them is looked up.
  void evaluate(const std::vector<Step> &steps);
  void end(std::int64_t profile_id, core::Timestamp at) { ended_[profile_id] = at; }

  // What was found of a list so far; nullptr: nothing.
  const Found *found(std::int32_t segment_id) const {
    const auto place = found_.find(segment_id);
    return place == found_.end() ? nullptr : &place->second;
  }
  bool is_list(std::int32_t segment_id) const {
    return std::find(lists_.begin(), lists_.end(), segment_id) != lists_.end();
  }
  std::vector<Found> take();

private:
  using Place = std::pair<std::int32_t, std::int64_t>; // list and person

  std::map<Place, std::vector<Range>> read_entries(const std::vector<std::int64_t> &people) const;
  void add_stored(const std::vector<std::int64_t> &people, const std::vector<std::int32_t> &segments,
                  std::vector<Place> &places) const;

  std::vector<std::int32_t> lists_, kept_; // kept_: queries and rules that are not exact, too
  std::map<std::int32_t, Found> found_;
  std::map<std::int64_t, core::Timestamp> ended_;
};

} // namespace cdp::segment
