// A record of a followed table while those that changed are matched against it.
#pragma once

#include "core/match_index.hpp"
#include "core/match_wanted.hpp"
#include "match/matcher.hpp"
#include "pg/scan.hpp"

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

// Of a row as Lookups gives it.
inline Kept kept_of(const pg::Cells &row) {
  return {std::string(row.text(0)), std::string(row.text(1)), std::string(row.text(2)),
          engine::unpack_neighbours(row.text(3)), row.integer(4)};
}

// The texts of its features, which live as long as it does. Throws Error for one that was not written so.
inline void unpack(const Kept &kept, const Matcher &matcher, std::vector<std::string_view> &texts) {
  if (!engine::unpack_features(kept.features, matcher.model.features.size(), texts))
    throw Error(ERRCODE_DATA_CORRUPTED, "record \"" + kept.id + "\" is not kept as it should be", {},
                "SELECT * FROM cdp.update_matches(…, rebuild => true) makes all anew.");
}

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
