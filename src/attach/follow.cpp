// The trigger of attached tables: in the user's transaction it writes down which rows changed, and nothing
// more.
#include "pg/changed_rows.hpp"
#include "pg/function.hpp"
#include "pg/spi.hpp"

namespace {

constexpr int kMostKeys = 1000; // of a line

} // namespace

// cdp_internal.attached_changed('attachment', 'number of key columns', key columns…, watched columns…)
CDP_FUNCTION(cdp_attached_changed) {
  using namespace cdp;
  const auto arguments = pg::trigger_arguments(fcinfo);
  if (arguments.size() < 3)
    throw Error(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED, "this trigger is made by cdp.attach_table()");
  const auto id = std::stoi(arguments[0]);
  const auto first_watched = arguments.begin() + 2 + std::stoi(arguments[1]);
  static pg::Statement insert(
      "INSERT INTO cdp_internal.attached_changes (attachment_id, kind, keys) VALUES ($1, 'rows', $2)");
  static pg::Statement note(
      "INSERT INTO cdp_internal.attached_changes (attachment_id, kind) VALUES ($1, $2)");
  pg::Session session;
  const auto changed = pg::each_changed_key(
      fcinfo, {arguments.begin() + 2, first_watched}, {first_watched, arguments.end()}, kMostKeys,
      [&](Datum keys) { insert.run(pg::Params().integer(id).datum(TEXTARRAYOID, keys)); });
  if (changed != pg::Changed::rows)
    note.run(pg::Params().integer(id).text(changed == pg::Changed::everything ? "truncate" : "unknown"));
  return PointerGetDatum(nullptr);
}
