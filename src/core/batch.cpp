#include "json.hpp"
#include "message.hpp"
#include "message_reject.hpp"

namespace cdp::core {

namespace {

using json::Cursor;
using json::Kind;
using json::kind_of;

/// The top level of a batch, as slices of text that nobody has validated yet.
struct Envelope {
  std::string_view batch, type, context, sent_at, integrations;
  bool broken = false;
};

Envelope open_envelope(std::string_view object) {
  Envelope envelope;
  Cursor cursor(object);
  while (cursor.next()) {
    const auto take = [&](std::string_view name, std::string_view &slot) {
      if (json::key_is(cursor.raw_key(), name))
        slot = kind_of(cursor.value()) == Kind::null ? std::string_view() : cursor.value();
    };
    take("batch", envelope.batch);
    take("type", envelope.type);
    take("context", envelope.context);
    take("sentAt", envelope.sent_at);
    take("integrations", envelope.integrations);
  }
  envelope.broken = cursor.broken() || cursor.end_offset() != object.size();
  return envelope;
}

/// For text whose outer structure is broken: what the strict pass says about it.
Rejection broken_batch(std::string_view text) {
  if (const auto error = json::validate(text, kMaxJsonDepth))
    return detail::broken(*error, text);
  return detail::rejection("invalid_json", "the batch is not a JSON array of messages");
}

/// Adds each element's text; false when the array's own structure is broken.
bool split_array(std::string_view array, std::vector<std::string> &messages) {
  Cursor cursor(array);
  while (cursor.next())
    messages.emplace_back(cursor.value());
  return !cursor.broken() && cursor.end_offset() == array.size();
}

/// Why a default cannot be used, if so.
std::optional<Rejection> check_default(std::string_view value) {
  if (value.empty())
    return std::nullopt;
  if (const auto error = json::validate(value, kMaxJsonDepth - 1))
    return detail::broken(*error, value);
  return std::nullopt;
}

std::optional<Rejection> read_defaults(const Envelope &envelope, BatchDefaults &defaults) {
  for (const std::string_view value : {envelope.context, envelope.sent_at, envelope.integrations})
    if (auto why = check_default(value))
      return why;
  if (!envelope.context.empty() && kind_of(envelope.context) != Kind::object)
    return detail::wrong_kind("context", "an object", envelope.context);
  if (!envelope.sent_at.empty()) {
    if (!detail::read_instant(envelope.sent_at))
      return detail::bad_timestamp("sentAt", envelope.sent_at);
    defaults.sent_at = json::unescape(envelope.sent_at);
  }
  defaults.context = envelope.context;
  defaults.integrations = envelope.integrations;
  return std::nullopt;
}

} // namespace

bool may_be_batch(std::string_view json) {
  const std::string_view text = json::trim_space(json);
  return text.empty() || json.size() > kMaxJsonBytes || text.front() == '[' ||
         json.find("batch\"") != std::string_view::npos ||
         json.find("\\u") != std::string_view::npos; // the key, spelt out or by escapes
}

std::variant<Batch, Rejection> split_batch(std::string_view json) {
  if (json.size() > kMaxJsonBytes)
    return detail::too_large(json.size());
  Batch result;
  const std::string_view text = json::trim_space(json);
  if (!text.empty() && text.front() == '[') {
    if (!split_array(text, result.messages))
      return broken_batch(json);
    return result;
  }
  if (!may_be_batch(json)) {
    result.messages.emplace_back(json);
    return result;
  }
  const Envelope envelope = open_envelope(text);
  if (envelope.batch.empty() || !envelope.type.empty()) { // one message, sound or not: parse_message judges
    result.messages.emplace_back(json);
    return result;
  }
  if (envelope.broken)
    return broken_batch(json);
  if (kind_of(envelope.batch) != Kind::array)
    return detail::wrong_kind("batch", "an array", envelope.batch);
  if (auto why = read_defaults(envelope, result.defaults))
    return std::move(*why);
  if (!split_array(envelope.batch, result.messages))
    return broken_batch(json);
  return result;
}

} // namespace cdp::core
