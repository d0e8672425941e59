#include <algorithm>
#include <map>
#include <set>

#include "collect/candidate.hpp"
#include "core/text.hpp"
#include "pg/append_rows.hpp"

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
std::set<Key, KeyLess> insert(const HashByKey &wanted) {
  std::vector<std::int32_t> sources;
  std::vector<pg_uuid_t> keys, hashes;
  for (const auto &[key, hash] : wanted) {
    sources.push_back(key.first);
    keys.push_back(key.second);
    hashes.push_back(hash);
  }
  static pg::Statement statement("INSERT INTO cdp.message_keys (source_id, message_key, content_hash) "
                                 "SELECT * FROM unnest($1, $2, $3) ON CONFLICT DO NOTHING "
                                 "RETURNING source_id, message_key");
  pg::Params params;
  params.integers(sources).uuids(keys).uuids(hashes);
  auto rows = statement.run(params);
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

// Writes the keys that are not known, a page at a time. False: somebody claims one of them at this moment.
bool append(const HashByKey &wanted, const HashByKey &known) {
  pg::RowAppend rows(3);
  for (const auto &[key, hash] : wanted)
    if (!known.contains(key))
      rows.add({pg::integer_cell(key.first), pg::pointer_cell(&key.second), pg::pointer_cell(&hash)});
  pg::Failure failure;
  bool written = false;
  return pg::subtransaction(
             [&] {
               written = rows.write("cdp", "message_keys", {INT4OID, UUIDOID, UUIDOID});
             },
             failure) &&
         written;
}

struct Claims {
  std::set<Key, KeyLess> ours;
  HashByKey known; // what came first under the others
};

// Many are looked for before they are written: INSERT … ON CONFLICT looks, writes and confirms each.
Claims claim(const HashByKey &wanted) {
  constexpr std::size_t many = 20;
  Claims claims;
  if (wanted.size() >= many) {
    claims.known = known_hashes(wanted, {});
    if (append(wanted, claims.known)) {
      for (const auto &[key, hash] : wanted)
        if (!claims.known.contains(key))
          claims.ours.insert(claims.ours.end(), key);
      return claims;
    }
  }
  claims.ours = insert(wanted);
  claims.known = known_hashes(wanted, claims.ours);
  return claims;
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

void find_sources(std::vector<Candidate> &candidates, const std::vector<Incoming> &lines, Sources &sources) {
  std::vector<std::string> unknown; // in order of appearance
  std::set<std::string> seen;
  for (const auto &candidate : candidates)
    if (const auto &name = lines[candidate.incoming].source;
        candidate.fate == Fate::open && sources.of(name).id == 0 && seen.insert(name).second)
      unknown.push_back(name);
  if (register_sources)
    sources.add(unknown);
  for (auto &candidate : candidates)
    if (candidate.fate == Fate::open)
      candidate.source_id = sources.of(lines[candidate.incoming].source).id;
}

namespace {

// Messages that came before their source's hashes were keyed.
void find_plain(std::vector<Candidate> &candidates) {
  std::vector<std::int32_t> sources;
  std::vector<pg_uuid_t> keys, hashes;
  std::vector<std::size_t> asked;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    const auto &one = candidates[i];
    if (one.fate != Fate::open || !one.plain_key || one.known_by != KnownBy::content)
      continue;
    asked.push_back(i);
    sources.push_back(one.source_id);
    keys.push_back(*one.plain_key);
    hashes.push_back(*one.plain_hash);
  }
  if (asked.empty())
    return;
  static pg::Statement select("SELECT w.place FROM unnest($1, $2, $3) WITH ORDINALITY AS w (source_id, "
                              "message_key, content_hash, place) "
                              "JOIN cdp.message_keys AS k USING (source_id, message_key) "
                              "WHERE k.content_hash = w.content_hash",
                              pg::few_keys);
  auto rows = select.run(pg::Params().integers(sources).uuids(keys).uuids(hashes));
  for (std::size_t i = 0; i < rows.size(); ++i)
    candidates[asked[static_cast<std::size_t>(rows.bigint(i, 1)) - 1]].fate = Fate::duplicate;
}

} // namespace

void claim_keys(std::vector<Candidate> &candidates) {
  find_plain(candidates);
  for (auto &candidate : candidates)
    if (candidate.fate == Fate::open && candidate.known_by == KnownBy::own_id)
      candidate.fate = Fate::accepted; // the key is there, and its message is on its way out
  HashByKey wanted;                    // of repeats inside the batch the first one counts
  for (const auto &candidate : candidates)
    if (candidate.fate == Fate::open)
      wanted.emplace(Key(candidate.source_id, candidate.key), candidate.content_hash);
  if (wanted.empty())
    return;
  auto [claimed, known] = claim(wanted);
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
    if (pg::operator==(hash, candidate.content_hash) || pg::operator==(hash, kAnyContent) ||
        candidate.known_by == KnownBy::id)
      candidate.fate = Fate::duplicate;
    else
      candidate.quarantine({"conflicting_content", "this messageId came before with other content",
                            candidate.message.message_id, candidate.message.message_id});
  }
}

namespace {

// What no text column can hold is written as bytea is.
std::string as_text(std::string bytes) {
  if (core::is_valid_utf8(bytes) && bytes.find('\0') == std::string::npos)
    return bytes;
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string hex = "\\x";
  hex.reserve(2 + 2 * bytes.size());
  for (const unsigned char byte : bytes)
    hex += {kDigits[byte >> 4], kDigits[byte & 15]};
  return hex;
}

} // namespace

void write_quarantine(const std::vector<Candidate> &candidates, const std::vector<Incoming> &lines) {
  std::vector<std::string> sources, texts, codes, reasons;
  std::vector<std::optional<std::string>> imports, message_ids, details, hashed, came_as, numbers;
  std::vector<Timestamp> received;
  auto optional = [](const std::string &text) { return text.empty() ? std::nullopt : std::optional(text); };
  for (const auto &candidate : candidates) {
    if (candidate.fate != Fate::quarantined)
      continue;
    const auto &line = lines[candidate.incoming];
    sources.push_back(line.source);
    imports.push_back(line.import);
    received.push_back(line.received_at);
    texts.push_back(as_text(with_defaults(candidate)));
    message_ids.push_back(optional(candidate.refusal.message_id));
    codes.push_back(candidate.refusal.code);
    reasons.push_back(candidate.refusal.reason);
    details.push_back(optional(candidate.refusal.detail));
    hashed.push_back(optional(candidate.treated_as));
    came_as.push_back(candidate.knows_content && !candidate.treated_as.empty()
                          ? std::optional(pg::uuid_text(candidate.content_hash))
                          : std::nullopt);
    numbers.push_back(line.line ? std::optional(std::to_string(*line.line)) : std::nullopt);
  }
  if (texts.empty())
    return;
  static pg::Statement insert(
      "INSERT INTO cdp.quarantine (source, import, received_at, message, message_id, code, reason, detail, "
      "hashed, came_as, line) SELECT n.source, n.import, n.received_at, n.message, n.message_id, n.code, "
      "n.reason, "
      "n.detail, CASE WHEN n.hashed IS NOT NULL THEN ARRAY(SELECT "
      "pg_catalog.json_array_elements_text(n.hashed::pg_catalog.json)) END, "
      "n.came_as::pg_catalog.uuid, n.line::pg_catalog.int8 FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, "
      "$10, $11) "
      "AS n (source, import, received_at, message, message_id, code, reason, detail, hashed, came_as, line)");
  pg::Params params;
  params.texts(sources).optional_texts(imports).timestamps(received).texts(texts);
  params.optional_texts(message_ids).texts(codes).texts(reasons).optional_texts(details);
  params.optional_texts(hashed).optional_texts(came_as).optional_texts(numbers);
  insert.run(params);
}

} // namespace cdp::collect
