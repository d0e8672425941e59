// The Segment-spec message parser: JSON text in, a Message or the reason why not out.
// Every result owns its strings. Bad input is a Rejection, never an exception; only std::bad_alloc is thrown.
#pragma once

#include "timestamp.hpp"

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace cdp::core {

inline constexpr std::size_t kMaxJsonBytes = 32u << 20; // of one message, and of one batch
inline constexpr std::size_t kMaxJsonDepth = 1000;
inline constexpr std::size_t kMaxIdentifiers = 50;
inline constexpr std::size_t kMaxMessageIdBytes = 255;

enum class MessageType { identify, track, page, screen, group, alias };

std::string_view to_string(MessageType type);

/// An identifier as it came (trimmed, not normalised); type such as "user_id".
struct RawIdentifier {
  std::string type;
  std::string value;
  bool operator==(const RawIdentifier &) const = default;
};

struct Message {
  MessageType type = MessageType::track;
  std::string message_id; // empty: none given
  std::string event;      // track: event name; page/screen: name; else empty
  std::string group_id;   // groupId, of whatever type of message
  std::vector<RawIdentifier>
      identifiers;        // userId, previousId, email, phone, externalIds, device, anonymousId
  std::string traits;     // raw JSON object of an identify or group message, "" when absent
  std::string properties; // raw JSON object, "" when absent
  std::string context;    // raw JSON object, "" when absent; batch context merged in
  std::string extra;      // JSON object of all other top-level fields, "" when none
  std::optional<Timestamp> timestamp;
  std::optional<Timestamp> original_timestamp;
  std::optional<Timestamp> sent_at;
  std::optional<Timestamp> received_at;
  bool timestamp_is_local = false, original_timestamp_is_local = false, sent_at_is_local = false,
       received_at_is_local = false; // written without a zone, and read as UTC
  std::string region;                // ISO 3166 alpha-2 for phone numbers, upper case, or ""

  bool has_timestamp() const { return timestamp.has_value() || original_timestamp.has_value(); }
};

/// Why a message was not taken. Codes: invalid_json, invalid_unicode, invalid_number, too_large, too_deep,
/// missing_type, unknown_type, missing_event, missing_group_id, missing_previous_id, missing_user_id,
/// invalid_field, invalid_timestamp, no_identifier, too_many_identifiers. All texts are valid UTF-8.
struct Rejection {
  std::string code;
  std::string reason;     // one sentence, the same for all messages with this fault in this field
  std::string detail;     // the value or place at fault, shortened
  std::string message_id; // as far as it was readable
};

/// What a batch says for all its messages; made by split_batch, "" where it says nothing.
struct BatchDefaults {
  std::string context;      // raw JSON object
  std::string sent_at;      // ISO 8601, already checked
  std::string integrations; // raw JSON
};

struct Batch {
  std::vector<std::string> messages; // raw JSON text of each, not yet validated
  BatchDefaults defaults;
};

using Parsed = std::variant<Message, Rejection>;

/// Validates the whole text as jsonb would and reads one message. A field that is null counts as absent, and
/// of duplicate keys the last one wins. `defaults` must come from split_batch.
Parsed parse_message(std::string_view json, const BatchDefaults &defaults = {});

/// Whom a message is about, as views of the text that it was read from.
struct Outline {
  struct Identifier {
    std::string_view type;
    std::string_view value;
  };
  MessageType type = MessageType::track;
  std::string_view message_id, group_id;
  std::vector<Identifier> identifiers;
  std::string region;
};

/// What parse_message would read of these from a text, at a fraction of its cost: whether the text is sound
/// is not looked at. False where only parse_message or split_batch can say; then `outline` says nothing. What
/// it has allocated serves the next one.
bool read_outline(std::string_view json, Outline &outline);

/// When it happened, by Segment's clock-skew rule; `received_at` is used where the message has no receivedAt.
/// The result is clamped to the years 1900..9999, which an absurd sentAt could leave.
Timestamp occurred_at(const Message &message, Timestamp received_at);

/// Splits `{"batch":[...], "context":{}, "sentAt":"", "integrations":{}}` or a bare array; anything else is a
/// batch of one, whose faults parse_message reports. A faulty message inside does not spoil its neighbours.
std::variant<Batch, Rejection> split_batch(std::string_view json);

/// False: it is one message, as most lines are, and split_batch would give it back as it is.
bool may_be_batch(std::string_view json);

} // namespace cdp::core
