#include "pipeline/ready.hpp"

namespace cdp::pipeline {

namespace {

std::optional<pg_uuid_t> read_secret() {
  static pg::Statement select("SELECT value FROM cdp.secrets WHERE name = 'public_id'");
  auto rows = select.run();
  return rows.size() == 0 ? std::nullopt : std::optional(rows.uuid(0, 1));
}

} // namespace

pg_uuid_t make_ready() {
  static pg::Statement lock("LOCK TABLE cdp.segments IN ROW SHARE MODE");
  lock.run();
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
