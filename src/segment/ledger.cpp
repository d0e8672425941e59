#include "segment/ledger.hpp"

#include <algorithm>

namespace cdp::segment {

void Course::end(Timestamp at) {
  std::erase_if(steps_, [&](const Judged &step) { return step.from > at; });
  steps_.push_back({at, std::nullopt, {}});
}

// Steps without a decision, as those of lists, come first at their instant.
const Judged *Course::known(Timestamp from, std::int64_t decision) const {
  const Judged *latest = nullptr;
  for (const auto &step : steps_)
    if (std::pair(step.from, step.decision.value_or(0)) <= std::pair(from, decision))
      latest = &step;
  return latest;
}

// Each step counts until the next; ranges that touch are one.
std::map<Key, std::vector<Range>> Course::join() const {
  std::map<Key, std::vector<Range>> joined;
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    const auto end = i + 1 < steps_.size() ? steps_[i + 1].from : core::kInfinity;
    for (const auto &range : steps_[i].ranges) {
      const auto to = std::min(range.to, end);
      if (range.from >= to)
        continue;
      auto &ranges = joined[range.key];
      if (!ranges.empty() && ranges.back().to == range.from) {
        ranges.back().to = to;
        continue;
      }
      const bool at_step = range.from == steps_[i].from;
      ranges.push_back({range.key, range.from, to, at_step ? steps_[i].decision : std::nullopt});
    }
  }
  return joined;
}

std::vector<Change> Course::compare(const std::vector<Range> &stored) const {
  std::vector<Change> changes;
  auto wanted = join();
  std::map<Key, std::map<Timestamp, Range>> future;
  for (auto row : stored) {
    if (row.from >= start()) {
      future[row.key].emplace(row.from, row);
      continue;
    }
    // It began before: it goes on, with its entry, or ends here.
    auto found = wanted.find(row.key);
    auto to = start();
    if (found != wanted.end() && !found->second.empty() && found->second.front().from == start()) {
      to = found->second.front().to;
      found->second.erase(found->second.begin());
    }
    if (row.to != to) {
      row.to = to;
      changes.push_back({Change::update, row});
    }
  }
  for (auto &[key, ranges] : wanted) {
    auto &rows = future[key];
    for (auto &range : ranges) {
      auto same = rows.find(range.from);
      if (same == rows.end()) {
        changes.push_back({Change::insert, range});
        continue;
      }
      if (same->second.to != range.to || same->second.decision != range.decision)
        changes.push_back({Change::update, range});
      rows.erase(same);
    }
  }
  for (auto &[key, rows] : future)
    for (auto &[from, row] : rows)
      changes.push_back({Change::remove, row});
  return changes;
}

} // namespace cdp::segment
