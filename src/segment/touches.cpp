// The trigger of memberships: notes for the sequencer what a statement wrote. Statements write thousands.
#include "pg/append_rows.hpp"
#include "pg/changed_rows.hpp"
#include "pg/function.hpp"
#include "pg/spi.hpp"

#include <algorithm>

namespace {

using namespace cdp;

enum Column { kSegment, kProfile, kKey, kEntered, kLeft };

// Of a version that is being built nothing is told until it is in force, and of computed traits never: they
// are no segments.
std::vector<std::int32_t> silent_segments() {
  static pg::Statement read(
      "SELECT s.segment_id FROM cdp.segments AS s WHERE s.replaces IS NOT NULL OR s.kind "
      "= 'trait' ORDER BY 1");
  std::vector<std::int32_t> found;
  auto rows = read.run();
  for (std::size_t i = 0; i < rows.size(); ++i)
    found.push_back(rows.integer(i, 1));
  return found;
}

class Touches {
public:
  explicit Touches(FunctionCallInfo fcinfo) : fcinfo_(fcinfo), silent_(silent_segments()) {}

  pg::TransitionRows rows(pg::TransitionRows::Which which) const {
    return {fcinfo_,
            which,
            {{"segment_id", INT4OID},
             {"profile_id", INT8OID},
             {"key", TEXTOID},
             {"entered_at", TIMESTAMPTZOID},
             {"left_at", TIMESTAMPTZOID}}};
  }
  // From this instant on it may differ from what was told.
  void add(const pg::TransitionRows &rows, core::Timestamp from) {
    const auto &row = rows.row();
    if (std::binary_search(silent_.begin(), silent_.end(), row.integer(kSegment)))
      return;
    added_.push_back({from, row.bigint(kProfile), row.integer(kSegment), rows.text(kKey)});
    if (added_.size() == kMost)
      write();
  }
  void write();

private:
  static constexpr std::size_t kMost = 10'000; // rows at once
  struct Touch {
    core::Timestamp from;
    std::int64_t profile_id;
    std::int32_t segment_id;
    pg::Cell key;
  };
  void insert() const;

  FunctionCallInfo fcinfo_;
  std::vector<std::int32_t> silent_;
  std::vector<Touch> added_;
};

void Touches::write() {
  pg::RowAppend append(5);
  const Datum now = TimestampTzGetDatum(GetCurrentTransactionStartTimestamp());
  for (const auto &one : added_)
    append.add({{TimestampTzGetDatum(one.from), false},
                {Int64GetDatum(one.profile_id), false},
                {Int32GetDatum(one.segment_id), false},
                one.key,
                {now, false}});
  if (!added_.empty() && !append.write("cdp_internal", "membership_touches",
                                       {TIMESTAMPTZOID, INT8OID, INT4OID, TEXTOID, TIMESTAMPTZOID}))
    insert();
  for (const auto &one : added_)
    if (!one.key.second)
      pg::call([&] { pfree(DatumGetPointer(one.key.first)); });
  added_.clear();
}

// Where more has to be done than to form rows.
void Touches::insert() const {
  static pg::Statement write(
      "INSERT INTO cdp_internal.membership_touches (from_at, profile_id, segment_id, key) SELECT * FROM "
      "unnest($1::timestamptz[], $2::int8[], $3::int4[], $4::text[])");
  std::vector<core::Timestamp> from;
  std::vector<std::int64_t> profiles;
  std::vector<std::int32_t> segments;
  std::vector<std::optional<std::string>> keys;
  for (const auto &one : added_) {
    from.push_back(one.from);
    profiles.push_back(one.profile_id);
    segments.push_back(one.segment_id);
    const auto *key = DatumGetPointer(one.key.first);
    keys.push_back(one.key.second ? std::nullopt
                                  : std::optional(std::string(VARDATA_ANY(key), VARSIZE_ANY_EXHDR(key))));
  }
  write.run(pg::Params().timestamps(from).bigints(profiles).integers(segments).optional_texts(keys));
}

bool are_of_one(const pg::TransitionRows &a, const pg::TransitionRows &b) {
  return a.row().integer(kSegment) == b.row().integer(kSegment) &&
         a.row().bigint(kProfile) == b.row().bigint(kProfile) && a.is_same(kKey, b);
}

} // namespace

CDP_FUNCTION(cdp_touch_memberships) {
  using Which = pg::TransitionRows::Which;
  static pg::Statement touch_all(
      "INSERT INTO cdp_internal.membership_touches (from_at, profile_id, segment_id, key) "
      "SELECT DISTINCT '-infinity'::timestamptz, c.profile_id, c.segment_id, c.key "
      "FROM cdp.membership_changes AS c");
  pg::Session session;
  const auto fired = pg::fired_by(fcinfo);
  if (fired == pg::Fired::by_truncate) {
    touch_all.run();
    return PointerGetDatum(nullptr);
  }
  Touches touches(fcinfo);
  if (fired != pg::Fired::by_update) {
    auto rows = touches.rows(fired == pg::Fired::by_insert ? Which::written : Which::removed);
    while (rows.next())
      touches.add(rows, rows.row().timestamp(kEntered));
  } else {
    auto removed = touches.rows(Which::removed), written = touches.rows(Which::written);
    while (removed.next() && written.next()) {
      const auto before = removed.row().timestamp(kLeft), now = written.row().timestamp(kLeft);
      const bool is_one = are_of_one(removed, written);
      if (!is_one) // by hand only
        touches.add(removed, before);
      touches.add(written, is_one ? std::min(before, now) : now); // nothing is altered before
    }
  }
  touches.write();
  return PointerGetDatum(nullptr);
}
