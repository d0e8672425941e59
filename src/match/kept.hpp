// A record of a followed table while those that changed are matched against it.
#pragma once

#include "core/match_index.hpp"
#include "core/match_wanted.hpp"
#include "match/matcher.hpp"

#include <algorithm>

namespace cdp::match {

using Number = std::uint32_t; // of a record, as it is kept

struct Kept {
  std::string id, source, features;
  std::vector<engine::Neighbour> neighbours;
  std::int32_t cluster = 0;
  bool is_new = false, is_dirty = false;
  bool is_placed = false; // among those that are compared
  engine::Place place = 0;
};

// As RecordOrder::precedes has it; ids that are numbers are read once.
inline void put_in_order(std::vector<Kept *> &records, const engine::RecordOrder &order) {
  engine::Patience patience;
  if (!order.by_number()) {
    std::sort(records.begin(), records.end(), [&](const Kept *a, const Kept *b) {
      patience.step();
      return order.precedes(a->id, a->source, b->id, b->source);
    });
    return;
  }
  std::vector<std::pair<std::int64_t, Kept *>> numbered;
  numbered.reserve(records.size());
  for (Kept *kept : records)
    numbered.emplace_back(static_cast<std::int64_t>(engine::RecordOrder::number(kept->id)), kept);
  std::sort(numbered.begin(), numbered.end(), [&](const auto &a, const auto &b) {
    patience.step();
    return a.first < b.first;
  });
  for (std::size_t i = 0; i < records.size(); ++i)
    records[i] = numbered[i].second;
}

} // namespace cdp::match
