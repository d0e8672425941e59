#include <algorithm>
#include <cstring>
#include <set>
#include <utility>

#include "collect/candidate.hpp"
#include "core/text.hpp"
#include "pg/append_rows.hpp"
#include "pg/scan.hpp"

namespace cdp::collect {

namespace {

// A key that is asked for, and the content that came first under it: that of this batch, until another is
// found.
struct Claim {
  std::int32_t source_id;
  pg_uuid_t key, content_hash;
  std::size_t candidate; // of this batch, the first one
  bool is_known = false, is_ours = false;

  bool operator<(const Claim &other) const {
    if (source_id != other.source_id)
      return source_id < other.source_id;
    const int order = std::memcmp(key.data, other.key.data, UUID_LEN);
    return order != 0 ? order < 0 : candidate < other.candidate;
  }
  bool is_of(std::int32_t source, const pg_uuid_t &wanted) const {
    return source_id == source && pg::operator==(key, wanted);
  }
};

// Sorted by key, each once; of repeats inside the batch the first one counts.
class Claims {
public:
  explicit Claims(const std::vector<Candidate> &candidates)
      : candidates_(candidates), claim_of_(candidates.size()) {
    for (std::size_t i = 0; i < candidates.size(); ++i)
      if (const auto &one = candidates[i]; one.fate == Fate::open)
        claims_.push_back({one.source_id, one.key, one.content_hash, i});
    std::sort(claims_.begin(), claims_.end());
    std::size_t last = 0;
    for (std::size_t i = 0; i < claims_.size(); ++i) {
      if (i > 0 && !claims_[i].is_of(claims_[last].source_id, claims_[last].key))
        claims_[++last] = claims_[i];
      claim_of_[claims_[i].candidate] = last;
    }
    claims_.resize(claims_.empty() ? 0 : last + 1);
  }
  std::size_t size() const { return claims_.size(); }

  // That of an open candidate.
  Claim &of(std::size_t candidate) { return claims_[claim_of_[candidate]]; }

  // Many are looked for before they are written: INSERT … ON CONFLICT looks, writes and confirms each.
  void settle() {
    constexpr std::size_t many = 20;
    if (size() >= many && append())
      return;
    insert();
    look_up();
  }

private:
  void look_up();
  bool append();
  bool append_some(pg::KeyScan &known, std::size_t from, std::size_t to);
  void insert();

  Claim &at(std::int32_t source, const pg_uuid_t &key) {
    return *std::partition_point(claims_.begin(), claims_.end(), [&](const Claim &claim) {
      return claim.source_id != source ? claim.source_id < source : pg::operator<(claim.key, key);
    });
  }

  const std::vector<Candidate> &candidates_;
  std::vector<Claim> claims_;
  std::vector<std::size_t> claim_of_; // a candidate each
};

// What came first under the keys that are not ours.
void Claims::look_up() {
  std::vector<std::int32_t> sources;
  std::vector<pg_uuid_t> keys;
  for (const auto &claim : claims_) {
    if (claim.is_ours)
      continue;
    sources.push_back(claim.source_id);
    keys.push_back(claim.key);
  }
  if (keys.empty())
    return;
  static pg::Statement select("SELECT k.source_id, k.message_key, k.content_hash "
                              "FROM unnest($1, $2) AS w (source_id, message_key) "
                              "JOIN cdp.message_keys AS k USING (source_id, message_key)",
                              pg::few_keys);
  auto rows = select.run(pg::Params().integers(sources).uuids(keys));
  for (std::size_t i = 0; i < rows.size(); ++i) {
    auto &claim = at(rows.integer(i, 1), rows.uuid(i, 2));
    claim.content_hash = rows.uuid(i, 3);
    claim.is_known = true;
  }
}

// Writes the keys that are not known, a page at a time. False: somebody claims one of them at this moment, or
// SQL has to write them.
bool Claims::append() {
  // Few enough for the pages of the index that were looked at to be at hand still.
  constexpr std::size_t some = 500;
  pg::Failure failure;
  const bool done = pg::subtransaction(
      [&] {
        pg::show_own_writes();
        const pg::Moment moment;
        pg::KeyScan known(moment, "cdp", "message_keys", "message_keys_pkey", {{"content_hash", UUIDOID}});
        bool can = known.usable();
        for (std::size_t from = 0; from < size() && can; from += some)
          can = append_some(known, from, std::min(from + some, size()));
        if (!can)
          throw Error(ERRCODE_WRONG_OBJECT_TYPE, "SQL has to write the keys of messages");
      },
      failure);
  for (auto &claim : claims_)
    if (done) {
      claim.is_ours = !claim.is_known;
    } else { // what was found may be gone when they are looked for again
      claim.content_hash = candidates_[claim.candidate].content_hash;
      claim.is_known = false;
    }
  return done;
}

bool Claims::append_some(pg::KeyScan &known, std::size_t from, std::size_t to) {
  pg::RowAppend rows(3);
  for (auto i = from; i < to; ++i) {
    pg::check_for_interrupts();
    auto &claim = claims_[i];
    known.each({pg::integer_part(claim.source_id), pg::uuid_part(&claim.key)}, [&](const pg::Cells &row) {
      claim.content_hash = row.uuid(0);
      claim.is_known = true;
      return false;
    });
    if (!claim.is_known)
      rows.add({pg::integer_cell(claim.source_id), pg::pointer_cell(&claim.key),
                pg::pointer_cell(&claim.content_hash)});
  }
  return rows.rows() == 0 || rows.write("cdp", "message_keys", {INT4OID, UUIDOID, UUIDOID});
}

// The keys nobody had become ours; whoever claims the same at this moment waits for our commit.
void Claims::insert() {
  std::vector<std::int32_t> sources;
  std::vector<pg_uuid_t> keys, hashes;
  for (const auto &claim : claims_) {
    sources.push_back(claim.source_id);
    keys.push_back(claim.key);
    hashes.push_back(claim.content_hash);
  }
  if (keys.size() == 1) {
    pg::RowAppend alone(3);
    alone.add({pg::integer_cell(sources[0]), pg::pointer_cell(keys.data()), pg::pointer_cell(hashes.data())});
    if (const auto written = alone.write_new("cdp", "message_keys", "message_keys_pkey",
                                             {INT4OID, UUIDOID, UUIDOID}, pg::RowAppend::Looked::not_yet)) {
      claims_[0].is_ours = written->front();
      return;
    }
    static pg::Statement one("INSERT INTO cdp.message_keys (source_id, message_key, content_hash) "
                             "VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
                             pg::few_keys);
    pg::Params row;
    row.integer(sources[0]).datum(UUIDOID, UUIDPGetDatum(keys.data()));
    row.datum(UUIDOID, UUIDPGetDatum(hashes.data()));
    claims_[0].is_ours = one.run(row).size() == 1;
    return;
  }
  static pg::Statement statement("INSERT INTO cdp.message_keys (source_id, message_key, content_hash) "
                                 "SELECT * FROM unnest($1, $2, $3) ON CONFLICT DO NOTHING "
                                 "RETURNING source_id, message_key");
  auto rows = statement.run(pg::Params().integers(sources).uuids(keys).uuids(hashes));
  for (std::size_t i = 0; i < rows.size(); ++i)
    at(rows.integer(i, 1), rows.uuid(i, 2)).is_ours = true;
}

} // namespace

std::string alone(const Candidate &candidate, const Incoming &line) {
  const auto &defaults = candidate.defaults;
  if (candidate.text.empty())
    return std::string(content(line.text));
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
    if (candidate.fate == Fate::open &&
        (candidate.known_by == KnownBy::own_id || candidate.known_by == KnownBy::again))
      candidate.fate = Fate::accepted; // the key is there, and its message is on its way out
  Claims claims(candidates);
  if (claims.size() == 0)
    return;
  claims.settle();
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    auto &candidate = candidates[i];
    if (candidate.fate != Fate::open)
      continue;
    auto &claim = claims.of(i);
    if (std::exchange(claim.is_ours, false)) {
      candidate.fate = Fate::accepted;
      continue;
    }
    const auto &hash = claim.content_hash;
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
    texts.push_back(as_text(alone(candidate, line)));
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
