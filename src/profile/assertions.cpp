#include "identity/evidence.hpp"
#include "pg/append_rows.hpp"
#include "profile/people.hpp"

namespace cdp::profile {

namespace {

bool is_assertion(const collect::Candidate &candidate) {
  return candidate.fate == collect::Fate::accepted && !collect::is_event(candidate.message.type);
}

std::optional<std::string> group_of(const core::Message &message) {
  return message.type == core::MessageType::group ? std::optional(message.group_id) : std::nullopt;
}

// False: SQL has to write them.
bool append_assertions(const std::vector<collect::Candidate> &candidates,
                       const std::vector<std::int64_t> &decisions, const std::vector<std::int64_t> &owners,
                       const std::vector<std::vector<std::int64_t>> &carried) {
  pg::RowAppend rows(12);
  for (std::size_t i = 0; i < candidates.size(); ++i)
    if (const auto &one = candidates[i]; is_assertion(one))
      rows.add({pg::bigint_cell(decisions[i]), pg::bigint_cell(owners[i]), pg::integer_cell(one.source_id),
                pg::text_cell(core::to_string(one.message.type)),
                pg::optional_text_cell(group_of(one.message)), pg::bigint_cell(one.occurred_at),
                pg::bigint_cell(one.received_at), pg::text_cell(one.message.message_id),
                pg::pointer_cell(one.traits), pg::pointer_cell(one.context), pg::pointer_cell(one.extra),
                carried[i].empty() ? pg::null_cell() : pg::bigints_cell(carried[i])});
  return rows.rows() == 0 ||
         rows.write("cdp", "assertions",
                    {INT8OID, INT8OID, INT4OID, TEXTOID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID,
                     JSONBOID, JSONBOID, JSONBOID, INT8ARRAYOID});
}

} // namespace

void store_assertions(const std::vector<collect::Candidate> &candidates,
                      const std::vector<std::int64_t> &decisions, const std::vector<std::int64_t> &owners,
                      const std::vector<std::vector<std::int64_t>> &carried) {
  if (append_assertions(candidates, decisions, owners, carried))
    return;
  std::vector<std::int64_t> seqs, identifiers;
  std::vector<std::int32_t> sources;
  std::vector<std::string> types, messages;
  std::vector<std::optional<std::string>> groups;
  std::vector<Timestamp> asserted, received;
  std::vector<void *> traits, contexts, extras;
  std::vector<std::optional<std::string>> others;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    const auto &one = candidates[i];
    if (!is_assertion(one))
      continue;
    seqs.push_back(decisions[i]);
    identifiers.push_back(owners[i]);
    sources.push_back(one.source_id);
    types.emplace_back(core::to_string(one.message.type));
    groups.push_back(group_of(one.message));
    asserted.push_back(one.occurred_at);
    received.push_back(one.received_at);
    messages.push_back(one.message.message_id);
    traits.push_back(one.traits);
    contexts.push_back(one.context);
    extras.push_back(one.extra);
    others.push_back(identity::optional_array(carried[i]));
  }
  if (seqs.empty())
    return;
  static pg::Statement insert(
      "INSERT INTO cdp.assertions (decision_seq, identifier_id, source_id, type, group_id, "
      "asserted_at, received_at, message_id, traits, context, extra, carried) "
      "SELECT unnest($1), unnest($2), unnest($3), unnest($4), unnest($5), unnest($6), unnest($7), "
      "unnest($8), "
      "unnest($9), unnest($10), unnest($11), unnest($12)::pg_catalog.int8[]");
  pg::Params params;
  params.bigints(seqs).bigints(identifiers).integers(sources).texts(types).optional_texts(groups);
  params.timestamps(asserted)
      .timestamps(received)
      .texts(messages)
      .jsonbs(traits)
      .jsonbs(contexts)
      .jsonbs(extras)
      .optional_texts(others);
  insert.run(params);
}

} // namespace cdp::profile
