#include "segment/timelines.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <unordered_set>

#include "pg/scan.hpp"
#include "pg/spi.hpp"

namespace cdp::segment {

namespace {

using core::TimelineEvent;

constexpr std::size_t kMostEvents = 64, kMostBytes = 1600; // of a row: its page has room for the next one
constexpr Timestamp kStart = core::kMinusInfinity;

std::vector<TimelineEvent> unpack(std::string_view packed) {
  std::vector<TimelineEvent> events;
  if (!core::unpack_timeline(packed, events))
    throw broken_timeline();
  return events;
}

// A row, or a row to be.
struct Stretch {
  std::int64_t identifier_id;
  Timestamp from;
  std::int32_t inputs;
  std::optional<ItemPointerData> place; // where it is stored; none: not yet
  std::vector<TimelineEvent> events;
  std::string_view packed = {}; // as it was read
};

// Whose bytes the events of stretches point into.
using Keeper = std::vector<std::unique_ptr<std::string>>;

std::string_view keep(Keeper &keeper, std::string bytes) {
  return *keeper.emplace_back(std::make_unique<std::string>(std::move(bytes)));
}

#define UPDATE                                                                                               \
  "UPDATE cdp_internal.timelines AS t SET until_at = u.until_at, events = u.events FROM "                    \
  "unnest($1::int8[], $2::timestamptz[], $3::timestamptz[], $4::int4[], $5::bytea[], $6::tid[]) "            \
  "AS u (identifier_id, from_at, until_at, inputs, events, place) "                                          \
  "WHERE t.identifier_id = u.identifier_id AND t.from_at = u.from_at"

// Gives back how they are packed, by place.
std::vector<std::string> write(const std::vector<Stretch> &stretches) {
  static pg::Statement update(UPDATE, pg::few_keys);
  static pg::Statement update_there(UPDATE " AND t.ctid = u.place", pg::few_keys); // if nobody moved them
  static pg::Statement insert(
      "INSERT INTO cdp_internal.timelines (identifier_id, from_at, until_at, inputs, events) "
      "SELECT * FROM unnest($1::int8[], $2::timestamptz[], $3::timestamptz[], $4::int4[], $5::bytea[])");
  std::vector<std::string> written(stretches.size());
  for (const bool stored : {true, false}) {
    std::vector<std::int64_t> ids;
    std::vector<Timestamp> from, until;
    std::vector<std::int32_t> inputs;
    std::vector<std::string> packed;
    std::vector<ItemPointerData> places;
    for (std::size_t i = 0; i < stretches.size(); ++i) {
      const auto &one = stretches[i];
      if (one.place.has_value() != stored)
        continue;
      ids.push_back(one.identifier_id);
      from.push_back(one.from);
      until.push_back(one.events.empty() ? kStart : one.events.back().at);
      inputs.push_back(one.inputs);
      packed.push_back(written[i] = core::pack(one.events));
      if (stored)
        places.push_back(*one.place);
    }
    if (ids.empty())
      continue;
    auto params =
        pg::Params().bigints(ids).timestamps(from).timestamps(until).integers(inputs).byteas(packed);
    if (!stored)
      insert.run(params);
    else if (params.places(places); update_there.run(params).size() < ids.size())
      update.run(params);
  }
  return written;
}

std::size_t bytes_of(const std::vector<TimelineEvent> &events) {
  std::size_t bytes = 0;
  for (const auto &event : events)
    bytes += event.values.size() + 8;
  return bytes;
}

// Cuts what is too long, such that events of one instant stay together and a growing end starts a new row.
void add_cut(Stretch whole, std::vector<Stretch> &into) {
  auto &events = whole.events;
  while (events.size() > kMostEvents || bytes_of(events) > kMostBytes) {
    std::size_t count = 0, bytes = 0;
    while (count < events.size() && count < kMostEvents && bytes <= kMostBytes)
      bytes += events[count++].values.size() + 8;
    while (count < events.size() && events[count].at == events[count - 1].at)
      ++count;
    if (count == events.size())
      break;
    Stretch rest{whole.identifier_id,
                 events[count].at,
                 whole.inputs,
                 std::nullopt,
                 {events.begin() + static_cast<std::ptrdiff_t>(count), events.end()}};
    events.resize(count);
    into.push_back(std::move(whole));
    whole = std::move(rest);
  }
  into.push_back(std::move(whole));
}

struct Row {
  std::int64_t identifier_id;
  Timestamp from;
  std::int32_t inputs;
  ItemPointerData place;
  std::string packed;
};

// What is stored of these identifiers, of one after the other; of those of `brief` one row is enough. By the
// index alone, which costs a fraction of a statement.
std::vector<Row> read_rows(const std::vector<std::int64_t> &ids, const std::set<std::int64_t> &brief = {}) {
  static pg::Statement read(
      "SELECT t.identifier_id, t.from_at, t.inputs, t.ctid, t.events FROM unnest($1) AS "
      "i (id) JOIN cdp_internal.timelines AS t ON t.identifier_id = i.id",
      pg::few_keys);
  std::vector<Row> found;
  pg::show_own_writes();
  const pg::Moment moment;
  pg::KeyScan scan(moment, "cdp_internal", "timelines", "timelines_pkey",
                   {{"from_at", TIMESTAMPTZOID}, {"inputs", INT4OID}, {"events", BYTEAOID}});
  for (std::size_t i = 0; scan.usable() && i < ids.size(); ++i)
    scan.each({pg::bigint_part(ids[i])}, [&](const pg::Cells &row) {
      found.push_back({ids[i], row.timestamp(0), row.integer(1), row.place(), std::string(row.text(2))});
      return !brief.contains(ids[i]);
    });
  if (scan.usable() || ids.empty())
    return found;
  auto rows = read.run(pg::Params().bigints(ids));
  for (std::size_t i = 0; i < rows.size(); ++i)
    found.push_back(
        {rows.bigint(i, 1), rows.timestamp(i, 2), rows.integer(i, 3), rows.place(i, 4), rows.bytes(i, 5)});
  return found;
}

// Whose identifiers these are.
std::vector<std::pair<std::int64_t, std::int64_t>> identifiers_of(const std::vector<std::int64_t> &people) {
  static pg::Statement read("SELECT i.profile_id, i.identifier_id FROM unnest($1) AS p (id) "
                            "JOIN cdp.identifiers AS i ON i.profile_id = p.id",
                            pg::few_keys);
  std::vector<std::pair<std::int64_t, std::int64_t>> found;
  pg::show_own_writes();
  const pg::Moment moment;
  pg::KeyScan scan(moment, "cdp", "identifiers", "identifiers_profile", {{"identifier_id", INT8OID}});
  for (std::size_t i = 0; scan.usable() && i < people.size(); ++i)
    scan.each({pg::bigint_part(people[i])}, [&](const pg::Cells &row) {
      found.emplace_back(people[i], row.bigint(0));
      return true;
    });
  if (scan.usable() || people.empty())
    return found;
  auto rows = read.run(pg::Params().bigints(people));
  for (std::size_t i = 0; i < rows.size(); ++i)
    found.emplace_back(rows.bigint(i, 1), rows.bigint(i, 2));
  return found;
}

bool none_is_missing() {
  static pg::Statement complete("SELECT EXISTS (SELECT FROM cdp_internal.timelines_complete)");
  return complete.run().boolean(0, 1);
}

// Those of which nothing is stored, though there may be events.
std::vector<std::int64_t> doubtful(const std::vector<std::int64_t> &ids, const std::vector<Row> &rows) {
  std::unordered_set<std::int64_t> there;
  for (const auto &row : rows)
    there.insert(row.identifier_id);
  std::vector<std::int64_t> missing;
  std::copy_if(ids.begin(), ids.end(), std::back_inserter(missing),
               [&](std::int64_t id) { return !there.contains(id); });
  if (!missing.empty() && none_is_missing())
    missing.clear();
  return missing;
}

EventFacts facts_of(const pg::Rows &rows, std::size_t row) {
  const auto jsonb = [&](int column) {
    return rows.is_null(row, column) ? nullptr : DatumGetPointer(rows.datum(row, column));
  };
  return {rows.bigint(row, 1),
          rows.bigint(row, 2),
          rows.timestamp(row, 3),
          rows.timestamp(row, 4),
          rows.text(row, 5),
          rows.text(row, 6),
          rows.optional_text(row, 7),
          jsonb(8),
          jsonb(9)};
}

// Those of the identifiers that have events before a decision. A statement of its own, as its plan has all
// months.
std::set<std::int64_t> with_events(const std::vector<std::int64_t> &ids, std::int64_t before) {
  static pg::Statement read(
      "SELECT i.id FROM unnest($1) AS i (id) WHERE EXISTS (SELECT FROM cdp.event_records AS r "
      "WHERE r.identifier_id = i.id AND r.event_id < $2)",
      pg::few_keys);
  std::set<std::int64_t> found;
  if (ids.empty())
    return found;
  auto rows = read.run(pg::Params().bigints(ids).bigint(before));
  for (std::size_t i = 0; i < rows.size(); ++i)
    found.insert(rows.bigint(i, 1));
  return found;
}

// Replaces the timelines of these identifiers by what their events say now; gives them all back, in order.
std::vector<Stretch> make_anew(const std::vector<std::int64_t> &ids, Keeper &keeper) {
  static pg::Statement forget("DELETE FROM cdp_internal.timelines WHERE identifier_id = ANY ($1)",
                              pg::few_keys);
  static pg::Statement read(
      "SELECT r.event_id, r.identifier_id, r.occurred_at, r.received_at, r.type, s.source, "
      "r.event, r.properties, r.context FROM unnest($1) AS i (id) "
      "JOIN cdp.event_records AS r ON r.identifier_id = i.id "
      "JOIN cdp.sources AS s USING (source_id)",
      pg::few_keys);
  std::vector<Stretch> made;
  if (ids.empty())
    return made;
  auto &inputs = Inputs::current();
  std::map<std::int64_t, Stretch> whole;
  for (auto id : ids)
    whole.emplace(id, Stretch{id, kStart, inputs.newest(), std::nullopt, {}});
  forget.run(pg::Params().bigints(ids));
  read.each(pg::Params().bigints(ids), [&](const pg::Rows &rows) {
    pg::check_for_interrupts();
    std::vector<EventFacts> events;
    for (std::size_t row = 0; row < rows.size(); ++row)
      events.push_back(facts_of(rows, row));
    auto observed = inputs.observe(events);
    for (std::size_t i = 0; i < events.size(); ++i)
      if (!observed[i].values.empty())
        whole.at(events[i].identifier_id)
            .events.push_back(
                {events[i].occurred_at, events[i].event_id, keep(keeper, std::move(observed[i].values))});
  });
  for (auto id : ids) {
    auto &one = whole.at(id);
    std::sort(one.events.begin(), one.events.end(),
              [](const auto &a, const auto &b) { return a.order() < b.order(); });
    add_cut(std::move(one), made);
  }
  write(made);
  return made;
}

} // namespace

std::vector<std::pair<std::int64_t, std::string>>
make_timelines(const std::vector<std::int64_t> &identifiers) {
  Keeper keeper;
  std::vector<std::pair<std::int64_t, std::string>> made;
  for (const auto &one : make_anew(identifiers, keeper))
    made.emplace_back(one.identifier_id, core::pack(one.events));
  return made;
}

Histories read_histories(const std::vector<std::int64_t> &profile_ids, const Wants &wants,
                         const Timelines &known) {
  auto histories = gather_histories(profile_ids, known);
  Wanted wanted;
  for (auto &[id, history] : histories) {
    wanted.clear();
    if (wants)
      wants(id, wanted);
    history.finish(wants ? &wanted : nullptr);
  }
  return histories;
}

Histories gather_histories(const std::vector<std::int64_t> &profile_ids, const Timelines &known) {
  const auto newest = Inputs::current().newest();
  Histories histories;
  for (auto id : profile_ids)
    histories.emplace(id, History());
  std::unordered_map<std::int64_t, History *> whose; // of identifiers
  std::vector<std::int64_t> ids;
  for (const auto &[profile_id, id] : identifiers_of(profile_ids)) {
    auto &history = histories.at(profile_id);
    whose[id] = &history;
    if (const auto found = known.find(id); found == known.end())
      ids.push_back(id);
    else
      for (const auto &packed : found->second)
        history.add(packed);
  }
  auto rows = read_rows(ids);
  auto old = with_events(doubtful(ids, rows), INT64_MAX);
  for (const auto &row : rows)
    if (row.inputs < newest)
      old.insert(row.identifier_id);
  for (auto &row : rows)
    if (!old.contains(row.identifier_id))
      whose.at(row.identifier_id)->keep(std::move(row.packed));
  for (auto &[id, packed] : make_timelines({old.begin(), old.end()}))
    whose.at(id)->keep(std::move(packed));
  return histories;
}

std::vector<std::int64_t> identifiers_without_timeline() {
  static pg::Statement read(
      "SELECT DISTINCT r.identifier_id FROM cdp.event_records AS r WHERE NOT EXISTS "
      "(SELECT FROM cdp_internal.timelines AS t WHERE t.identifier_id = r.identifier_id)");
  std::vector<std::int64_t> identifiers;
  pg::Session session;
  if (none_is_missing())
    return identifiers;
  read.each({}, [&](const pg::Rows &rows) {
    for (std::size_t i = 0; i < rows.size(); ++i)
      identifiers.push_back(rows.bigint(i, 1));
  });
  return identifiers;
}

void timelines_are_complete() {
  static pg::Statement note("INSERT INTO cdp_internal.timelines_complete "
                            "SELECT WHERE NOT EXISTS (SELECT FROM cdp_internal.timelines_complete) "
                            "AND EXISTS (SELECT FROM cdp_internal.timeline_inputs)");
  pg::Session session;
  note.run();
}

namespace {

// What is stored of an identifier that events were added to.
struct Touched {
  std::vector<Stretch> stretches;
  bool is_whole = false; // all its rows, none too old
};

// Into the rows that they fall into; gives those that changed, cut.
void add_into(Touched &one, const std::vector<TimelineEvent> &added, std::vector<Stretch> &changed,
              Timelines &known) {
  auto &stretches = one.stretches;
  std::sort(stretches.begin(), stretches.end(),
            [](const Stretch &a, const Stretch &b) { return a.from < b.from; });
  std::vector<bool> touched(stretches.size());
  for (const auto &event : added) {
    if (event.values.empty())
      continue;
    auto place = stretches.size() - 1;
    while (place > 0 && stretches[place].from > event.at)
      --place;
    auto &into = stretches[place].events;
    if (!touched[place])
      into = unpack(stretches[place].packed);
    into.insert(std::upper_bound(into.begin(), into.end(), event,
                                 [](const auto &a, const auto &b) { return a.order() < b.order(); }),
                event);
    touched[place] = true;
  }
  const auto id = stretches.front().identifier_id;
  known.erase(id);
  if (one.is_whole)
    known[id];
  for (std::size_t i = 0; i < stretches.size(); ++i)
    if (touched[i] || !stretches[i].place)
      add_cut(std::move(stretches[i]), changed);
    else if (one.is_whole)
      known[id].emplace_back(stretches[i].packed);
}

} // namespace

std::vector<Observed> add_events(const std::vector<EventFacts> &events, std::int64_t first,
                                 Timelines &known) {
  auto &inputs = Inputs::current();
  if (events.empty() || !inputs.any())
    return std::vector<Observed>(events.size());
  auto observed = inputs.observe(events);
  std::map<std::int64_t, std::vector<TimelineEvent>> added;
  for (std::size_t i = 0; i < events.size(); ++i)
    added[events[i].identifier_id].push_back({events[i].occurred_at, events[i].event_id, observed[i].values});
  std::vector<std::int64_t> ids;
  std::set<std::int64_t> silent; // to which nothing is added
  for (auto &[id, some] : added) {
    std::sort(some.begin(), some.end(), [](const auto &a, const auto &b) { return a.order() < b.order(); });
    ids.push_back(id);
    if (std::all_of(some.begin(), some.end(), [](const auto &one) { return one.values.empty(); }))
      silent.insert(id);
  }
  Keeper keeper;
  std::map<std::int64_t, Touched> touched;
  auto rows = read_rows(ids, silent);
  const auto never_made = with_events(doubtful(ids, rows), first);
  for (auto id : ids)
    if (never_made.contains(id))
      known.erase(id);
    else
      touched[id].is_whole = !silent.contains(id);
  for (auto &row : rows) {
    auto &[stretches, is_whole] = touched[row.identifier_id];
    is_whole = is_whole && row.inputs >= inputs.newest();
    stretches.push_back(
        {row.identifier_id, row.from, row.inputs, row.place, {}, keep(keeper, std::move(row.packed))});
  }
  for (auto &[id, one] : touched)
    if (one.stretches.empty())
      one.stretches.push_back({id, kStart, inputs.newest(), std::nullopt, {}});
  std::vector<Stretch> changed;
  for (auto &[id, one] : touched)
    add_into(one, added[id], changed, known);
  auto packed = write(changed);
  for (std::size_t i = 0; i < changed.size(); ++i)
    if (const auto found = known.find(changed[i].identifier_id); found != known.end())
      found->second.push_back(std::move(packed[i]));
  make_anew({never_made.begin(), never_made.end()}, keeper);
  return observed;
}

} // namespace cdp::segment
