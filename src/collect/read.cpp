#include "collect/candidate.hpp"

namespace cdp::collect {

namespace {

const Timestamp kEarliest = core::midnight_utc(1900, 1, 1);

void take_apart(Candidate &candidate) {
  auto parsed = core::parse_message(candidate.text, candidate.defaults);
  if (auto *rejection = std::get_if<core::Rejection>(&parsed)) {
    candidate.quarantine({rejection->code, rejection->reason, rejection->detail, rejection->message_id});
    return;
  }
  candidate.message = std::move(std::get<core::Message>(parsed));
  candidate.occurred_at = core::occurred_at(candidate.message, candidate.received_at);
}

// The JSON parts become jsonb; throws what PostgreSQL's own parser has to say.
void make_jsonb(Candidate &candidate) {
  candidate.traits = pg::parse_jsonb(candidate.message.traits);
  candidate.properties = pg::parse_jsonb(candidate.message.properties);
  candidate.context = pg::parse_jsonb(candidate.message.context);
  candidate.extra = pg::parse_jsonb(candidate.message.extra);
}

void make_jsonb_of_all(std::vector<Candidate> &candidates) {
  pg::Failure failure;
  const bool fine = pg::subtransaction(
      [&] {
        for (auto &candidate : candidates)
          if (candidate.fate == Fate::open)
            make_jsonb(candidate);
      },
      failure);
  if (fine)
    return;
  for (auto &candidate : candidates) // rare: find the ones jsonb refuses, such as a number over its range
    if (candidate.fate == Fate::open && !pg::subtransaction([&] { make_jsonb(candidate); }, failure))
      candidate.quarantine({"invalid_json", failure.message, failure.detail, candidate.message.message_id});
}

// What a message says, without how it travelled: sentAt and receivedAt differ from try to try.
pg_uuid_t content_hash(const Candidate &candidate) {
  const auto &message = candidate.message;
  pg::ContentHash hash;
  hash.add(core::to_string(message.type)).add(message.event).add(message.group_id);
  hash.add(static_cast<std::int64_t>(message.identifiers.size()));
  for (const auto &identifier : message.identifiers)
    hash.add(identifier.type).add(identifier.value);
  hash.add(message.timestamp.value_or(core::kMinusInfinity));
  hash.add(message.original_timestamp.value_or(core::kMinusInfinity));
  for (void *part : {candidate.traits, candidate.properties, candidate.context, candidate.extra})
    hash.add(pg::jsonb_text(part));
  return hash.finish();
}

std::string hex(const pg_uuid_t &value) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string out;
  for (unsigned char byte : value.data) {
    out += digits[byte >> 4];
    out += digits[byte & 15];
  }
  return out;
}

// A message without an id is itself when it says when it happened, and otherwise a new one every time.
void give_id(Candidate &candidate) {
  auto &id = candidate.message.message_id;
  candidate.has_own_id = !id.empty();
  if (id.empty()) {
    pg_uuid_t value = candidate.content_hash;
    if (!candidate.message.has_timestamp() && !pg_strong_random(value.data, UUID_LEN))
      throw Error(ERRCODE_INTERNAL_ERROR, "could not draw a random messageId");
    id = (candidate.message.has_timestamp() ? "content-" : "random-") + hex(value);
  }
  candidate.key = pg::hash_text(id);
}

// A line without the byte order mark that some editors put in front of a file; blank lines are nothing.
std::string_view content(std::string_view line) {
  if (line.starts_with("\xEF\xBB\xBF"))
    line.remove_prefix(3);
  return line.find_first_not_of(" \t\r\n") == std::string_view::npos ? std::string_view() : line;
}

} // namespace

std::vector<Candidate> read(const std::vector<Incoming> &lines) {
  std::vector<Candidate> candidates;
  const Timestamp now = GetCurrentTimestamp();
  for (std::size_t i = 0; i < lines.size(); ++i) {
    auto add = [&](std::string json, const core::BatchDefaults &defaults) -> Candidate & {
      auto &candidate = candidates.emplace_back();
      candidate.incoming = i;
      candidate.text = std::move(json);
      candidate.defaults = defaults;
      candidate.received_at = lines[i].received_at;
      return candidate;
    };
    const auto text = content(lines[i].text);
    if (text.empty())
      continue;
    if (lines[i].received_at > now || lines[i].received_at < kEarliest) {
      add(std::string(text), {})
          .quarantine({"invalid_received_at", "the receipt time lies in the future, or before 1900",
                       core::format_iso8601(lines[i].received_at), ""});
      continue;
    }
    if (lines[i].source.empty() || lines[i].source.size() > 255) {
      add(std::string(text), {})
          .quarantine({"invalid_source", "a source has a name of 1 to 255 bytes",
                       lines[i].source.substr(0, 100), ""});
      continue;
    }
    auto split = core::split_batch(text);
    if (auto *rejection = std::get_if<core::Rejection>(&split)) {
      add(std::string(text), {})
          .quarantine({rejection->code, rejection->reason, rejection->detail, rejection->message_id});
      continue;
    }
    auto &batch = std::get<core::Batch>(split);
    for (auto &message : batch.messages) {
      pg::check_for_interrupts();
      take_apart(add(std::move(message), batch.defaults));
    }
  }
  make_jsonb_of_all(candidates);
  for (auto &candidate : candidates) {
    if (candidate.fate != Fate::open)
      continue;
    candidate.content_hash = content_hash(candidate);
    give_id(candidate);
  }
  return candidates;
}

} // namespace cdp::collect
