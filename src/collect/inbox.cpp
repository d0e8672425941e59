#include "collect/inbox.hpp"

#include "pg/delete_rows.hpp"
#include "pg/scan.hpp"
#include "pg/spi.hpp"

namespace cdp::collect {

namespace {

enum Column { source, import, received_at, message, line };

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

} // namespace

Oldest read_inbox(std::int32_t most, std::size_t most_bytes) {
  Oldest oldest;
  if (most <= 0)
    return oldest;
  oldest.lines.reserve(static_cast<std::size_t>(most));
  oldest.places.reserve(static_cast<std::size_t>(most));
  std::size_t bytes = 0;
  const pg::Moment moment;
  pg::IndexScan scan(moment, "cdp", "inbox", "inbox_pkey",
                     {{"source", TEXTOID},
                      {"import", TEXTOID},
                      {"received_at", TIMESTAMPTZOID},
                      {"message", TEXTOID},
                      {"line", INT8OID}});
  scan.each([&](const pg::Cells &row) {
    oldest.places.push_back(row.place());
    oldest.lines.push_back(line_of(row));
    bytes += oldest.lines.back().text.size();
    return bytes < most_bytes && oldest.lines.size() < static_cast<std::size_t>(most);
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
