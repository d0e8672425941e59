#include "profile/people.hpp"

namespace cdp::profile {

void store_assertions(const std::vector<collect::Candidate> &candidates,
                      const std::vector<std::int64_t> &decisions, const std::vector<std::int64_t> &owners,
                      const std::vector<std::optional<std::string>> &carried) {
  std::vector<std::int64_t> seqs, identifiers;
  std::vector<std::int32_t> sources;
  std::vector<std::string> types, messages;
  std::vector<std::optional<std::string>> groups;
  std::vector<Timestamp> asserted, received;
  std::vector<void *> traits, contexts, extras;
  std::vector<std::optional<std::string>> others;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    const auto &one = candidates[i];
    const auto type = one.message.type;
    if (one.fate != collect::Fate::accepted || collect::is_event(type))
      continue;
    seqs.push_back(decisions[i]);
    identifiers.push_back(owners[i]);
    sources.push_back(one.source_id);
    types.emplace_back(core::to_string(type));
    const bool has_group = type == core::MessageType::group;
    groups.push_back(has_group ? std::optional(one.message.group_id) : std::nullopt);
    asserted.push_back(one.occurred_at);
    received.push_back(one.received_at);
    messages.push_back(one.message.message_id);
    traits.push_back(one.traits);
    contexts.push_back(one.context);
    extras.push_back(one.extra);
    others.push_back(carried[i]);
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
