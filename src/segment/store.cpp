#include "segment/store.hpp"

#include <algorithm>
#include <tuple>

#include "pg/log_ahead.hpp"
#include "pg/scan.hpp"
#include "pg/spi.hpp"

namespace cdp::segment {

namespace {

// Rows of cdp.memberships as columns.
struct Columns {
  std::vector<std::int32_t> segments;
  std::vector<std::int64_t> profiles;
  std::vector<std::optional<std::string>> keys, decisions;
  std::vector<Timestamp> from, to;
  std::vector<ItemPointerData> places; // of those that are there

  void add(std::int32_t segment, std::int64_t profile, const Range &row, const ItemPointerData *place) {
    if (place)
      places.push_back(*place);
    segments.push_back(segment);
    profiles.push_back(profile);
    keys.push_back(row.key);
    from.push_back(row.from);
    to.push_back(row.to);
    decisions.push_back(row.decision ? std::optional(std::to_string(*row.decision)) : std::nullopt);
  }
  pg::Params params() const {
    pg::Params made;
    made.integers(segments).bigints(profiles).optional_texts(keys).timestamps(from).timestamps(to);
    made.optional_texts(decisions);
    return made;
  }
  bool empty() const { return segments.empty(); }
  std::size_t size() const { return segments.size(); }
};

struct Errors {
  std::vector<std::int32_t> segments, cleared_segments;
  std::vector<std::int64_t> profiles, cleared_profiles;
  std::vector<std::string> states, messages;
  std::vector<Timestamp> at;
};

using Part = StoredPeople::Part;
using Parts = std::vector<std::pair<std::int64_t, const Part *>>; // people in order

// All ranges of a person that reach an instant: what a person has is few rows.
void read_by_sql(const Parts &parts, Stored &stored) {
  static pg::Statement read(
      "SELECT m.segment_id, m.profile_id, m.key, m.entered_at, m.left_at, m.decision_seq, m.ctid FROM "
      "unnest($1::int8[], $2::timestamptz[]) AS p (profile_id, start) CROSS JOIN LATERAL (SELECT o.ctid, o.* "
      "FROM cdp.memberships AS o WHERE o.profile_id = p.profile_id AND o.left_at >= p.start "
      "OFFSET 0) AS m",
      pg::few_keys);
  std::vector<std::int64_t> profiles;
  std::vector<Timestamp> from;
  std::unordered_map<std::int64_t, const Part *> asked(parts.begin(), parts.end());
  for (const auto &[profile, part] : parts) {
    profiles.push_back(profile);
    from.push_back(part->from);
  }
  auto rows = read.run(pg::Params().bigints(profiles).timestamps(from));
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto &segments = asked.at(rows.bigint(i, 2))->segments;
    if (!std::binary_search(segments.begin(), segments.end(), rows.integer(i, 1)))
      continue;
    const bool has_key = !rows.is_null(i, 3), has_decision = !rows.is_null(i, 6);
    stored.add({rows.bigint(i, 2), rows.integer(i, 1), has_key, has_decision,
                has_key ? rows.view(i, 3) : std::string_view(), rows.timestamp(i, 4), rows.timestamp(i, 5),
                has_decision ? rows.bigint(i, 6) : 0, rows.place(i, 7)});
  }
}

// The same by the index alone. False: it is not there.
bool read_by_person(const Parts &parts, Stored &stored) {
  pg::show_own_writes();
  const pg::Moment moment;
  pg::KeyScan scan(moment, "cdp", "memberships", "memberships_person",
                   {{"segment_id", INT4OID},
                    {"key", TEXTOID},
                    {"entered_at", TIMESTAMPTZOID},
                    {"left_at", TIMESTAMPTZOID},
                    {"decision_seq", INT8OID}});
  for (auto part = parts.begin(); scan.usable() && part != parts.end(); ++part)
    scan.each_of({pg::bigint_part(part->first)}, part->second->segments,
                 [&](const pg::Cells &row, std::size_t) {
                   if (row.timestamp(3) >= part->second->from)
                     stored.add({part->first, row.integer(0), !row.is_null(1), !row.is_null(4),
                                 row.is_null(1) ? std::string_view() : row.text(1), row.timestamp(2),
                                 row.timestamp(3), row.is_null(4) ? 0 : row.bigint(4), row.place()});
                 });
  return scan.usable();
}

#define THE_ROWS                                                                                             \
  "unnest($1::int4[], $2::int8[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::text[], $7::tid[]) " \
  "AS u (segment_id, profile_id, key, entered_at, left_at, decision_seq, place) "                            \
  "WHERE m.profile_id = u.profile_id AND m.key IS NOT DISTINCT FROM u.key "
// Where it was read: it is still there, since whoever writes holds the person's lock, unless it was updated
// by hand meanwhile.
#define AT_ITS_PLACE "AND m.ctid = u.place AND m.segment_id = u.segment_id AND m.entered_at = u.entered_at"
// By the person: thousands may have entered a segment at one instant. Said by rows, so that no index that
// begins with the segment can be taken, whatever the statistics say.
#define BY_ITS_KEY                                                                                           \
  "AND (m.profile_id, m.segment_id, m.entered_at) >= (u.profile_id, u.segment_id, u.entered_at) "            \
  "AND (m.profile_id, m.segment_id, m.entered_at) <= (u.profile_id, u.segment_id, u.entered_at)"
#define REMOVE "DELETE FROM cdp.memberships AS m USING " THE_ROWS
#define UPDATE                                                                                               \
  "UPDATE cdp.memberships AS m SET left_at = u.left_at, decision_seq = u.decision_seq::int8 FROM " THE_ROWS

void write(const Columns &removed, const Columns &updated, const Columns &inserted) {
  static pg::Statement remove(REMOVE BY_ITS_KEY, pg::few_keys), update(UPDATE BY_ITS_KEY, pg::few_keys);
  static pg::Statement remove_there(REMOVE AT_ITS_PLACE, pg::few_keys),
      update_there(UPDATE AT_ITS_PLACE, pg::few_keys);
  static pg::Statement insert(
      "INSERT INTO cdp.memberships (segment_id, profile_id, key, entered_at, left_at, decision_seq) "
      "SELECT segment_id, profile_id, key, entered_at, left_at, decision_seq::int8 FROM "
      "unnest($1::int4[], $2::int8[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::text[]) "
      "AS u (segment_id, profile_id, key, entered_at, left_at, decision_seq)");
  const auto change = [](pg::Statement &there, pg::Statement &by_key, const Columns &rows) {
    if (rows.empty())
      return;
    const bool has_places = rows.places.size() == rows.size();
    auto params = rows.params();
    params.places(rows.places);
    if (!has_places || there.run(params).size() < rows.size())
      by_key.run(params);
  };
  change(remove_there, remove, removed);
  pg::write_log_ahead();
  change(update_there, update, updated);
  pg::write_log_ahead();
  if (!inserted.empty())
    insert.run(inserted.params());
  pg::write_log_ahead();
}

void write(const Errors &errors) {
  static pg::Statement clear("DELETE FROM cdp.segment_errors AS e USING unnest($1::int4[], $2::int8[]) "
                             "AS u (segment_id, profile_id) WHERE e.segment_id = u.segment_id "
                             "AND e.profile_id = u.profile_id");
  static pg::Statement record(
      "INSERT INTO cdp.segment_errors (segment_id, profile_id, sqlstate, message, failed_at) "
      "SELECT segment_id, nullif(profile_id, 0), sqlstate, message, failed_at FROM "
      "unnest($1::int4[], $2::int8[], $3::text[], $4::text[], $5::timestamptz[]) "
      "AS u (segment_id, profile_id, sqlstate, message, failed_at) ON CONFLICT (segment_id, profile_id) "
      "DO UPDATE SET sqlstate = excluded.sqlstate, message = excluded.message, failed_at = "
      "excluded.failed_at");
  if (!errors.cleared_segments.empty() && anybody_failed())
    clear.run(pg::Params().integers(errors.cleared_segments).bigints(errors.cleared_profiles));
  if (!errors.segments.empty())
    record.run(pg::Params()
                   .integers(errors.segments)
                   .bigints(errors.profiles)
                   .texts(errors.states)
                   .texts(errors.messages)
                   .timestamps(errors.at));
}

void add_error(Errors &errors, std::int32_t segment, std::int64_t profile, const pg::Failure &failure,
               Timestamp at) {
  errors.segments.push_back(segment);
  errors.profiles.push_back(profile);
  errors.states.emplace_back(unpack_sql_state(failure.sqlstate));
  errors.messages.push_back(failure.message);
  errors.at.push_back(at);
}

// The course with its end, if the person was merged away. Of a broken rule only ends count.
const Course &whole(const Found &segment, const Person &person, Course &made) {
  if (!segment.broken && !person.ended)
    return person.course;
  made = segment.broken ? Course() : person.course;
  if (person.ended)
    made.end(*person.ended);
  return made;
}

} // namespace

Range Stored::Row::range() const {
  return {has_key ? Key(key_text) : Key(), from, to, has_decision ? std::optional(decision) : std::nullopt};
}

void Stored::add(Row row) {
  if (row.has_key) {
    auto *copy = static_cast<char *>(memory_->allocate(row.key_text.size(), 1));
    row.key_text.copy(copy, row.key_text.size());
    row.key_text = {copy, row.key_text.size()};
  }
  rows_.push_back(row);
}

void Stored::forget(const std::unordered_set<std::int64_t> &people) {
  std::erase_if(rows_, [&](const Row &row) { return people.contains(row.profile_id); });
}

// Their people first, which is less to move about than rows.
void Stored::finish() {
  std::vector<std::pair<std::int64_t, std::uint32_t>> people;
  people.reserve(rows_.size());
  for (const auto &row : rows_)
    people.emplace_back(row.profile_id, people.size());
  std::sort(people.begin(), people.end());
  std::vector<Row> sorted;
  sorted.reserve(rows_.size());
  for (const auto &[profile_id, place] : people)
    sorted.push_back(rows_[place]);
  const auto before = [](const Row &a, const Row &b) {
    return a.segment_id != b.segment_id ? a.segment_id < b.segment_id
                                        : std::tuple(a.key(), a.from) < std::tuple(b.key(), b.from);
  };
  for (auto first = sorted.begin(), next = first; first != sorted.end(); first = next) {
    while (next != sorted.end() && next->profile_id == first->profile_id)
      ++next;
    std::sort(first, next, before);
  }
  rows_ = std::move(sorted);
}

Stored::Rows Stored::of(std::int64_t profile_id) const {
  const auto first = std::partition_point(rows_.begin(), rows_.end(),
                                          [&](const Row &row) { return row.profile_id < profile_id; });
  auto last = first;
  while (last != rows_.end() && last->profile_id == profile_id)
    ++last;
  return {first, last};
}

Stored::Rows Stored::of(std::int64_t profile_id, std::int32_t segment_id) const {
  const auto rows = of(profile_id);
  const auto first = std::partition_point(rows.begin(), rows.end(),
                                          [&](const Row &row) { return row.segment_id < segment_id; });
  auto last = first;
  while (last != rows.end() && last->segment_id == segment_id)
    ++last;
  return {first, last};
}

Stored Stored::of_everybody(std::vector<std::int32_t> segments, Timestamp at) {
  std::sort(segments.begin(), segments.end());
  Stored stored;
  const pg::Moment moment;
  pg::TableScan scan(moment, "cdp", "memberships",
                     {{"segment_id", INT4OID},
                      {"profile_id", INT8OID},
                      {"key", TEXTOID},
                      {"entered_at", TIMESTAMPTZOID},
                      {"left_at", TIMESTAMPTZOID},
                      {"decision_seq", INT8OID}});
  scan.each([&](const pg::Cells &row) {
    if (row.timestamp(4) >= at && std::binary_search(segments.begin(), segments.end(), row.integer(0)))
      stored.add({row.bigint(1), row.integer(0), !row.is_null(2), !row.is_null(5),
                  row.is_null(2) ? std::string_view() : row.text(2), row.timestamp(3), row.timestamp(4),
                  row.is_null(5) ? 0 : row.bigint(5)});
  });
  return stored;
}

bool StoredPeople::Part::covers(const Part &other) const {
  return from <= other.from &&
         std::includes(segments.begin(), segments.end(), other.segments.begin(), other.segments.end());
}

// Whoever was read in part is read anew.
void StoredPeople::read(Parts parts) {
  std::unordered_set<std::int64_t> again;
  std::vector<std::pair<std::int64_t, const Part *>> missing;
  for (auto &[person, part] : parts) {
    std::sort(part.segments.begin(), part.segments.end());
    part.segments.erase(std::unique(part.segments.begin(), part.segments.end()), part.segments.end());
    const auto [known, is_new] = read_.try_emplace(person, part);
    auto &[from, segments] = known->second;
    if (!is_new && known->second.covers(part))
      continue;
    missing.emplace_back(person, &known->second);
    if (is_new)
      continue;
    again.insert(person);
    from = std::min(from, part.from);
    std::vector<std::int32_t> joined;
    std::set_union(segments.begin(), segments.end(), part.segments.begin(), part.segments.end(),
                   std::back_inserter(joined));
    segments = std::move(joined);
  }
  if (missing.empty())
    return;
  if (!again.empty())
    rows_.forget(again);
  std::sort(missing.begin(), missing.end());
  if (!read_by_person(missing, rows_))
    read_by_sql(missing, rows_);
  rows_.finish();
}

bool anybody_failed() {
  static pg::Statement any("SELECT EXISTS (SELECT FROM cdp.segment_errors WHERE profile_id IS NOT NULL)");
  return any.run().boolean(0, 1);
}

namespace {

// From when on each is known, and of which segments.
StoredPeople::Parts parts_of(const std::vector<Found> &found) {
  StoredPeople::Parts parts;
  Course made;
  for (const auto &segment : found)
    for (const auto &[profile, person] : segment.people)
      if (const auto &course = whole(segment, person, made); !course.empty())
        parts[profile].add(course.start(), segment.segment_id);
  return parts;
}

Errors errors_of(const std::vector<Found> &found) {
  Errors errors;
  for (const auto &segment : found) {
    if (segment.broken)
      add_error(errors, segment.segment_id, 0, *segment.broken, segment.failed_at);
    for (const auto &[profile, person] : segment.people) {
      if (segment.broken)
        continue;
      if (person.failure && !person.ended) {
        add_error(errors, segment.segment_id, profile, *person.failure, person.failed_at);
      } else {
        errors.cleared_segments.push_back(segment.segment_id);
        errors.cleared_profiles.push_back(profile);
      }
    }
  }
  return errors;
}

struct Written {
  std::int32_t segment_id;
  std::int64_t profile_id;
  Change change;
  const Stored::Row *row; // nullptr: there is none, or it is not known where
};

std::vector<Written> changes_of(const std::vector<Found> &found, const Stored &stored) {
  Course made;
  std::vector<Written> changes;
  for (const auto &segment : found) {
    for (const auto &[profile, person] : segment.people) {
      const auto &course = whole(segment, person, made);
      if (course.empty())
        continue;
      std::vector<Range> rows;
      const auto all = stored.of(profile, segment.segment_id);
      for (const auto &row : all)
        if (row.to >= course.start())
          rows.push_back(row.range());
      for (auto &change : course.compare(rows)) {
        const auto row = std::find_if(all.begin(), all.end(), [&](const Stored::Row &one) {
          return one.from == change.row.from && one.key() == change.row.key;
        });
        const bool known =
            change.kind != Change::insert && row != all.end() && ItemPointerIsValid(&row->place);
        changes.push_back({segment.segment_id, profile, std::move(change), known ? &*row : nullptr});
      }
    }
  }
  // A person's rows lie together: whoever reads what the person is in visits few pages.
  std::sort(changes.begin(), changes.end(), [](const Written &a, const Written &b) {
    return std::tie(a.profile_id, a.segment_id, a.change.row.from) <
           std::tie(b.profile_id, b.segment_id, b.change.row.from);
  });
  return changes;
}

std::int64_t write(const std::vector<Written> &changes) {
  Columns removed, updated, inserted;
  for (const auto &[segment_id, profile_id, change, row] : changes) {
    auto &columns = change.kind == Change::insert   ? inserted
                    : change.kind == Change::update ? updated
                                                    : removed;
    columns.add(segment_id, profile_id, change.row, row ? &row->place : nullptr);
  }
  write(removed, updated, inserted);
  return static_cast<std::int64_t>(changes.size());
}

} // namespace

std::int64_t store_found(const std::vector<Found> &found, StoredPeople stored) {
  auto parts = parts_of(found);
  const auto errors = errors_of(found);
  if (parts.empty() && errors.segments.empty() && errors.cleared_segments.empty())
    return 0;
  pg::Session session;
  stored.read(std::move(parts));
  const auto changed = write(changes_of(found, stored.rows()));
  write(errors);
  return changed;
}

std::int64_t store_found(const std::vector<Found> &found, const Stored &stored) {
  const auto changes = changes_of(found, stored);
  const auto errors = errors_of(found);
  if (changes.empty() && errors.segments.empty() && errors.cleared_segments.empty())
    return 0;
  pg::Session session;
  const auto changed = write(changes);
  write(errors);
  return changed;
}

} // namespace cdp::segment
