#include "collect/sources.hpp"

#include "core/json.hpp"

#include <set>
#include <unordered_map>
#include <utility>

#include "collect/candidate.hpp"
#include "pg/keyed_hash.hpp"
#include "pg/scan.hpp"

namespace cdp::collect {

bool register_sources = true;

namespace {

using RulesPtr = std::shared_ptr<const SourceRules>;

constexpr std::size_t kMostKept = 1000;

// By the version of a source's settings, which is never used again.
auto &kept = *new std::unordered_map<std::string, RulesPtr>;

const RulesPtr &plain_rules() {
  static const auto &plain = *new RulesPtr(std::make_shared<SourceRules>());
  return plain;
}

RulesPtr read_rules(std::int32_t id) {
  static pg::Statement select(
      "SELECT s.is_enabled, s.may_link, s.is_keyed, s.region, s.time_zone, "
      "pg_catalog.to_json(s.drops)::text, pg_catalog.to_json(s.hashes)::text, p.plan::text, p.mode, "
      "s.keeps_messages "
      "FROM cdp.sources AS s LEFT JOIN cdp.tracking_plans AS p ON p.source_id = s.source_id AND p.is_enabled "
      "WHERE s.source_id = $1");
  auto rows = select.run(pg::Params().integer(id));
  auto rules = std::make_shared<SourceRules>();
  if (rows.size() == 0)
    return rules;
  rules->is_enabled = rows.boolean(0, 1);
  rules->may_link = rows.boolean(0, 2);
  rules->is_keyed = rows.boolean(0, 3);
  rules->keeps_messages = rows.boolean(0, 10);
  rules->region = rows.optional_text(0, 4).value_or("");
  rules->time_zone = rows.optional_text(0, 5).value_or("");
  const auto paths = [&](int column) {
    std::vector<std::string> list;
    const auto array = rows.text(0, column);
    for (core::json::Cursor cursor(array); cursor.next();)
      list.push_back(core::json::unescape(cursor.value()));
    return list;
  };
  if (const auto drops = paths(6), hashes = paths(7); !drops.empty() || !hashes.empty())
    rules->treatment = std::make_shared<core::Treatment>(
        drops, hashes, [secret = hashes.empty() ? std::string() : privacy_secret()](std::string_view text) {
          return pg::hex(pg::hmac_sha256(secret, text));
        });
  if (const auto text = rows.optional_text(0, 8)) {
    auto compiled = core::TrackingPlan::compile(*text);
    if (const auto *fault = std::get_if<core::SchemaFault>(&compiled))
      throw Error(ERRCODE_INTERNAL_ERROR, "a tracking plan cannot be used",
                  fault->place + ": " + fault->reason);
    rules->plan = std::make_shared<core::TrackingPlan>(std::move(std::get<core::TrackingPlan>(compiled)));
    rules->plan_quarantines = rows.text(0, 9) == "quarantine";
  }
  return rules;
}

RulesPtr rules_of(std::int32_t id, const std::optional<std::string> &version) {
  if (!version)
    return plain_rules();
  if (const auto known = kept.find(*version); known != kept.end())
    return known->second;
  auto rules = read_rules(id);
  if (kept.size() >= kMostKept)
    kept.clear();
  kept.emplace(*version, rules);
  return rules;
}

// Ids in order of appearance, rows in order of name: two callers wait for each other in one direction only.
void register_names(const std::vector<std::string> &names) {
  static pg::Statement insert(
      "INSERT INTO cdp.sources (source_id, source) SELECT n.id, n.source FROM ("
      "  SELECT pg_catalog.nextval('cdp.sources_source_id_seq')::pg_catalog.int4 AS id, s.source"
      "  FROM pg_catalog.unnest($1) AS s (source) OFFSET 0) AS n "
      "ORDER BY n.source COLLATE \"C\" ON CONFLICT DO NOTHING");
  insert.run(pg::Params().texts(names));
}

// Whether anybody is on the list; nothing: SQL has to look.
std::optional<bool> find_suppressed(const pg::Moment &moment) {
  if (!pg::any_page("cdp_internal", "suppressions"))
    return false;
  pg::KeyScan suppressions(moment, "cdp_internal", "suppressions", "suppressions_hash", {});
  if (!suppressions.usable())
    return std::nullopt;
  bool any = false;
  suppressions.each({}, [&](const pg::Cells &) {
    any = true;
    return false;
  });
  return any;
}

} // namespace

Sources::Sources(const std::vector<Incoming> &lines) {
  std::vector<std::string> names;
  const std::string *last = nullptr;
  for (const auto &line : lines)
    if (const auto *before = std::exchange(last, &line.source); before && *before == line.source)
      continue;
    else if (by_name_.emplace(line.source, Source{0, plain_rules()}).second)
      names.push_back(line.source);
  if (!names.empty())
    look_up(names);
}

// A call is most often of one source. False: SQL has to look.
bool Sources::look_up_one(const std::string &name) {
  pg::show_own_writes();
  const pg::Moment moment;
  std::int32_t id = 0;
  std::optional<std::string> version;
  {
    pg::KeyScan sources(moment, "cdp", "sources", "sources_source_key",
                        {{"source_id", INT4OID}, {"settings", UUIDOID}});
    const auto suppressed = find_suppressed(moment);
    if (!suppressed || !sources.usable())
      return false;
    any_suppressed_ = *suppressed;
    sources.each({pg::text_part(name)}, [&](const pg::Cells &row) {
      id = row.integer(0);
      if (!row.is_null(1))
        version = pg::uuid_text(row.uuid(1));
      return false;
    });
  }
  by_name_[name] = {id, rules_of(id, version)};
  return true;
}

void Sources::look_up(const std::vector<std::string> &names) {
  if (names.size() == 1 && look_up_one(names.front()))
    return;
  static pg::Statement many(
      "SELECT w.source, coalesce(s.source_id, 0), s.settings, "
      "EXISTS (SELECT FROM cdp_internal.suppressions WHERE lifted_at IS NULL) "
      "FROM pg_catalog.unnest($1) AS w (source) LEFT JOIN cdp.sources AS s ON s.source = w.source",
      pg::few_keys);
  std::vector<std::pair<std::string, std::pair<std::int32_t, std::optional<std::string>>>> found;
  {
    auto rows = many.run(pg::Params().texts(names));
    for (std::size_t i = 0; i < rows.size(); ++i)
      found.push_back({rows.text(i, 1), {rows.integer(i, 2), rows.optional_text(i, 3)}});
    any_suppressed_ = rows.size() > 0 && rows.boolean(0, 4);
  }
  for (const auto &[name, known] : found)
    by_name_[name] = {known.first, rules_of(known.first, known.second)};
}

void Sources::add(const std::vector<std::string> &names) {
  if (names.empty())
    return;
  register_names(names);
  look_up(names);
}

std::string privacy_secret() {
  static pg::Statement select("SELECT value FROM cdp.secrets WHERE name = 'privacy'");
  auto rows = select.run();
  if (rows.size() == 0)
    throw Error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "this database has no secret to hash with", "",
                "cdp.create_source, cdp.alter_source and cdp.suppress make it.");
  const auto value = rows.uuid(0, 1);
  return {reinterpret_cast<const char *>(value.data), UUID_LEN};
}

// Found by a part of the hash; the whole is compared in a time that says nothing.
std::string source_of_key(const std::string &write_key, const std::string &source) {
  static pg::Statement select("SELECT s.source, k.key_hash FROM cdp_internal.write_keys AS k "
                              "JOIN cdp.sources AS s USING (source_id) "
                              "WHERE pg_catalog.substr(k.key_hash, 1, 8) = ($1::pg_catalog.bytea[])[1]");
  const auto hash = pg::sha256(write_key);
  const std::vector<std::string> beginning{hash.substr(0, 8)};
  auto rows = select.run(pg::Params().byteas(beginning));
  std::string found;
  for (std::size_t i = 0; i < rows.size(); ++i)
    if (pg::same_secret(rows.bytes(i, 2), hash) && (source.empty() || source == rows.text(i, 1)))
      found = rows.text(i, 1);
  if (found.empty())
    throw Error(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION, "the write key is not valid",
                source.empty() ? "It belongs to no source."
                               : "It does not belong to source \"" + source + "\".",
                "cdp.create_write_key(source) makes one.");
  return found;
}

std::string withheld(std::size_t bytes) {
  return "\"withheld: " + std::to_string(bytes) +
         " bytes that could not be read, of a source that does not store all that it sends\"";
}

std::string treated_line(const core::Treatment &treatment, const std::string &line) {
  const auto text = core::json::trim_space(line);
  if (text.size() > core::kMaxJsonBytes || core::json::validate(text, core::kMaxJsonDepth))
    return withheld(line.size());
  const auto object = [](std::string_view value) {
    return core::json::kind_of(value) == core::json::Kind::object;
  };
  auto split = core::split_batch(text);
  auto *batch = std::get_if<core::Batch>(&split);
  if (!batch)
    return withheld(line.size());
  if (object(text) && batch->messages.size() == 1 && core::json::trim_space(batch->messages[0]) == text)
    return treatment.message(text);
  std::string out = "{\"batch\": [";
  for (std::size_t i = 0; i < batch->messages.size(); ++i) {
    out += i ? ", " : "";
    out +=
        object(core::json::trim_space(batch->messages[i])) ? treatment.message(batch->messages[i]) : "null";
  }
  out += ']';
  if (const auto context = treatment.context(batch->defaults.context); !context.empty())
    out += ", \"context\": " + context;
  if (!batch->defaults.sent_at.empty())
    out += ", \"sentAt\": \"" + batch->defaults.sent_at + '"';
  return out + '}';
}

} // namespace cdp::collect
