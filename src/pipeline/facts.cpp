#include "pipeline/facts.hpp"

#include <algorithm>

#include "identity/evidence.hpp"
#include "pg/append_rows.hpp"
#include "pg/sequence.hpp"
#include "pg/spi.hpp"

namespace cdp::pipeline {

using collect::Candidate;
using collect::Fate;
using core::Timestamp;

namespace {

bool is_as_seen(const collect::Incoming &line, const identity::Identities &identities,
                std::size_t candidate) {
  const auto &identifiers = identities.of(candidate).identifiers;
  return std::all_of(identifiers.begin(), identifiers.end(), [&](std::size_t index) {
    return std::find(line.seen.begin(), line.seen.end(), identities.seen(index)) != line.seen.end();
  });
}

// Empty: they do not serve.
std::vector<std::int64_t> take_reserved(const std::vector<Candidate> &candidates,
                                        const std::vector<collect::Incoming> &lines,
                                        const identity::Identities &identities) {
  static pg::Statement last("SELECT last_value FROM cdp.decision_seq");
  if (lines.empty() || lines.front().last_number == 0 || last.run().bigint(0, 1) != lines.front().last_number)
    return {};
  std::vector<std::int64_t> decisions(candidates.size());
  std::vector<std::size_t> used(lines.size());
  for (std::size_t i = 0; i < candidates.size(); ++i)
    if (const auto line = candidates[i].incoming; candidates[i].fate == Fate::accepted) {
      if (used[line] == lines[line].numbers.size() || !is_as_seen(lines[line], identities, i))
        return {};
      decisions[i] = lines[line].numbers[used[line]++];
    }
  return decisions;
}

} // namespace

std::vector<std::int64_t> draw_decisions(const std::vector<Candidate> &candidates,
                                         const std::vector<collect::Incoming> &lines,
                                         const identity::Identities &identities) {
  auto reserved = take_reserved(candidates, lines, identities);
  return reserved.empty() ? draw_decisions(candidates) : reserved;
}

std::vector<std::int64_t> draw_decisions(const std::vector<Candidate> &candidates) {
  std::vector<std::int64_t> decisions(candidates.size());
  const auto accepted = std::count_if(candidates.begin(), candidates.end(),
                                      [](const Candidate &one) { return one.fate == Fate::accepted; });
  const auto drawn = pg::next_values("cdp", "decision_seq", static_cast<std::size_t>(accepted));
  std::size_t next = 0;
  for (std::size_t i = 0; i < candidates.size(); ++i)
    if (candidates[i].fate == Fate::accepted)
      decisions[i] = drawn[next++];
  return decisions;
}

namespace {

void insert_events(const std::vector<Candidate> &candidates, const std::vector<std::int64_t> &decisions,
                   const std::vector<std::int64_t> &owners,
                   const std::vector<std::vector<std::int64_t>> &carried) {
  std::vector<std::int64_t> ids, identifiers;
  std::vector<std::int32_t> sources;
  std::vector<std::string> types, messages;
  std::vector<std::optional<std::string>> events, others;
  std::vector<Timestamp> occurred, received;
  std::vector<void *> properties, contexts, extras;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    const auto &one = candidates[i];
    if (one.fate != Fate::accepted || !collect::is_event(one.message.type))
      continue;
    ids.push_back(decisions[i]);
    identifiers.push_back(owners[i]);
    sources.push_back(one.source_id);
    types.emplace_back(core::to_string(one.message.type));
    events.push_back(one.message.event.empty() ? std::nullopt : std::optional(one.message.event));
    occurred.push_back(one.occurred_at);
    received.push_back(one.received_at);
    messages.push_back(one.message.message_id);
    properties.push_back(one.properties);
    contexts.push_back(one.context);
    extras.push_back(one.extra);
    others.push_back(identity::optional_array(carried[i]));
  }
  if (ids.empty())
    return;
  static pg::Statement insert(
      "INSERT INTO cdp.event_records (event_id, identifier_id, source_id, type, event, "
      "occurred_at, received_at, message_id, properties, context, extra, carried) "
      "SELECT unnest($1), unnest($2), unnest($3), unnest($4), unnest($5), unnest($6), unnest($7), "
      "unnest($8), "
      "unnest($9), unnest($10), unnest($11), unnest($12)::pg_catalog.int8[]");
  pg::Params params;
  params.bigints(ids).bigints(identifiers).integers(sources).texts(types).optional_texts(events);
  params.timestamps(occurred).timestamps(received).texts(messages);
  params.jsonbs(properties).jsonbs(contexts).jsonbs(extras).optional_texts(others);
  insert.run(params);
}

bool append_events(const std::vector<Candidate> &candidates, const std::vector<std::int64_t> &decisions,
                   const std::vector<std::int64_t> &owners,
                   const std::vector<std::vector<std::int64_t>> &carried) {
  pg::RowAppend rows(12);
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    const auto &one = candidates[i];
    if (one.fate != Fate::accepted || !collect::is_event(one.message.type))
      continue;
    rows.add({pg::bigint_cell(decisions[i]), pg::bigint_cell(owners[i]), pg::integer_cell(one.source_id),
              pg::text_cell(core::to_string(one.message.type)),
              one.message.event.empty() ? pg::null_cell() : pg::text_cell(one.message.event),
              pg::bigint_cell(one.occurred_at), pg::bigint_cell(one.received_at),
              pg::text_cell(one.message.message_id), pg::pointer_cell(one.properties),
              pg::pointer_cell(one.context), pg::pointer_cell(one.extra),
              carried[i].empty() ? pg::null_cell() : pg::bigints_cell(carried[i])});
  }
  return rows.rows() == 0 ||
         rows.write("cdp", "event_records",
                    {INT8OID, INT8OID, INT4OID, TEXTOID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID,
                     JSONBOID, JSONBOID, JSONBOID, INT8ARRAYOID});
}

} // namespace

void store_events(const std::vector<Candidate> &candidates, const std::vector<std::int64_t> &decisions,
                  const std::vector<std::int64_t> &owners,
                  const std::vector<std::vector<std::int64_t>> &carried) {
  if (!append_events(candidates, decisions, owners, carried))
    insert_events(candidates, decisions, owners, carried);
}

void show_events(const std::vector<Candidate> &candidates, const std::vector<std::int64_t> &decisions,
                 const std::vector<std::int64_t> &owners, segment::Evaluation &evaluation) {
  std::vector<segment::NewEvent> events;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    const auto &one = candidates[i];
    if (one.fate == Fate::accepted && collect::is_event(one.message.type))
      events.push_back({decisions[i], owners[i], one.source_id, one.occurred_at, one.received_at,
                        std::string(core::to_string(one.message.type)),
                        one.message.event.empty() ? std::nullopt : std::optional(one.message.event),
                        one.properties, one.context});
  }
  std::int64_t first = INT64_MAX;
  for (auto decision : decisions)
    first = decision ? std::min(first, decision) : first;
  evaluation.add_events(std::move(events), first);
}

} // namespace cdp::pipeline
