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

// Where to go on, while there are any. What was deleted before is still in the index until the next VACUUM,
// and going over it again for every batch costs the square of a backlog. A line with a lower number that was
// committed later waits until all is looked at again: for a second, or until there are no others. Not so
// those of a batch that failed: its transaction did not commit.
struct Next {
  Oid storage = InvalidOid;
  std::int64_t id = 0;
  TransactionId read_by = InvalidTransactionId;
  steady_clock::time_point until;

  bool holds(Oid now) const {
    return storage == now && steady_clock::now() < until && pg::has_committed(read_by);
  }
} next;

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
  const pg::Moment moment;
  pg::IndexScan scan(moment, "cdp", "inbox", "inbox_pkey", kColumns, from);
  scan.each([&](const pg::Cells &row) {
    if (!but.empty() && but.contains(number_of(row.place())))
      return true;
    next.id = row.bigint(inbox_id) + 1;
    oldest.places.push_back(row.place());
    oldest.lines.push_back(line_of(row));
    bytes += oldest.lines.back().text.size();
    return bytes < most_bytes && oldest.lines.size() < static_cast<std::size_t>(most);
  });
  if (!oldest.lines.empty())
    next.read_by = pg::current_transaction();
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
  const auto storage = pg::storage_of("cdp", "inbox");
  if (most > 1 && next.holds(storage))
    if (auto oldest = read_from(next.id, most, most_bytes, {}); !oldest.lines.empty())
      return oldest;
  next.until = steady_clock::now() + 1s;
  Places skipped;
  for (const auto &place : but)
    skipped.insert(number_of(place));
  auto oldest = read_from(std::nullopt, most, most_bytes, skipped);
  next.storage = oldest.lines.empty() ? InvalidOid : storage;
  return oldest;
}

bool lines_wait() {
  return next.storage != InvalidOid;
}

void read_anew() {
  next.storage = InvalidOid;
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
