#include "identity/types.hpp"

#include <algorithm>
#include <cstring>

#include "core/junk.hpp"

#include "pg/scan.hpp"
#include "pg/spi.hpp"

namespace cdp::identity {

namespace {

core::Sharing sharing_from(const std::optional<std::string> &name) {
  if (!name)
    return core::Sharing::personal;
  if (*name == "first")
    return core::Sharing::first;
  if (*name == "latest")
    return core::Sharing::latest;
  return *name == "none" ? core::Sharing::none : core::Sharing::joins;
}

std::vector<std::string> split(const std::string &joined) {
  std::vector<std::string> parts;
  for (std::size_t start = 0; start <= joined.size();) {
    const auto end = std::min(joined.find('\x01', start), joined.size());
    parts.push_back(joined.substr(start, end - start));
    start = end + 1;
  }
  return parts;
}

Types read(pg::Statement &select) {
  Types types;
  auto rows = select.run();
  for (std::size_t i = 0; i < rows.size(); ++i) {
    auto &type = types[rows.text(i, 1)];
    type.normalizer = core::normalizer_from(rows.text(i, 2)).value_or(core::Normalizer::text);
    type.priority = rows.integer(i, 3);
    type.default_region = rows.optional_text(i, 4).value_or("");
    type.rule.unique = rows.boolean(i, 5);
    type.rule.max_values = rows.integer(i, 6);
    type.rule.within = rows.bigint(i, 7);
    type.rule.sharing = sharing_from(rows.optional_text(i, 8));
    type.blocks_junk = rows.boolean(i, 9);
    if (auto patterns = rows.optional_text(i, 10); patterns && type.blocked_patterns.empty())
      for (auto &pattern : split(*patterns))
        type.blocked_patterns.push_back(std::move(pattern));
    if (auto value = rows.optional_text(i, 11))
      type.blocked_values.insert(*value);
  }
  std::uint32_t index = 0;
  for (auto &[name, type] : types)
    type.index = index++;
  return types;
}

// A row a blocked value, and one for a type without any.
#define CDP_TYPE_COLUMNS                                                                                     \
  "SELECT type, normalizer, priority, default_region, is_unique, coalesce(max_values, 0), "                  \
  "coalesce((pg_catalog.date_part('epoch', within) * 1000000)::pg_catalog.int8, 0), sharing, blocks_junk, "  \
  "pg_catalog.array_to_string(nullif(blocked_patterns, '{}'), pg_catalog.chr(1)), blocked FROM "
#define CDP_TYPE_VALUES " AS t LEFT JOIN pg_catalog.unnest(t.blocked_values) AS blocked ON true"

// The rows as they are, without what they hold.
struct Version {
  Oid table = InvalidOid;
  std::vector<std::pair<TransactionId, ItemPointerData>> rows;
  bool is_own = false; // this transaction wrote some, and places may be used again before it ends

  bool operator==(const Version &other) const {
    return table == other.table &&
           std::equal(rows.begin(), rows.end(), other.rows.begin(), other.rows.end(),
                      [](const auto &a, const auto &b) {
                        return a.first == b.first && std::memcmp(&a.second, &b.second, sizeof a.second) == 0;
                      });
  }
};

Version version_now() {
  Version version{pg::table_named("cdp", "identifier_types"), {}, false};
  pg::show_own_writes();
  const pg::Moment moment;
  pg::TableScan(moment, "cdp", "identifier_types", {}).each([&](const pg::Cells &row) {
    version.rows.emplace_back(row.written_by(), row.place());
    version.is_own = version.is_own || TransactionIdIsCurrentTransactionId(row.written_by());
  });
  return version;
}

// Read anew when somebody changed them.
std::shared_ptr<const Types> applied_types() {
  static pg::Statement select(CDP_TYPE_COLUMNS "cdp.identifier_types" CDP_TYPE_VALUES);
  static auto &of = *new Version;
  static auto &kept = *new std::shared_ptr<const Types>;
  auto now = version_now();
  if (kept && !now.is_own && now == of)
    return kept;
  auto types = std::make_shared<const Types>(read(select));
  if (!now.is_own) {
    of = std::move(now);
    kept = types;
  }
  return types;
}

} // namespace

std::shared_ptr<const Types> find_types(const std::set<std::string> &names) {
  auto types = applied_types();
  std::vector<std::string> missing; // sorted, so that two callers cannot wait for each other
  for (const auto &name : names)
    if (!types->contains(name))
      missing.push_back(name);
  if (missing.empty())
    return types;
  static pg::Statement insert("SELECT cdp_internal.register_identifier_types($1)");
  insert.run(pg::Params().texts(missing));
  return applied_types();
}

Types pending_types() {
  static pg::Statement select(
      CDP_TYPE_COLUMNS
      "(SELECT a.type, a.normalizer, a.priority, a.default_region, a.is_unique, a.max_values, a.within, "
      "a.sharing, a.blocks_junk, a.blocked_values, a.blocked_patterns FROM cdp.identifier_types AS a "
      "WHERE NOT EXISTS (SELECT FROM cdp.pending_identifier_types AS p WHERE p.type = a.type) UNION ALL "
      "SELECT p.type, p.normalizer, p.priority, p.default_region, p.is_unique, p.max_values, p.within, "
      "p.sharing, p.blocks_junk, p.blocked_values, p.blocked_patterns FROM cdp.pending_identifier_types AS "
      "p)" CDP_TYPE_VALUES);
  return read(select);
}

#undef CDP_TYPE_COLUMNS
#undef CDP_TYPE_VALUES

std::vector<core::TypeRule> rules_of(const Types &types) {
  std::vector<core::TypeRule> rules(types.size());
  for (const auto &[name, type] : types)
    rules[type.index] = type.rule;
  return rules;
}

std::optional<std::string> blocked_reason(const std::string &name, const Type &type,
                                          const std::string &value) {
  if (type.blocked_values.contains(value))
    return "it is a blocked value of its type";
  if (type.blocks_junk)
    if (auto why = core::junk_reason(name, value))
      return "it is junk: " + std::string(*why);
  return std::nullopt;
}

} // namespace cdp::identity
