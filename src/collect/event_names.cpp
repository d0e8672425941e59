#include "collect/event_names.hpp"

#include <map>
#include <unordered_set>

#include "pg/scan.hpp"
#include "pg/spi.hpp"

namespace cdp::collect {

namespace {

constexpr std::size_t kMostKnown = 10'000;

// Names that are committed, in the table of this oid.
Oid table = InvalidOid;
auto &known = *new std::unordered_set<std::string>;
TransactionId written_in = InvalidTransactionId; // what it finds may be its own, and not last

void forget_another_table() {
  const Oid now = pg::table_named("cdp_internal", "event_names");
  if (now != table || known.size() > kMostKnown)
    known.clear();
  table = now;
}

std::map<std::string, core::Timestamp> unknown_names(const std::vector<Candidate> &candidates) {
  std::map<std::string, core::Timestamp> names;
  for (const auto &one : candidates)
    if (one.fate == Fate::accepted && is_event(one.message.type) && !one.message.event.empty() &&
        !known.contains(one.message.event)) {
      const auto [place, is_new] = names.emplace(one.message.event, one.received_at);
      place->second = std::min(place->second, one.received_at);
    }
  return names;
}

} // namespace

void note_event_names(const std::vector<Candidate> &candidates) {
  static pg::Statement read("SELECT DISTINCT event FROM cdp_internal.event_names WHERE event = ANY ($1)",
                            pg::few_keys);
  static pg::Statement insert("INSERT INTO cdp_internal.event_names (event, first_seen_at) SELECT * FROM "
                              "unnest($1::text[], $2::timestamptz[])");
  forget_another_table();
  auto names = unknown_names(candidates);
  if (names.empty())
    return;
  std::vector<std::string> wanted;
  for (const auto &[name, at] : names)
    wanted.push_back(name);
  const bool committed = GetTopTransactionIdIfAny() != written_in || !TransactionIdIsValid(written_in);
  auto rows = read.run(pg::Params().texts(wanted));
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto name = rows.text(i, 1);
    names.erase(name);
    if (committed)
      known.insert(name);
  }
  if (names.empty())
    return;
  std::vector<core::Timestamp> received;
  wanted.clear();
  for (const auto &[name, at] : names) {
    wanted.push_back(name);
    received.push_back(at);
  }
  insert.run(pg::Params().texts(wanted).timestamps(received));
  written_in = GetTopTransactionIdIfAny();
}

} // namespace cdp::collect
