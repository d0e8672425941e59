#include "segment/lists.hpp"

#include <algorithm>

#include "pg/spi.hpp"

namespace cdp::segment {

namespace {

// What holds from an instant on, in order and not touching.
std::vector<Range> joined(std::vector<Range> entries, Timestamp from) {
  std::sort(entries.begin(), entries.end(), [](const Range &a, const Range &b) { return a.from < b.from; });
  std::vector<Range> ranges;
  for (auto &one : entries) {
    one.from = std::max(one.from, from);
    if (one.from >= one.to)
      continue;
    if (!ranges.empty() && one.from <= ranges.back().to)
      ranges.back().to = std::max(ranges.back().to, one.to);
    else
      ranges.push_back(one);
  }
  return ranges;
}

} // namespace

void ListMembers::read() {
  static pg::Statement select(
      "SELECT segment_id, kind = 'list' FROM cdp.segments "
      "WHERE (kind IN ('list', 'query') OR class <> 'exact') AND state <> 'disabled'");
  auto rows = select.run();
  for (std::size_t i = 0; i < rows.size(); ++i) {
    kept_.push_back(rows.integer(i, 1));
    if (rows.boolean(i, 2))
      lists_.push_back(rows.integer(i, 1));
  }
}

std::map<ListMembers::Place, std::vector<Range>>
ListMembers::read_entries(const std::vector<std::int64_t> &people) const {
  static pg::Statement read("SELECT l.segment_id, i.profile_id, l.added_at, coalesce(l.expires_at, "
                            "'infinity') FROM cdp.identifiers AS i "
                            "JOIN cdp.list_members AS l USING (identifier_id) WHERE i.profile_id = ANY ($1) "
                            "AND l.segment_id = ANY ($2)",
                            pg::few_keys);
  auto rows = read.run(pg::Params().bigints(people).integers(lists_));
  std::map<Place, std::vector<Range>> entries;
  for (std::size_t i = 0; i < rows.size(); ++i)
    entries[{rows.integer(i, 1), rows.bigint(i, 2)}].push_back(
        {std::nullopt, rows.timestamp(i, 3), rows.timestamp(i, 4), std::nullopt});
  return entries;
}

void ListMembers::add_stored(const std::vector<std::int64_t> &people,
                             const std::vector<std::int32_t> &segments, std::vector<Place> &places) const {
  static pg::Statement read("SELECT DISTINCT segment_id, profile_id FROM cdp.memberships "
                            "WHERE profile_id = ANY ($1) AND segment_id = ANY ($2)",
                            pg::few_keys);
  auto rows = read.run(pg::Params().bigints(people).integers(segments));
  for (std::size_t i = 0; i < rows.size(); ++i)
    places.emplace_back(rows.integer(i, 1), rows.bigint(i, 2));
}

void ListMembers::evaluate(const std::vector<Step> &steps) {
  std::map<std::int64_t, std::vector<Timestamp>> people;
  for (const auto &step : steps)
    if (step.everything || step.identifiers_changed)
      people[step.profile_id].push_back(step.from);
  if (lists_.empty() || people.empty())
    return;
  std::vector<std::int64_t> ids;
  for (const auto &[id, instants] : people)
    ids.push_back(id);
  pg::Session session;
  auto entries = read_entries(ids);
  std::vector<Place> places;
  for (const auto &[place, ranges] : entries)
    places.push_back(place);
  add_stored(ids, lists_, places);
  for (const auto &[list, found] : found_)
    for (auto id : ids)
      if (found.people.contains(id))
        places.emplace_back(list, id);
  std::sort(places.begin(), places.end());
  places.erase(std::unique(places.begin(), places.end()), places.end());
  for (const auto &place : places)
    for (auto from : people.at(place.second))
      found_[place.first].people[place.second].add(from, kAllEvents, joined(entries[place], from));
}

std::vector<Found> ListMembers::take() {
  if (!ended_.empty()) {
    pg::Session session;
    std::vector<std::int64_t> ids;
    for (auto [id, at] : ended_)
      ids.push_back(id);
    std::vector<Place> places;
    add_stored(ids, kept_, places);
    for (const auto &[list, found] : found_)
      for (auto id : ids)
        if (found.people.contains(id))
          places.emplace_back(list, id);
    for (const auto &[segment, id] : places)
      found_[segment].people[id].end(ended_.at(id));
  }
  std::vector<Found> all;
  for (auto &[segment, found] : found_) {
    found.segment_id = segment;
    all.push_back(std::move(found));
  }
  return all;
}

} // namespace cdp::segment
