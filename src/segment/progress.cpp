#include "segment/progress.hpp"

#include <algorithm>
#include <map>

namespace cdp::segment {

namespace {

constexpr std::size_t kBatch = 1000;

// Errors that say the rule cannot run at all, whoever it is about.
bool is_general(int sqlstate) {
  switch (sqlstate) { // others of their classes can come from one person's data, such as NaN::int (0A000)
  case ERRCODE_INSUFFICIENT_PRIVILEGE:
  case ERRCODE_UNDEFINED_FUNCTION:
  case ERRCODE_UNDEFINED_TABLE:
  case ERRCODE_UNDEFINED_COLUMN:
  case ERRCODE_UNDEFINED_OBJECT:
  case ERRCODE_UNDEFINED_SCHEMA:
    return true;
  default:
    return false;
  }
}

} // namespace

void Progress::evaluate(const std::vector<Stint> &stints) {
  for (std::size_t start = 0; start < stints.size() && !found_.broken; start += kBatch) {
    pg::check_for_interrupts();
    const auto begin = stints.begin() + static_cast<std::ptrdiff_t>(start);
    const auto count = static_cast<std::ptrdiff_t>(std::min(stints.size() - start, kBatch));
    const auto some = bounded({begin, begin + count});
    Places all;
    for (std::size_t i = 0; i < some.size(); ++i)
      if (some[i].step->from < some[i].until) // the others leave no trace, unless what follows fails
        all.push_back(i);
    try_all(some, all);
  }
}

// The last of a person for all the future: what comes later may fail for them, and then it stands on.
std::vector<Stint> Progress::bounded(std::vector<Stint> stints) {
  std::unordered_map<std::int64_t, std::size_t> last;
  for (std::size_t i = 0; i < stints.size(); ++i) {
    const auto [before, first] = last.try_emplace(stints[i].step->profile_id, i);
    if (!first)
      stints[std::exchange(before->second, i)].until = stints[i].step->from;
    stints[i].until = core::kInfinity;
  }
  return stints;
}

void Progress::try_all(const std::vector<Stint> &stints, const Places &chosen) {
  std::vector<Stint> some;
  for (auto i : chosen)
    some.push_back(stints[i]);
  std::vector<std::vector<Range>> ranges;
  pg::Failure failure;
  if (pg::subtransaction([&] { ranges = judge_.judge(some); }, failure)) {
    for (std::size_t i = 0; i < some.size(); ++i)
      add(*some[i].step, std::move(ranges[i]));
  } else if (is_general(failure.sqlstate)) {
    found_.broken = std::move(failure);
    found_.failed_at = some.front().step->from;
  } else {
    halve(stints, chosen, failure);
  }
}

void Progress::add(const Step &step, std::vector<Range> ranges) {
  if (members_ && ranges.empty() && !std::binary_search(members_->begin(), members_->end(), step.profile_id))
    return;
  found_.people[step.profile_id].add(step.from, step.decision_seq, std::move(ranges));
}

// Down to the people, and with a person down to the step; what is known of them before a failing step
// stands on, so their other steps are judged for all the future.
void Progress::halve(const std::vector<Stint> &stints, const Places &chosen, const pg::Failure &failure) {
  std::map<std::int64_t, Places> people;
  for (auto i : chosen)
    people[stints[i].step->profile_id].push_back(i);
  if (people.size() == 1)
    return one_by_one(stints, people.begin()->first, failure);
  Places first, second;
  std::size_t number = 0;
  for (auto &[person, places] : people) {
    auto &half = number++ < people.size() / 2 ? first : second;
    half.insert(half.end(), places.begin(), places.end());
  }
  for (auto *half : {&first, &second}) {
    std::sort(half->begin(), half->end());
    if (!found_.broken)
      try_all(stints, *half);
  }
}

void Progress::one_by_one(const std::vector<Stint> &stints, std::int64_t profile_id, pg::Failure failure) {
  for (auto stint : stints) {
    if (stint.step->profile_id != profile_id)
      continue;
    stint.until = core::kInfinity;
    std::vector<std::vector<Range>> ranges;
    if (pg::subtransaction([&] { ranges = judge_.judge({stint}); }, failure))
      add(*stint.step, std::move(ranges[0]));
    else
      found_.people[profile_id].fail(stint.step->from, failure);
  }
}

} // namespace cdp::segment
