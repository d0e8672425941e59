#include "identity/evidence.hpp"

#include <algorithm>

#include "pg/append_rows.hpp"
#include "pg/sequence.hpp"
#include "pg/spi.hpp"

namespace cdp::identity {

std::string to_string(core::Rule rule) {
  switch (rule) {
  case core::Rule::forbidden_link:
    return "forbidden_link";
  case core::Rule::removed_link:
    return "removed_link";
  case core::Rule::unique:
    return "unique";
  case core::Rule::limit:
    return "limit";
  case core::Rule::sharing:
    return "sharing";
  case core::Rule::none:
    break;
  }
  return "";
}

bool is_lasting(const std::string &rule) {
  return rule == "sharing" || rule == "removed_identifier" || rule == "blocked";
}

std::string rule_of(const std::vector<LeftOut> &left_out) {
  for (const auto &one : left_out)
    if (!is_lasting(one.rule))
      return one.rule;
  return left_out.front().rule;
}

std::string array_text(const std::vector<std::int64_t> &ids) {
  std::string text = "{";
  for (auto id : ids)
    text += (text.size() > 1 ? "," : "") + std::to_string(id);
  return text + "}";
}

std::optional<std::string> optional_array(const std::vector<std::int64_t> &ids) {
  return ids.empty() ? std::nullopt : std::optional(array_text(ids));
}

std::vector<std::int64_t> array_from(const std::optional<std::string> &text) {
  std::vector<std::int64_t> ids;
  for (std::size_t at = 1; text && at < text->size(); at = text->find_first_of(",}", at) + 1)
    if ((*text)[at] != '}')
      ids.push_back(std::stoll(text->substr(at)));
  return ids;
}

void Journal::add_evidence(const collect::Candidate &candidate, std::int64_t decision,
                           const std::vector<std::int64_t> &identifiers,
                           const std::vector<LeftOut> &left_out) {
  auto &to = evidence_;
  to.decisions.push_back(decision);
  to.identifiers.push_back(identifiers);
  auto &refused = to.refused.emplace_back();
  for (const auto &one : left_out)
    refused.push_back(one.id);
  to.rules.push_back(refused.empty() ? std::nullopt : std::optional(rule_of(left_out)));
  to.is_explicit.push_back(candidate.message.type == core::MessageType::alias);
  to.sources.push_back(candidate.source_id);
  to.at.push_back(candidate.received_at);
  to.messages.push_back(candidate.message.message_id);
  for (auto id : identifiers)
    to.members.emplace_back(id, decision);
}

void Journal::refuse(const Refused &refused, const collect::Candidate &candidate, std::int64_t decision) {
  auto &to = refusals_;
  to.decisions.push_back(decision);
  to.types.push_back(refused.type);
  to.values.push_back(refused.value);
  to.rules.push_back(refused.rule);
  to.reasons.push_back(refused.reason);
  to.identifiers.push_back(refused.identifier_id);
  to.conflicts.push_back(optional_array(refused.conflicts));
  to.sources.push_back(candidate.source_id);
  to.messages.push_back(candidate.message.message_id);
  to.at.push_back(candidate.received_at);
}

void Journal::change(std::int64_t decision, std::string change, std::int64_t profile, std::int64_t from,
                     Timestamp at, const std::vector<std::int64_t> &identifiers, std::string reason) {
  auto &to = changes_;
  to.decisions.push_back(decision);
  to.changes.push_back(std::move(change));
  to.profiles.push_back(profile);
  to.from.push_back(from);
  to.identifiers.push_back(identifiers);
  to.reasons.push_back(reason.empty() ? std::nullopt : std::optional(std::move(reason)));
  to.at.push_back(at);
}

void Journal::store() {
  if (!evidence_.decisions.empty())
    store_evidence();
  if (!refusals_.decisions.empty())
    store_refusals();
  if (!changes_.decisions.empty())
    store_changes();
}

namespace {

std::vector<std::optional<std::string>> array_texts(const std::vector<std::vector<std::int64_t>> &lists) {
  std::vector<std::optional<std::string>> texts;
  for (const auto &list : lists)
    texts.push_back(optional_array(list));
  return texts;
}

pg::Cell optional_cell(const std::vector<std::int64_t> &ids) {
  return ids.empty() ? pg::null_cell() : pg::bigints_cell(ids);
}

void store_members(std::vector<std::pair<std::int64_t, std::int64_t>> &all) {
  static pg::Statement insert("INSERT INTO cdp.evidence_members (identifier_id, decision_seq) "
                              "SELECT unnest($1), unnest($2)");
  std::sort(all.begin(), all.end()); // as in their index: neighbours share a page
  pg::RowAppend rows(2);
  for (const auto &[identifier, decision] : all)
    rows.add({pg::bigint_cell(identifier), pg::bigint_cell(decision)});
  if (rows.write("cdp", "evidence_members", {INT8OID, INT8OID}))
    return;
  std::vector<std::int64_t> members, decisions;
  for (const auto &[identifier, decision] : all) {
    members.push_back(identifier);
    decisions.push_back(decision);
  }
  insert.run(pg::Params().bigints(members).bigints(decisions));
}

} // namespace

bool Journal::append_evidence() const {
  const auto &from = evidence_;
  pg::RowAppend rows(8);
  for (std::size_t i = 0; i < from.decisions.size(); ++i)
    rows.add({pg::bigint_cell(from.decisions[i]), pg::bigints_cell(from.identifiers[i]),
              optional_cell(from.refused[i]), pg::optional_text_cell(from.rules[i]),
              pg::boolean_cell(from.is_explicit[i] != 0), pg::integer_cell(from.sources[i]),
              pg::bigint_cell(from.at[i]), pg::text_cell(from.messages[i])});
  return rows.write(
      "cdp", "evidence",
      {INT8OID, INT8ARRAYOID, INT8ARRAYOID, TEXTOID, BOOLOID, INT4OID, TIMESTAMPTZOID, TEXTOID});
}

void Journal::store_evidence() {
  store_members(evidence_.members);
  if (append_evidence())
    return;
  static pg::Statement insert(
      "INSERT INTO cdp.evidence (decision_seq, identifiers, refused, rule, is_explicit, source_id, "
      "linked_at, "
      "message_id) SELECT unnest($1), unnest($2)::pg_catalog.int8[], unnest($3)::pg_catalog.int8[], "
      "unnest($4), unnest($5) = 1, unnest($6), unnest($7), unnest($8)");
  const auto &from = evidence_;
  pg::Params params;
  params.bigints(from.decisions)
      .optional_texts(array_texts(from.identifiers))
      .optional_texts(array_texts(from.refused))
      .optional_texts(from.rules);
  params.integers(from.is_explicit).integers(from.sources).timestamps(from.at).texts(from.messages);
  insert.run(params);
}

void Journal::store_refusals() {
  static pg::Statement insert(
      "INSERT INTO cdp.refusals (decision_seq, type, value, rule, reason, identifier_id, conflicts, "
      "source_id, "
      "message_id, refused_at) SELECT unnest($1), unnest($2), unnest($3), unnest($4), unnest($5), "
      "nullif(unnest($6), 0), unnest($7)::pg_catalog.int8[], unnest($8), unnest($9), unnest($10)");
  const auto &from = refusals_;
  pg::Params params;
  params.bigints(from.decisions).texts(from.types).texts(from.values).texts(from.rules).texts(from.reasons);
  params.bigints(from.identifiers).optional_texts(from.conflicts).integers(from.sources).texts(from.messages);
  params.timestamps(from.at);
  insert.run(params);
}

bool Journal::append_changes() const {
  const auto &from = changes_;
  const auto ids = pg::next_values("cdp", "identity_changes_change_id_seq", from.decisions.size());
  pg::RowAppend rows(9);
  for (std::size_t i = 0; i < from.decisions.size(); ++i)
    rows.add({pg::bigint_cell(ids[i]), pg::bigint_cell(from.decisions[i]), pg::text_cell(from.changes[i]),
              pg::bigint_cell(from.profiles[i]),
              from.from[i] != 0 ? pg::bigint_cell(from.from[i]) : pg::null_cell(),
              optional_cell(from.identifiers[i]), pg::optional_text_cell(from.reasons[i]),
              pg::bigint_cell(from.at[i]), pg::bigint_cell(GetCurrentTransactionStartTimestamp())});
  return rows.write(
      "cdp", "identity_changes",
      {INT8OID, INT8OID, TEXTOID, INT8OID, INT8OID, INT8ARRAYOID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID});
}

void Journal::store_changes() {
  if (append_changes())
    return;
  static pg::Statement insert(
      "INSERT INTO cdp.identity_changes (decision_seq, change, profile_id, "
      "from_profile_id, identifiers, reason, "
      "effective_at) SELECT unnest($1), unnest($2), unnest($3), nullif(unnest($4), 0), "
      "unnest($5)::pg_catalog.int8[], unnest($6), unnest($7)");
  const auto &from = changes_;
  pg::Params params;
  params.bigints(from.decisions).texts(from.changes).bigints(from.profiles).bigints(from.from);
  params.optional_texts(array_texts(from.identifiers)).optional_texts(from.reasons).timestamps(from.at);
  insert.run(params);
}

} // namespace cdp::identity
