#include "message.hpp"

#include "json.hpp"
#include "message_reject.hpp"
#include "text.hpp"

#include <algorithm>
#include <array>
#include <forward_list>
#include <span>
#include <unordered_set>
#include <utility>

namespace cdp::core {

namespace {

using detail::rejection;
using json::Cursor;
using json::Kind;
using json::kind_of;

constexpr std::array<std::string_view, 6> kTypeNames{"identify", "track", "page", "screen", "group", "alias"};

/// The top-level fields the parser reads, as slices of the text; empty when absent or null.
struct Fields {
  std::string_view type, message_id, event, name, group_id, user_id, previous_id, anonymous_id;
  std::string_view traits, properties, context, integrations;
  std::string_view timestamp, original_timestamp, sent_at, received_at;
};

struct FieldName {
  std::string_view name;
  std::string_view Fields::*slot;
};

constexpr FieldName kFieldNames[] = {
    {"type", &Fields::type},
    {"messageId", &Fields::message_id},
    {"event", &Fields::event},
    {"name", &Fields::name},
    {"groupId", &Fields::group_id},
    {"userId", &Fields::user_id},
    {"previousId", &Fields::previous_id},
    {"anonymousId", &Fields::anonymous_id},
    {"traits", &Fields::traits},
    {"properties", &Fields::properties},
    {"context", &Fields::context},
    {"integrations", &Fields::integrations},
    {"timestamp", &Fields::timestamp},
    {"originalTimestamp", &Fields::original_timestamp},
    {"sentAt", &Fields::sent_at},
    {"receivedAt", &Fields::received_at},
};

constexpr std::size_t kUsualIdentifiers = 4; // of a message

/// null is the same as absent.
std::string_view unless_null(std::string_view value) {
  return kind_of(value) == Kind::null ? std::string_view() : value;
}

/// One member wanted from an object; of duplicates the last wins.
struct Wanted {
  std::string_view name;
  std::string_view *slot;
};

void pick(std::string_view object, std::initializer_list<Wanted> wanted) {
  Cursor cursor(object);
  while (cursor.next())
    for (const Wanted &want : wanted)
      if (cursor.key_is(want.name))
        *want.slot = unless_null(cursor.value());
}

/// What the parser wants from a traits object.
struct PersonTraits {
  std::string_view email, phone, country, address_country;

  PersonTraits() = default;
  explicit PersonTraits(std::string_view traits) {
    std::string_view address;
    pick(traits, {{"email", &email}, {"phone", &phone}, {"country", &country}, {"address", &address}});
    pick(address, {{"country", &address_country}}); // an address that is a text has no country to read
  }
};

struct ContextParts {
  std::string_view traits, external_ids, device, locale, device_id, advertising_id;
};

/// The messageId a broken message shows before its fault, if any.
std::string readable_message_id(std::string_view valid_part) {
  std::string_view value;
  pick(json::trim_space(valid_part), {{"messageId", &value}});
  std::string id = kind_of(value) == Kind::string ? json::unescape(value) : std::string();
  return id.size() <= kMaxMessageIdBytes ? id : std::string();
}

/// The message's own context with the batch's keys that it lacks.
std::string merge_contexts(std::string_view own, std::string_view batch) {
  if (batch.empty() || own.empty())
    return std::string(own.empty() ? batch : own);
  std::unordered_set<std::string> keys;
  for (Cursor cursor(own); cursor.next();)
    keys.insert(json::unescape(cursor.raw_key()));
  if (keys.empty())
    return std::string(batch);
  std::string merged(own.substr(0, own.size() - 1));
  for (Cursor cursor(batch); cursor.next();) {
    if (keys.contains(json::unescape(cursor.raw_key())))
      continue;
    merged += ',';
    merged += cursor.raw_key();
    merged += ':';
    merged += cursor.value();
  }
  merged += '}';
  return merged;
}

/// ^[a-z][a-z0-9_.]{0,62}$
bool is_type_name(std::string_view name) {
  return !name.empty() && name.size() <= 63 && name[0] >= 'a' && name[0] <= 'z' &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || is_ascii_digit(c) || c == '_' || c == '.';
         });
}

/// A number that jsonb would print as it is written.
bool is_plain_integer(std::string_view number) {
  return !number.empty() && number.size() <= 255 && (number[0] != '0' || number.size() == 1) &&
         std::all_of(number.begin(), number.end(), is_ascii_digit);
}

/// Reads one validated message; each step returns false once `rejection_` says why. Texts are views of what
/// is read, or of `rewritten_`, until the message is complete.
class Reader {
public:
  Reader(std::string_view object, const BatchDefaults &defaults, Outline &outline)
      : object_(object), defaults_(defaults), outline_(outline) {
    outline_.message_id = outline_.group_id = {};
    outline_.identifiers.clear();
    outline_.region.clear();
  }

  Parsed run() {
    collect_fields([&](std::string_view key, std::string_view value) { add_extra(key, value); });
    if (read_message_id() && read_type() && read_objects() && read_event() && read_group_id() &&
        read_times() && read_identifiers()) {
      read_region();
      if (read_extra()) {
        take_outline();
        return std::move(message_);
      }
    }
    rejection_.message_id = outline_.message_id;
    return std::move(rejection_);
  }

  bool run_outline() {
    bool may_be_batch = false;
    collect_fields([&](std::string_view key, std::string_view) { may_be_batch |= key == "\"batch\""; });
    context_text_ = fields_.context;
    if (may_be_batch || !read_message_id() || !read_type() || !check_objects() || !read_group_id() ||
        !read_identifiers() || !rewritten_.empty())
      return false;
    read_region();
    return true;
  }

private:
  bool fail(Rejection why) {
    rejection_ = std::move(why);
    return false;
  }

  void take_outline() {
    message_.type = outline_.type;
    message_.message_id = outline_.message_id;
    message_.group_id = outline_.group_id;
    message_.identifiers.reserve(outline_.identifiers.size());
    for (const auto &[type, value] : outline_.identifiers)
      message_.identifiers.push_back({std::string(type), std::string(value)});
    message_.region = std::move(outline_.region);
  }

  std::string_view keep(std::string text) { return rewritten_.emplace_front(std::move(text)); }
  std::string_view text_of(std::string_view string) {
    return string.find('\\') == std::string_view::npos ? string.substr(1, string.size() - 2)
                                                       : keep(json::unescape(string));
  }

  template <class Other> void collect_fields(const Other &other) {
    for (Cursor cursor(object_); cursor.next();) {
      const auto *known = std::find_if(std::begin(kFieldNames), std::end(kFieldNames),
                                       [&](const FieldName &field) { return cursor.key_is(field.name); });
      if (known != std::end(kFieldNames))
        fields_.*known->slot = unless_null(cursor.value());
      else
        other(cursor.raw_key(), cursor.value());
    }
  }

  void add_extra(std::string_view raw_key, std::string_view value) {
    message_.extra += message_.extra.empty() ? '{' : ',';
    message_.extra += raw_key;
    message_.extra += ':';
    message_.extra += value;
  }

  /// A string, or a number as jsonb spells it, so that it is the same through every door; "" when absent.
  bool read_text(std::string_view field, std::string_view value, std::string_view &text) {
    text = {};
    if (value.empty())
      return true;
    switch (kind_of(value)) {
    case Kind::string:
      text = text_of(value);
      return true;
    case Kind::number:
      text = is_plain_integer(value) ? value : keep(json::plain_number(value));
      if (text.empty())
        return fail(rejection("invalid_field", "a number that is an id must be a short one",
                              std::string(field) + " is " + shorten(value)));
      return true;
    default:
      return fail(detail::wrong_kind(field, "a string or a number", value));
    }
  }

  bool read_message_id() {
    std::string_view id;
    if (!read_text("messageId", fields_.message_id, id))
      return false;
    if (id.size() > kMaxMessageIdBytes)
      return fail(rejection("invalid_field", "`messageId` must have at most 255 bytes",
                            "messageId has " + std::to_string(id.size()) + " bytes: " + shorten(id)));
    outline_.message_id = id;
    return true;
  }

  bool read_type() {
    if (fields_.type.empty())
      return fail(rejection("missing_type", "the message has no `type`"));
    const auto name = kind_of(fields_.type) == Kind::string ? text_of(fields_.type) : std::string_view();
    const auto *found = std::find(kTypeNames.begin(), kTypeNames.end(), name);
    if (found == kTypeNames.end())
      return fail(rejection("unknown_type", "`type` must be identify, track, page, screen, group or alias",
                            "type is " + shorten(fields_.type)));
    outline_.type = static_cast<MessageType>(found - kTypeNames.begin());
    return true;
  }

  bool is(MessageType type) const { return outline_.type == type; }
  bool has_name() const { return is(MessageType::page) || is(MessageType::screen); }

  bool check_object(std::string_view field, std::string_view value) {
    return value.empty() || kind_of(value) == Kind::object ||
           fail(detail::wrong_kind(field, "an object", value));
  }

  bool check_objects() {
    return check_object("traits", fields_.traits) && check_object("properties", fields_.properties) &&
           check_object("context", fields_.context);
  }

  bool read_objects() {
    if (!check_objects())
      return false;
    if (is(MessageType::identify) || is(MessageType::group))
      message_.traits = fields_.traits;
    message_.properties = fields_.properties;
    message_.context = merge_contexts(fields_.context, defaults_.context);
    context_text_ = message_.context;
    if (message_.context.size() > kMaxJsonBytes)
      return fail(detail::too_large(message_.context.size()));
    return true;
  }

  bool read_event() {
    if (has_name()) {
      std::string_view name;
      const bool read = read_text("name", fields_.name, name);
      message_.event = name;
      return read;
    }
    if (!is(MessageType::track))
      return true;
    if (kind_of(fields_.event) == Kind::string)
      message_.event = json::unescape(fields_.event);
    if (message_.event.empty())
      return fail(
          rejection("missing_event", "a track message needs `event`, a string that is not empty",
                    fields_.event.empty() ? "event is absent" : "event is " + shorten(fields_.event)));
    return true;
  }

  bool read_group_id() {
    std::string_view id;
    if (!read_text("groupId", fields_.group_id, id))
      return false;
    outline_.group_id = trim(id);
    if (is(MessageType::group) && outline_.group_id.empty())
      return fail(rejection("missing_group_id", "a group message needs `groupId`"));
    return true;
  }

  bool read_time(std::string_view field, std::string_view value, std::optional<Timestamp> &slot,
                 bool &is_local) {
    if (value.empty())
      return true;
    bool has_zone = false;
    slot = detail::read_instant(value, &has_zone);
    is_local = !has_zone;
    return slot.has_value() || fail(detail::bad_timestamp(field, value));
  }

  bool read_times() {
    auto &to = message_;
    if (fields_.sent_at.empty() && !defaults_.sent_at.empty()) {
      bool has_zone = false;
      to.sent_at = parse_iso8601(defaults_.sent_at, &has_zone);
      to.sent_at_is_local = !has_zone;
    }
    return read_time("timestamp", fields_.timestamp, to.timestamp, to.timestamp_is_local) &&
           read_time("originalTimestamp", fields_.original_timestamp, to.original_timestamp,
                     to.original_timestamp_is_local) &&
           read_time("sentAt", fields_.sent_at, to.sent_at, to.sent_at_is_local) &&
           read_time("receivedAt", fields_.received_at, to.received_at, to.received_at_is_local);
  }

  bool add_identifier(std::string_view type, std::string_view raw) {
    const std::string_view value = trim(raw);
    if (value.empty())
      return true;
    auto &list = outline_.identifiers;
    const auto is_it = [&](const Outline::Identifier &one) { return one.type == type && one.value == value; };
    if (std::any_of(list.begin(), list.end(), is_it))
      return true;
    if (list.size() == kMaxIdentifiers)
      return fail(rejection("too_many_identifiers", "a message may carry at most " +
                                                        std::to_string(kMaxIdentifiers) + " identifiers"));
    if (list.empty())
      list.reserve(kUsualIdentifiers);
    list.push_back({type, value});
    return true;
  }

  bool take_identifier(std::string_view type, std::string_view field, std::string_view value) {
    std::string_view text;
    return read_text(field, value, text) && add_identifier(type, text);
  }

  bool read_identifiers() {
    if (!read_context())
      return false;
    const bool identify = is(MessageType::identify);
    own_ = PersonTraits(identify ? fields_.traits : std::string_view()); // a group's traits are the group's
    given_ = PersonTraits(context_.traits);
    if (!take_identifier("user_id", "userId", fields_.user_id) || !read_alias() ||
        !take_identifier("email", "traits.email", own_.email) ||
        !take_identifier("email", "context.traits.email", given_.email) ||
        !take_identifier("phone", "traits.phone", own_.phone) ||
        !take_identifier("phone", "context.traits.phone", given_.phone) || !read_external_ids() ||
        !take_identifier("device_id", "context.device.id", context_.device_id) ||
        !take_identifier("advertising_id", "context.device.advertisingId", context_.advertising_id) ||
        !take_identifier("anonymous_id", "anonymousId", fields_.anonymous_id))
      return false;
    if (outline_.identifiers.empty())
      return fail(
          rejection("no_identifier", "the message carries no identifier, so it is nobody's",
                    "one of these must not be empty: userId, anonymousId, traits.email or traits.phone "
                    "(identify), context.traits.email, context.traits.phone, context.externalIds, "
                    "context.device.id, context.device.advertisingId"));
    return true;
  }

  bool read_context() {
    pick(context_text_, {{"traits", &context_.traits},
                         {"externalIds", &context_.external_ids},
                         {"device", &context_.device},
                         {"locale", &context_.locale}});
    if (!check_object("context.traits", context_.traits) || !check_object("context.device", context_.device))
      return false;
    if (!context_.external_ids.empty() && kind_of(context_.external_ids) != Kind::array)
      return fail(detail::wrong_kind("context.externalIds", "an array", context_.external_ids));
    pick(context_.device, {{"id", &context_.device_id}, {"advertisingId", &context_.advertising_id}});
    return true;
  }

  bool read_alias() {
    if (!is(MessageType::alias))
      return true;
    std::string_view previous;
    if (outline_.identifiers.empty())
      return fail(rejection("missing_user_id", "an alias message needs `userId`"));
    if (!read_text("previousId", fields_.previous_id, previous))
      return false;
    if (trim(previous).empty())
      return fail(rejection("missing_previous_id", "an alias message needs `previousId`"));
    return add_identifier("user_id", previous);
  }

  bool read_external_ids() {
    if (context_.external_ids.empty())
      return true;
    Cursor cursor(context_.external_ids);
    while (cursor.next())
      if (!read_external_id(cursor.value()))
        return false;
    return true;
  }

  bool read_external_id(std::string_view element) {
    if (kind_of(element) != Kind::object)
      return fail(detail::wrong_kind("context.externalIds[]", "an object", element));
    std::string_view id, type, collection;
    pick(element, {{"id", &id}, {"type", &type}, {"collection", &collection}});
    if (!collection.empty() && json::unescape(collection) != "users")
      return true; // an account's or another thing's id: it stays in the context only
    std::string_view value;
    if (!read_text("context.externalIds[].id", id, value))
      return false;
    if (trim(value).empty())
      return true;
    auto name = kind_of(type) == Kind::string ? text_of(type) : std::string_view();
    if (!is_type_name(name))
      name = keep(ascii_lower(name));
    if (!is_type_name(name))
      return fail(
          rejection("invalid_field",
                    "`context.externalIds[].type` must be a letter, then at most 62 letters, digits, _ or .",
                    "type is " + (type.empty() ? "absent" : shorten(type))));
    return add_identifier(name, value);
  }

  bool try_country(std::string_view value) {
    if (outline_.region.empty() && kind_of(value) == Kind::string)
      outline_.region = region_from_country(json::unescape(value));
    return !outline_.region.empty();
  }

  void read_region() {
    if (try_country(own_.address_country) || try_country(own_.country) ||
        try_country(given_.address_country) || try_country(given_.country))
      return;
    if (kind_of(context_.locale) == Kind::string)
      outline_.region = region_from_locale(json::unescape(context_.locale));
  }

  /// The fields that this type of message has no place for, so that nothing is lost.
  bool read_extra() {
    const std::string_view integrations =
        fields_.integrations.empty() ? std::string_view(defaults_.integrations) : fields_.integrations;
    const std::pair<std::string_view, std::string_view> left[] = {
        {"\"event\"", is(MessageType::track) ? std::string_view() : fields_.event},
        {"\"name\"", has_name() ? std::string_view() : fields_.name},
        {"\"previousId\"", is(MessageType::alias) ? std::string_view() : fields_.previous_id},
        {"\"groupId\"", is(MessageType::group) ? std::string_view() : fields_.group_id},
        {"\"properties\"", is(MessageType::track) || has_name() ? std::string_view() : fields_.properties},
        {"\"traits\"", message_.traits.empty() ? fields_.traits : std::string_view()},
        {"\"integrations\"", integrations},
    };
    for (const auto &[key, value] : left)
      if (!value.empty())
        add_extra(key, value);
    if (!message_.extra.empty())
      message_.extra += '}';
    return message_.extra.size() <= kMaxJsonBytes || fail(detail::too_large(message_.extra.size()));
  }

  std::string_view object_;
  const BatchDefaults &defaults_;
  Fields fields_;
  std::string_view context_text_;
  ContextParts context_;
  PersonTraits own_, given_;
  std::forward_list<std::string> rewritten_; // texts that are not what is read, byte by byte
  Outline &outline_;                         // what the message says already
  Message message_;
  Rejection rejection_;
};

} // namespace

std::string_view to_string(MessageType type) {
  return kTypeNames[static_cast<std::size_t>(type)];
}

std::optional<Timestamp> detail::read_instant(std::string_view value, bool *has_zone) {
  static const Timestamp first = midnight_utc(1900, 1, 1);
  if (kind_of(value) != Kind::string)
    return std::nullopt;
  const auto at = value.find('\\') == std::string_view::npos
                      ? parse_iso8601(value.substr(1, value.size() - 2), has_zone)
                      : parse_iso8601(json::unescape(value), has_zone);
  return at && *at >= first ? at : std::nullopt;
}

Parsed parse_message(std::string_view json, const BatchDefaults &defaults) {
  if (json.size() > kMaxJsonBytes)
    return detail::too_large(json.size());
  if (const auto error = json::validate(json, kMaxJsonDepth)) {
    Rejection why = detail::broken(*error, json);
    why.message_id = readable_message_id(json.substr(0, error->offset));
    return why;
  }
  const std::string_view value = json::trim_space(json);
  if (kind_of(value) != Kind::object)
    return rejection("invalid_json", "a message must be a JSON object", shorten(value));
  Outline outline;
  return Reader(value, defaults, outline).run();
}

bool read_outline(std::string_view json, Outline &outline) {
  static const BatchDefaults none;
  const std::string_view value = json::trim_space(json);
  if (json.size() > kMaxJsonBytes || kind_of(value) != Kind::object ||
      value.find('\\') != std::string_view::npos) // escapes may mean anything before they are checked
    return false;
  return Reader(value, none, outline).run_outline();
}

Timestamp occurred_at(const Message &message, Timestamp received_at) {
  static const Timestamp first = midnight_utc(1900, 1, 1);
  static const Timestamp last = midnight_utc(10'000, 1, 1) - 1;
  if (message.timestamp && message.original_timestamp)
    return *message.timestamp; // a collector has corrected it already
  const Timestamp receipt = message.received_at.value_or(received_at);
  if (!message.has_timestamp())
    return receipt;
  const Timestamp device = message.original_timestamp ? *message.original_timestamp : *message.timestamp;
  if (!message.sent_at)
    return device;
  const Timestamp age = *message.sent_at - device; // both within 1900..9999, so no overflow
  return std::clamp(std::clamp(receipt, first, last) - age, first, last);
}

} // namespace cdp::core
