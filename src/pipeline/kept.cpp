#include "pipeline/kept.hpp"

#include "core/json.hpp"
#include "core/json_text.hpp"

namespace cdp::pipeline {

using collect::Candidate;
using collect::Fate;
using collect::Incoming;
using collect::KnownBy;

namespace {

// Rows of attached tables are kept by their tables.
bool is_kept(const Candidate &one) {
  return one.fate == Fate::accepted &&
         (one.known_by == KnownBy::again || (one.known_by == KnownBy::content && one.rules->keeps_messages));
}

} // namespace

void keep_messages(const std::vector<Candidate> &candidates, const std::vector<Incoming> &lines,
                   const std::vector<std::int64_t> &decisions) {
  std::vector<std::int64_t> seqs;
  std::vector<std::int32_t> sources;
  std::vector<core::Timestamp> received;
  std::vector<std::string> message_ids, texts;
  std::vector<std::optional<std::string>> imports, hashed, came_as;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    const auto &one = candidates[i];
    if (!is_kept(one))
      continue;
    const bool is_treated = !one.treated_as.empty();
    seqs.push_back(decisions[i]);
    sources.push_back(one.source_id);
    received.push_back(one.received_at);
    imports.push_back(lines[one.incoming].import);
    message_ids.push_back(one.message.message_id);
    texts.push_back(collect::alone(one, lines[one.incoming]));
    hashed.push_back(is_treated ? std::optional(one.treated_as) : std::nullopt);
    came_as.push_back(is_treated && one.knows_content ? std::optional(pg::uuid_text(one.content_hash))
                                                      : std::nullopt);
  }
  if (seqs.empty())
    return;
  static pg::Statement insert(
      "INSERT INTO cdp.kept_messages (decision_seq, source_id, received_at, import, message_id, message, "
      "hashed, came_as) SELECT n.seq, n.source_id, n.received_at, n.import, n.message_id, n.message, "
      "CASE WHEN n.hashed IS NOT NULL THEN "
      "ARRAY(SELECT pg_catalog.json_array_elements_text(n.hashed::pg_catalog.json)) END, "
      "n.came_as::pg_catalog.uuid FROM unnest($1, $2, $3, $4, $5, $6, $7, $8) "
      "AS n (seq, source_id, received_at, import, message_id, message, hashed, came_as)");
  pg::Params params;
  params.bigints(seqs).integers(sources).timestamps(received).optional_texts(imports).texts(message_ids);
  insert.run(params.texts(texts).optional_texts(hashed).optional_texts(came_as));
}

Incoming line_put_away(const pg::Rows &rows, std::size_t i) {
  Incoming line{rows.text(i, 2), rows.optional_text(i, 3), rows.timestamp(i, 4), rows.text(i, 5)};
  if (const auto hashed = rows.optional_text(i, 6)) {
    line.hashed.emplace();
    for (const auto &path : core::json::elements(*hashed))
      line.hashed->push_back(core::json::unescape(path));
  }
  if (!rows.is_null(i, 7))
    line.came_as = rows.uuid(i, 7);
  return line;
}

} // namespace cdp::pipeline
