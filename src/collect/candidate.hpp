// A message on its way in: read, checked and hashed, but not decided yet.
#pragma once
#include <span>

#include "collect/sources.hpp"
#include "core/message.hpp"

#include "pg/jsonb.hpp"
#include "pg/spi.hpp"

namespace cdp::collect {

using core::Timestamp;

// What tells a repeat of a message: its messageId and its content; or the messageId alone, where what comes
// is another form of it; or it takes the place of one with the same messageId, which is taken back.
// again: as own_id, and it is the same message, processed once more.
enum class KnownBy { content, id, own_id, again };

// One line as it came through a door; may hold a batch.
struct Incoming {
  std::string source;
  std::optional<std::string> import;
  Timestamp received_at; // receipt time, fixed at the door
  std::string text;
  // Of a quarantined message that is tried again and was treated when it came first: which paths were hashed
  // then, and the hash of what came. It is not hashed twice.
  std::optional<std::vector<std::string>> hashed = std::nullopt;
  std::optional<pg_uuid_t> came_as = std::nullopt;
  KnownBy known_by = KnownBy::content;
  std::optional<std::int64_t> line = std::nullopt;      // of the file that it was copied from
  std::optional<std::string> message_id = std::nullopt; // that it was given then, when it came without one
  std::vector<std::int64_t> reserved = {}; // ids for identifiers that nobody has named before this line
  // Numbers for what it decides, 0 while they are counted: good as long as nobody has drawn one after
  // `last_number`, and its identifiers and their people are as they were `seen` (identity::Identities::seen).
  std::vector<std::int64_t> numbers = {};
  std::int64_t last_number = 0;
  std::vector<std::uint64_t> seen = {};
};

// Why a message was put aside.
struct Refusal {
  std::string code, reason, detail, message_id;
};

// suppressed: about somebody whose messages are kept out.
enum class Fate { open, accepted, duplicate, quarantined, suppressed };

// One message. The jsonb values live in the memory context of the batch.
struct Candidate {
  Fate fate = Fate::open;
  std::size_t incoming = 0; // index of the line it came in
  std::string text;         // its JSON, for quarantine; empty: it is its line's
  core::BatchDefaults defaults;
  core::Message message;
  Refusal refusal; // when quarantined
  Timestamp received_at = 0, occurred_at = 0;
  std::int32_t source_id = 0;
  void *traits = nullptr, *properties = nullptr, *context = nullptr, *extra = nullptr;
  pg_uuid_t key{}, content_hash{};
  bool has_own_id = false; // its messageId came with it
  KnownBy known_by = KnownBy::content;
  std::shared_ptr<const SourceRules> rules;
  std::string treated_as;     // of a source with a treatment: its hashed paths as a JSON array
  bool knows_content = false; // content_hash is that of what came
  std::optional<pg_uuid_t> plain_key, plain_hash; // as they were before its source's hashes were keyed
  core::Violations violations;                    // of its source's tracking plan
  std::int64_t suppression_id = 0;                // why it is suppressed

  void quarantine(Refusal why) {
    fate = Fate::quarantined;
    refusal = std::move(why);
  }
};

// What the messageId of a message without one begins with; its content's hash follows.
inline constexpr std::string_view kContentId = "content-";

// The hash of messages that are known by their messageId alone.
inline constexpr pg_uuid_t kAnyContent{};

// Its JSON together with what its batch said for all: it can be processed alone.
std::string alone(const Candidate &candidate, const Incoming &line);

// Something a person did, as against something that was said about them.
inline bool is_event(core::MessageType type) {
  return type == core::MessageType::track || type == core::MessageType::page ||
         type == core::MessageType::screen;
}

// A line without the byte order mark that some editors put in front of a file; blank lines are nothing.
std::string_view content(std::string_view line);

// Reads lines into candidates; those that cannot be read are quarantined with the reason, never thrown.
std::vector<Candidate> read(const std::vector<Incoming> &lines, const Sources &sources);

// Whom the message of a line is about, where a glance tells; else false. What cannot be taken for another
// reason may be read all the same.
bool read_outline(const Incoming &line, const SourceRules &rules, Timestamp now, core::Outline &outline);

// The same of lines that a glance does not tell of, these ones: their jsonb is not made, and they are not
// hashed.
std::vector<Candidate> read_outlines(const std::vector<Incoming> &lines, std::span<const std::size_t> which,
                                     const Sources &sources);

// Finds or registers the source of every open candidate.
void find_sources(std::vector<Candidate> &candidates, const std::vector<Incoming> &lines, Sources &sources);

// An identifier as type and normal value.
using Name = std::pair<std::string, std::string>;

// Keeps out what is about somebody who is suppressed; names[i] are the identifiers of candidate i.
void suppress(std::vector<Candidate> &candidates, const std::vector<std::vector<Name>> &names);

// Holds open candidates against their source: whether it is known, enabled, and what its tracking plan says.
void check_sources(std::vector<Candidate> &candidates, const std::vector<Incoming> &lines);

// Counts what became of the candidates, by source.
void note_counts(const std::vector<Candidate> &candidates, const std::vector<Incoming> &lines);

// Claims the message keys of all open candidates, in key order so that two callers cannot deadlock: an open
// one becomes accepted, or duplicate, or quarantined when the same messageId came with other content.
void claim_keys(std::vector<Candidate> &candidates);

// Writes the quarantined ones down.
void write_quarantine(const std::vector<Candidate> &candidates, const std::vector<Incoming> &lines);

} // namespace cdp::collect
