// libFuzzer target: parse_message and split_batch never crash, and every slice they hand out is what jsonb
// accepts.
#include "json.hpp"
#include "message.hpp"
#include "text.hpp"
#include "tracking_plan.hpp"
#include "treatment.hpp"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <simdjson.h>

using namespace cdp::core;

namespace {

void require(bool holds, const char *what, std::string_view text) {
  if (holds)
    return;
  std::fprintf(stderr, "broken promise: %s: %.*s\n", what, static_cast<int>(text.size()), text.data());
  std::abort();
}

void check_slice(const std::string &slice) {
  if (slice.empty())
    return;
  require(json::kind_of(slice) == json::Kind::object, "a slice is an object", slice);
  require(!json::validate(slice, kMaxJsonDepth).has_value(), "a slice is valid", slice);
}

void check_storable(const std::string &text) {
  require(is_valid_utf8(text) && text.find('\0') == std::string::npos, "texts can be stored", text);
}

/// A plan says something about every message, or nothing.
void check_planned(const Message &message) {
  static const auto plan = std::get<TrackingPlan>(TrackingPlan::compile(
      R"({"events": {"*": {"required": ["a"], "properties": {"a": {"type": "integer", "minimum": 1, "enum": [1, {}]}, "b": {"pattern": "^a+$"}},
          "additionalProperties": {"items": {"format": "date-time", "maximum": 2.5}}}}, "traits": {"additionalProperties": false}})"));
  Violations violations;
  plan.check(message, violations);
  require(violations.all().size() <= Violations::kMost + 1, "bounded", "");
  for (const auto &[what, found] : violations.all()) {
    check_storable(what.first);
    check_storable(found);
  }
}

void check_message(const Message &message) {
  for (const std::string *slice : {&message.traits, &message.properties, &message.context, &message.extra})
    check_slice(*slice);
  require(!message.identifiers.empty() && message.identifiers.size() <= kMaxIdentifiers, "identifiers", "");
  for (const RawIdentifier &identifier : message.identifiers) {
    check_storable(identifier.type);
    check_storable(identifier.value);
    require(!identifier.value.empty() && trim(identifier.value) == identifier.value, "trimmed",
            identifier.value);
  }
  for (const std::string *text : {&message.message_id, &message.event, &message.group_id, &message.region})
    check_storable(*text);
  format_iso8601(occurred_at(message, 0));
  format_iso8601(occurred_at(message, kInfinity));
  check_planned(message);
}

void check_rejection(const Rejection &why) {
  require(!why.code.empty() && !why.reason.empty(), "a rejection says why", why.code);
  for (const std::string *text : {&why.code, &why.reason, &why.detail, &why.message_id})
    check_storable(*text);
  require(why.detail.size() < 512 && why.message_id.size() <= kMaxMessageIdBytes, "short texts", why.detail);
}

void check_parsed(const Parsed &parsed) {
  if (const auto *why = std::get_if<Rejection>(&parsed))
    check_rejection(*why);
  else
    check_message(std::get<Message>(parsed));
}

/// Treated, a message is sound JSON still, nothing that is dropped is left of it, and treating it again finds
/// nothing to do.
void check_treated(std::string_view text) {
  static const Treatment drops({"properties", "traits.a", "context.*.b", "userId"}, {},
                               [](std::string_view) { return std::string(); });
  static const Treatment hashes({}, {"properties", "traits.*", "context", "anonymousId"},
                                [](std::string_view value) { return std::to_string(value.size()); });
  const auto value = json::trim_space(text);
  if (json::validate(value, kMaxJsonDepth) || json::kind_of(value) != json::Kind::object)
    return;
  const auto left = drops.message(value);
  check_slice(left);
  for (json::Cursor cursor(left); cursor.next();)
    require(!json::key_is(cursor.raw_key(), "properties") && !json::key_is(cursor.raw_key(), "userId"),
            "what is dropped is gone", left);
  require(drops.message(left) == left, "treated twice it is the same", left);
  check_slice(hashes.message(value));
}

/// Of text that nobody has checked nothing is certain, but what it says of a sound message is so.
void check_outline(std::string_view text) {
  Outline outline;
  const bool is_read = read_outline(text, outline);
  const auto parsed = parse_message(text);
  const auto split = split_batch(text);
  const auto *message = std::get_if<Message>(&parsed);
  const auto *batch = std::get_if<Batch>(&split);
  if (!is_read || !message || !batch || batch->messages != std::vector{std::string(text)})
    return;
  const auto is_same = [](const Outline::Identifier &one, const RawIdentifier &other) {
    return one.type == other.type && one.value == other.value;
  };
  require(outline.type == message->type && outline.message_id == message->message_id &&
              outline.group_id == message->group_id && outline.region == message->region &&
              std::ranges::equal(outline.identifiers, message->identifiers, is_same),
          "an outline says what the whole says", text);
}

/// What simdjson accepts we may refuse only for what PostgreSQL cannot hold, and what it refuses we accept
/// only for numbers that a double or a 64-bit integer cannot hold.
void compare_with_simdjson(std::string_view text) {
  static simdjson::dom::parser parser;
  const auto theirs = parser.parse(text.data(), text.size()).error();
  const auto ours = json::validate(text, kMaxJsonDepth);
  if (theirs == simdjson::SUCCESS)
    require(!ours || ours->code == "invalid_unicode" || ours->code == "invalid_number" ||
                ours->code == "too_deep",
            "accepted by simdjson", text);
  else if (!ours)
    require(theirs == simdjson::NUMBER_ERROR, "refused by simdjson", text);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char *>(data), size);
  compare_with_simdjson(text);
  check_treated(text);
  check_parsed(parse_message(text));
  check_outline(text);
  const auto split = split_batch(text);
  if (const auto *why = std::get_if<Rejection>(&split)) {
    check_rejection(*why);
    return 0;
  }
  const Batch &batch = std::get<Batch>(split);
  check_slice(batch.defaults.context);
  for (const std::string &message : batch.messages)
    check_parsed(parse_message(message, batch.defaults));
  const BatchDefaults odd{std::string(text), std::string(text), std::string(text)}; // must survive misuse
  parse_message(R"({"type":"identify","userId":"u","context":{"a":1}})", odd);
  return 0;
}
