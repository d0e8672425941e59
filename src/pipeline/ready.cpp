#include "pipeline/ready.hpp"

#include "pg/scan.hpp"

namespace cdp::pipeline {

namespace {

std::optional<pg_uuid_t> read_secret() {
  std::optional<pg_uuid_t> found;
  pg::show_own_writes();
  const pg::Moment moment;
  pg::KeyScan secrets(moment, "cdp", "secrets", "secrets_pkey", {{"value", UUIDOID}});
  if (secrets.usable()) {
    secrets.each({pg::text_part("public_id")}, [&](const pg::Cells &row) {
      found = row.uuid(0);
      return false;
    });
    return found;
  }
  static pg::Statement select("SELECT value FROM cdp.secrets WHERE name = 'public_id'");
  auto rows = select.run();
  return rows.size() == 0 ? std::nullopt : std::optional(rows.uuid(0, 1));
}

} // namespace

pg_uuid_t make_ready() {
  pg::lock_row_share("cdp", "segments");
  auto secret = read_secret();
  if (!secret) {
    pg::run_once("SELECT cdp_internal.make_ready()");
    secret = read_secret();
  }
  if (!secret)
    throw Error(ERRCODE_INTERNAL_ERROR, "cdp could not make this database ready for its first message");
  return *secret;
}

} // namespace cdp::pipeline
