#include <algorithm>
#include <map>
#include <set>

#include "collect/candidate.hpp"

namespace cdp::collect {

namespace {

using Key = std::pair<std::int32_t, pg_uuid_t>;

struct KeyLess {
  bool operator()(const Key &a, const Key &b) const {
    return a.first != b.first ? a.first < b.first : pg::operator<(a.second, b.second);
  }
};
using HashByKey = std::map<Key, pg_uuid_t, KeyLess>;

// The keys nobody had, now ours; whoever claims the same at this moment waits for our commit.
std::set<Key, KeyLess> claim(const HashByKey &wanted) {
  std::vector<std::int32_t> sources;
  std::vector<pg_uuid_t> keys, hashes;
  for (const auto &[key, hash] : wanted) {
    sources.push_back(key.first);
    keys.push_back(key.second);
    hashes.push_back(hash);
  }
  static pg::Statement insert("INSERT INTO cdp.message_keys (source_id, message_key, content_hash) "
                              "SELECT * FROM unnest($1, $2, $3) ON CONFLICT DO NOTHING "
                              "RETURNING source_id, message_key");
  pg::Params params;
  params.integers(sources).uuids(keys).uuids(hashes);
  auto rows = insert.run(params);
  std::set<Key, KeyLess> claimed;
  for (std::size_t i = 0; i < rows.size(); ++i)
    claimed.emplace(rows.integer(i, 1), rows.uuid(i, 2));
  return claimed;
}

// What came first under the keys that were taken.
HashByKey known_hashes(const HashByKey &wanted, const std::set<Key, KeyLess> &claimed) {
  std::vector<std::int32_t> sources;
  std::vector<pg_uuid_t> keys;
  for (const auto &[key, hash] : wanted) {
    if (claimed.contains(key))
      continue;
    sources.push_back(key.first);
    keys.push_back(key.second);
  }
  HashByKey known;
  if (keys.empty())
    return known;
  static pg::Statement select("SELECT k.source_id, k.message_key, k.content_hash "
                              "FROM unnest($1, $2) AS w (source_id, message_key) "
                              "JOIN cdp.message_keys AS k USING (source_id, message_key)",
                              pg::few_keys);
  pg::Params params;
  params.integers(sources).uuids(keys);
  auto rows = select.run(params);
  for (std::size_t i = 0; i < rows.size(); ++i)
    known.emplace(Key(rows.integer(i, 1), rows.uuid(i, 2)), rows.uuid(i, 3));
  return known;
}

// A message of a batch, together with what the batch said for all: it can be retried alone.
std::string with_defaults(const Candidate &candidate) {
  const auto &defaults = candidate.defaults;
  if (defaults.context.empty() && defaults.sent_at.empty() && defaults.integrations.empty())
    return candidate.text;
  std::string batch = "{\"batch\": [" + candidate.text + "]";
  if (!defaults.context.empty())
    batch += ", \"context\": " + defaults.context;
  if (!defaults.sent_at.empty())
    batch += ", \"sentAt\": \"" + defaults.sent_at + '"';
  if (!defaults.integrations.empty())
    batch += ", \"integrations\": " + defaults.integrations;
  return batch + "}";
}

} // namespace

namespace {

void look_up_sources(const std::vector<std::string> &names, std::map<std::string, std::int32_t> &ids) {
  static pg::Statement select("SELECT source, source_id FROM cdp.sources WHERE source = ANY ($1)");
  auto rows = select.run(pg::Params().texts(names));
  for (std::size_t i = 0; i < rows.size(); ++i)
    ids[rows.text(i, 1)] = rows.integer(i, 2);
}

// Ids in order of appearance, rows in order of name: two callers wait for each other in one direction only.
void register_sources(const std::vector<std::string> &names) {
  static pg::Statement insert(
      "INSERT INTO cdp.sources (source_id, source) SELECT n.id, n.source FROM ("
      "  SELECT pg_catalog.nextval('cdp.sources_source_id_seq')::pg_catalog.int4 AS id, s.source"
      "  FROM pg_catalog.unnest($1) AS s (source) OFFSET 0) AS n "
      "ORDER BY n.source COLLATE \"C\" ON CONFLICT DO NOTHING");
  insert.run(pg::Params().texts(names));
}

} // namespace

void find_sources(std::vector<Candidate> &candidates, const std::vector<Incoming> &lines) {
  std::map<std::string, std::int32_t> ids;
  std::vector<std::string> names; // in order of appearance
  for (const auto &candidate : candidates) {
    if (candidate.fate != Fate::open)
      continue;
    const auto &name = lines[candidate.incoming].source;
    if (ids.emplace(name, 0).second)
      names.push_back(name);
  }
  if (names.empty())
    return;
  look_up_sources(names, ids);
  std::erase_if(names, [&](const std::string &name) { return ids[name] != 0; });
  if (!names.empty()) {
    register_sources(names);
    look_up_sources(names, ids);
  }
  for (auto &candidate : candidates)
    if (candidate.fate == Fate::open)
      candidate.source_id = ids.at(lines[candidate.incoming].source);
}

void claim_keys(std::vector<Candidate> &candidates) {
  HashByKey wanted; // of repeats inside the batch the first one counts
  for (const auto &candidate : candidates)
    if (candidate.fate == Fate::open)
      wanted.emplace(Key(candidate.source_id, candidate.key), candidate.content_hash);
  if (wanted.empty())
    return;
  auto claimed = claim(wanted);
  auto known = known_hashes(wanted, claimed);
  for (auto &candidate : candidates) {
    if (candidate.fate != Fate::open)
      continue;
    const Key key(candidate.source_id, candidate.key);
    if (claimed.erase(key)) {
      candidate.fate = Fate::accepted;
      continue;
    }
    const auto before = known.find(key);
    const auto &hash = before != known.end() ? before->second : wanted.at(key);
    if (pg::operator==(hash, candidate.content_hash))
      candidate.fate = Fate::duplicate;
    else
      candidate.quarantine({"conflicting_content", "this messageId came before with other content",
                            candidate.message.message_id, candidate.message.message_id});
  }
}

void write_quarantine(const std::vector<Candidate> &candidates, const std::vector<Incoming> &lines) {
  std::vector<std::string> sources, texts, codes, reasons;
  std::vector<std::optional<std::string>> imports, message_ids, details;
  std::vector<Timestamp> received;
  auto optional = [](const std::string &text) { return text.empty() ? std::nullopt : std::optional(text); };
  for (const auto &candidate : candidates) {
    if (candidate.fate != Fate::quarantined)
      continue;
    const auto &line = lines[candidate.incoming];
    sources.push_back(line.source);
    imports.push_back(line.import);
    received.push_back(line.received_at);
    texts.push_back(with_defaults(candidate));
    message_ids.push_back(optional(candidate.refusal.message_id));
    codes.push_back(candidate.refusal.code);
    reasons.push_back(candidate.refusal.reason);
    details.push_back(optional(candidate.refusal.detail));
  }
  if (texts.empty())
    return;
  static pg::Statement insert(
      "INSERT INTO cdp.quarantine (source, import, received_at, message, message_id, code, reason, detail) "
      "SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8)");
  pg::Params params;
  params.texts(sources).optional_texts(imports).timestamps(received).texts(texts);
  params.optional_texts(message_ids).texts(codes).texts(reasons).optional_texts(details);
  insert.run(params);
}

} // namespace cdp::collect
