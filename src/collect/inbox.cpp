#include "collect/inbox.hpp"

#include <chrono>
#include <unordered_set>

#include "pg/delete_rows.hpp"
#include "pg/scan.hpp"
#include "pg/spi.hpp"

namespace cdp::collect {

namespace {

using std::chrono::steady_clock;
using namespace std::chrono_literals;

enum Column { source, import, received_at, message, line, inbox_id };
constexpr std::initializer_list<pg::ScannedTable::Column> kColumns = {
    {"source", TEXTOID},  {"import", TEXTOID}, {"received_at", TIMESTAMPTZOID},
    {"message", TEXTOID}, {"line", INT8OID},   {"inbox_id", INT8OID}};

// Where lines were found last, while there are any. What was deleted before it is still in the index until
// the next VACUUM, and going over it again for every batch costs the square of a backlog. A line with a lower
// number that was committed later waits until all is looked at again: for a second, or until there are no
// others.
struct Floor {
  Oid storage = InvalidOid;
  std::int64_t id = 0;
  steady_clock::time_point until;
} last_found;

Incoming line_of(const pg::Cells &row) {
  Incoming incoming{std::string(row.text(source)), std::nullopt, row.timestamp(received_at), {}};
  if (!row.is_null(message))
    incoming.text = row.text(message);
  if (!row.is_null(import))
    incoming.import = row.text(import);
  if (!row.is_null(line))
    incoming.line = row.bigint(line);
  return incoming;
}

using Places = std::unordered_set<std::uint64_t>;

Oldest read_from(std::optional<std::int64_t> from, std::int32_t most, std::size_t most_bytes,
                 const Places &but) {
  Oldest oldest;
  oldest.lines.reserve(static_cast<std::size_t>(most));
  oldest.places.reserve(static_cast<std::size_t>(most));
  std::size_t bytes = 0;
  bool first = true;
  const pg::Moment moment;
  pg::IndexScan scan(moment, "cdp", "inbox", "inbox_pkey", kColumns, from);
  scan.each([&](const pg::Cells &row) {
    if (std::exchange(first, false)) // one at a place left out, too: it may have to be read again
      last_found.id = row.bigint(inbox_id);
    if (!but.empty() && but.contains(number_of(row.place())))
      return true;
    oldest.places.push_back(row.place());
    oldest.lines.push_back(line_of(row));
    bytes += oldest.lines.back().text.size();
    return bytes < most_bytes && oldest.lines.size() < static_cast<std::size_t>(most);
  });
  return oldest;
}

} // namespace

std::uint64_t number_of(const ItemPointerData &place) {
  return std::uint64_t{ItemPointerGetBlockNumberNoCheck(&place)} << 16 |
         ItemPointerGetOffsetNumberNoCheck(&place);
}

void lock_inbox() {
  pg::run_once("LOCK TABLE cdp.inbox IN ROW EXCLUSIVE MODE");
}

// One line alone is the very oldest: who asks for it says so of it.
Oldest read_inbox(std::int32_t most, std::size_t most_bytes, const std::vector<ItemPointerData> &but) {
  if (most <= 0)
    return {};
  Places skipped;
  for (const auto &place : but)
    skipped.insert(number_of(place));
  const auto storage = pg::storage_of("cdp", "inbox");
  if (most > 1 && last_found.storage == storage && steady_clock::now() < last_found.until)
    if (auto oldest = read_from(last_found.id, most, most_bytes, skipped); !oldest.lines.empty())
      return oldest;
  last_found.until = steady_clock::now() + 1s;
  auto oldest = read_from(std::nullopt, most, most_bytes, skipped);
  last_found.storage = oldest.lines.empty() ? InvalidOid : storage;
  return oldest;
}

Oldest read_inbox(const std::vector<ItemPointerData> &places) {
  Oldest oldest;
  oldest.lines.reserve(places.size());
  oldest.places.reserve(places.size());
  const pg::Moment moment;
  pg::PlaceScan(moment, "cdp", "inbox", kColumns).each(places, [&](const pg::Cells &row) {
    oldest.places.push_back(row.place());
    oldest.lines.push_back(line_of(row));
  });
  return oldest;
}

namespace {

bool erase_by_sql(const std::vector<ItemPointerData> &places) {
  static pg::Statement statement("DELETE FROM cdp.inbox WHERE ctid = ANY ($1)");
  return statement.run(pg::Params().places(places)).size() == places.size();
}

} // namespace

void erase_inbox(const std::vector<ItemPointerData> &places) {
  const auto deleted = pg::delete_rows("cdp", "inbox", places);
  if (deleted == pg::Deleted::some || (deleted == pg::Deleted::none && !erase_by_sql(places)))
    throw Error(ERRCODE_T_R_SERIALIZATION_FAILURE, "a line of the inbox was changed while it was decided", "",
                "It is decided again as it is now.");
}

} // namespace cdp::collect
