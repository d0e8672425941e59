#include "json.hpp"
#include "message.hpp"

#include <gtest/gtest.h>

namespace cdp::core {
namespace {

/// An outline says of a sound message what the whole says.
void compare_outline(std::string_view json, const Message &message) {
  Outline outline;
  if (!read_outline(json, outline)) {
    const auto holds = [&](std::string_view text) { return json.find(text) != std::string_view::npos; };
    const auto &given = message.identifiers;
    const bool is_written_otherwise =
        !holds(message.message_id) || !holds(message.group_id) ||
        std::any_of(given.begin(), given.end(), [&](const auto &one) {
          return !holds(one.value) || !(holds('"' + one.type + '"') || holds(one.type.substr(0, 4)));
        });
    EXPECT_TRUE(holds("\\") || holds("\"batch\"") || is_written_otherwise) << json;
    return;
  }
  EXPECT_EQ(outline.type, message.type) << json;
  EXPECT_EQ(outline.message_id, message.message_id) << json;
  EXPECT_EQ(outline.group_id, message.group_id) << json;
  std::vector<RawIdentifier> identifiers;
  for (const auto &[type, value] : outline.identifiers)
    identifiers.push_back({std::string(type), std::string(value)});
  EXPECT_EQ(identifiers, message.identifiers) << json;
  EXPECT_EQ(outline.region, message.region) << json;
}

Message accept(std::string_view json, const BatchDefaults &defaults = {}) {
  Parsed parsed = parse_message(json, defaults);
  if (const auto *why = std::get_if<Rejection>(&parsed)) {
    ADD_FAILURE() << "rejected: " << why->code << ": " << why->reason << " (" << why->detail << "): " << json;
    return {};
  }
  if (defaults.context.empty())
    compare_outline(json, std::get<Message>(parsed));
  return std::get<Message>(std::move(parsed));
}

Rejection refuse(std::string_view json) {
  Parsed parsed = parse_message(json);
  if (std::holds_alternative<Message>(parsed)) {
    ADD_FAILURE() << "accepted: " << json;
    return {};
  }
  return std::get<Rejection>(std::move(parsed));
}

/// A message of a type with one user and more members.
std::string with(std::string_view members, std::string_view type = "identify") {
  return R"({"type":")" + std::string(type) + R"(","userId":"u")" + (members.empty() ? "" : ",") +
         std::string(members) + "}";
}

std::string ids(const Message &message) {
  std::string text;
  for (const RawIdentifier &identifier : message.identifiers)
    text += (text.empty() ? "" : " ") + identifier.type + "=" + identifier.value;
  return text;
}

Timestamp at(std::string_view text) {
  return parse_iso8601(text).value();
}

TEST(Message, ReadsATrack) {
  const Message m = accept(
      R"( {"type":"track","messageId":"m1","userId":"u1","anonymousId":"a1","event":"Order \"x\" \\ \u00e9",
    "properties":{"price": 12345678901234567890.123456789, "big":1e400},"context":{"ip":"1.2.3.4","locale":"nl-NL"},
    "timestamp":"2025-04-02T05:37:22.472Z","sentAt":"2025-04-02T05:37:25Z","receivedAt":"2025-04-02T05:37:26Z",
    "channel":"web", "version":1.10, "integrations":{"All":true}} )");
  EXPECT_EQ(m.type, MessageType::track);
  EXPECT_EQ(to_string(m.type), "track");
  EXPECT_EQ(m.message_id, "m1");
  EXPECT_EQ(m.event, "Order \"x\" \\ \u00E9");
  EXPECT_EQ(ids(m), "user_id=u1 anonymous_id=a1");
  EXPECT_EQ(m.properties, R"({"price": 12345678901234567890.123456789, "big":1e400})");
  EXPECT_EQ(m.context, R"({"ip":"1.2.3.4","locale":"nl-NL"})");
  EXPECT_EQ(m.traits, "");
  EXPECT_EQ(m.extra, R"({"channel":"web","version":1.10,"integrations":{"All":true}})");
  EXPECT_EQ(m.region, "NL");
  EXPECT_TRUE(m.has_timestamp());
  EXPECT_EQ(m.sent_at, at("2025-04-02T05:37:25Z"));
  EXPECT_EQ(m.received_at, at("2025-04-02T05:37:26Z"));
  EXPECT_FALSE(m.original_timestamp.has_value());
}

TEST(Message, IdentifiersComeInTheStatedOrder) {
  const Message m =
      accept(R"({"type":"identify","anonymousId":" a ","context":{"device":{"advertisingId":"ad","id":"dev"},
    "externalIds":[{"id":"E1","type":"Crm.Id","collection":"users","encoding":"none"},{"id":7,"type":"loyalty_id"},
      {"id":"acc","type":"account","collection":"accounts"},{"id":"","type":"x"},{"id":null,"type":5},
      {"id":"c@x.nl","type":"email"}],
    "traits":{"phone":"06","email":"c@x.nl"}},"traits":{"phone":612345678,"email":"t@x.nl"},"userId":42})");
  EXPECT_EQ(
      ids(m),
      "user_id=42 email=t@x.nl email=c@x.nl phone=612345678 phone=06 crm.id=E1 loyalty_id=7 device_id=dev "
      "advertising_id=ad anonymous_id=a");
}

TEST(Message, AGroupsTraitsAreNotAPersons) {
  const Message m = accept(with(
      R"("groupId":" g1 ","traits":{"email":"info@acme.nl","phone":"1","country":"DE"},"context":{"traits":{"email":"p@x.nl"},"locale":"nl_NL"})",
      "group"));
  EXPECT_EQ(ids(m), "user_id=u email=p@x.nl");
  EXPECT_EQ(m.group_id, "g1");
  EXPECT_EQ(m.traits, R"({"email":"info@acme.nl","phone":"1","country":"DE"})");
  EXPECT_EQ(m.region, "NL");
}

TEST(Message, AliasJoinsTwoUserIds) {
  EXPECT_EQ(ids(accept(with(R"("previousId":"old")", "alias"))), "user_id=u user_id=old");
  EXPECT_EQ(refuse(with("", "alias")).code, "missing_previous_id");
  EXPECT_EQ(refuse(with(R"("previousId":" ")", "alias")).code, "missing_previous_id");
  EXPECT_EQ(refuse(R"({"type":"alias","previousId":"old","anonymousId":"a"})").code, "missing_user_id");
}

TEST(Message, PagesAndScreensHaveNames) {
  EXPECT_EQ(accept(with(R"("name":"Home")", "page")).event, "Home");
  EXPECT_EQ(accept(with(R"("name":"Home")", "screen")).event, "Home");
  EXPECT_EQ(accept(with("", "page")).event, "");
  EXPECT_EQ(refuse(with(R"("name":{})", "page")).code, "invalid_field");
}

TEST(Message, FieldsWithoutAPlaceGoToExtra) {
  EXPECT_EQ(accept(with(R"("event":"e","name":"n","traits":{"a":1},"previousId":"p")", "track")).extra,
            R"({"name":"n","previousId":"p","traits":{"a":1}})");
  EXPECT_EQ(accept(with(R"("event":"e","name":null,"x":null)", "page")).extra, R"({"x":null,"event":"e"})");
  EXPECT_EQ(accept(with(R"("we\"ird\u0041":[1, 2])")).extra, R"({"we\"ird\u0041":[1, 2]})");
  EXPECT_EQ(accept(with(R"("traits":{})")).extra, "");
}

TEST(Message, TheLastOfDuplicateKeysWins) {
  const Message m = accept(
      R"({"type":"track","type":"identify","userId":"a","user\u0049d":"b","messageId":"1","messageId":null,"traits":{"email":"x","email":"y"},
         "context":{"device":{"id":"d"}},"context":{"locale":"x","locale":"de-AT"}})");
  EXPECT_EQ(m.type, MessageType::identify);
  EXPECT_EQ(m.message_id, "");
  EXPECT_EQ(ids(m), "user_id=b email=y");
  EXPECT_EQ(m.region, "AT");
  EXPECT_EQ(refuse(with(R"("userId":null)")).code, "no_identifier");
}

TEST(Message, NullIsAbsent) {
  const Message m = accept(with(
      R"("messageId":null,"anonymousId":null,"traits":null,"properties":null,"context":null,"timestamp":null,"sentAt":null,"integrations":null)"));
  EXPECT_EQ(m.traits + m.properties + m.context + m.extra + m.message_id, "");
  EXPECT_FALSE(m.has_timestamp());
}

TEST(Message, RegionsComeFromTheNearestPlace) {
  const auto region = [](std::string_view members) { return accept(with(members)).region; };
  EXPECT_EQ(region(R"("traits":{"address":{"country":"nl"},"country":"DE"})"), "NL");
  EXPECT_EQ(region(R"("traits":{"address":{"country":"Netherlands"},"country":"DE"})"), "DE");
  EXPECT_EQ(
      region(
          R"("traits":{"address":"Main St 1","country":5},"context":{"traits":{"country":"fr"},"locale":"en-GB"})"),
      "FR");
  EXPECT_EQ(region(R"("context":{"traits":{"address":{"country":"BE"},"country":"fr"}})"), "BE");
  EXPECT_EQ(region(R"("context":{"locale":"en-GB"})"), "GB");
  EXPECT_EQ(region(R"("context":{"locale":"nl_NL.UTF-8"})"), "NL");
  EXPECT_EQ(region(R"("context":{"locale":"zh-Hant-TW"})"), "TW");
  EXPECT_EQ(region(R"("context":{"locale":"en-u-ca"})"), "");
  EXPECT_EQ(region(R"("context":{"locale":"en"})"), "");
  EXPECT_EQ(region(R"("context":{"locale":["x"]})"), "");
}

struct Bad {
  std::string json;
  const char *code;
  const char *detail; // a part of reason or detail
};

class Refusals : public testing::TestWithParam<Bad> {};

TEST_P(Refusals, SayWhy) {
  const Rejection why = refuse(GetParam().json);
  EXPECT_EQ(why.code, GetParam().code) << GetParam().json;
  EXPECT_FALSE(why.reason.empty());
  EXPECT_NE((why.reason + "|" + why.detail).find(GetParam().detail), std::string::npos)
      << why.reason << "|" << why.detail;
}

std::string many_ids(int count) {
  std::string list;
  for (int i = 0; i < count; ++i)
    list += (i ? "," : "") + std::string(R"({"type":"t","id":)") + std::to_string(i) + "}";
  return with(R"("context":{"externalIds":[)" + list + "]}");
}

INSTANTIATE_TEST_SUITE_P(
    Message, Refusals,
    testing::Values(
        Bad{"", "invalid_json", "ends"}, Bad{"[]", "invalid_json", "object"},
        Bad{"\"x\"", "invalid_json", "object"}, Bad{"null", "invalid_json", "object"},
        Bad{"{\"type\":\"track\",}", "invalid_json", "byte 17"},
        Bad{with(R"("x":{"y":01})"), "invalid_json", "number"},
        Bad{with(R"("x":1e999999)"), "invalid_number", "numeric"},
        Bad{with(R"("x":"\u0000")"), "invalid_unicode", "u0000"},
        Bad{with(R"("x":"\ud800")"), "invalid_unicode", "surrogate"},
        Bad{with("\"x\":\"\xFF\""), "invalid_unicode", "UTF-8"},
        Bad{with("\"x\":" + std::string(1000, '[') + std::string(1000, ']')), "too_deep", "nested"},
        Bad{"{\"type\":\"track\",\"x\":\"" + std::string(kMaxJsonBytes, 'x') + "\"}", "too_large", "bytes"},
        Bad{R"({"userId":"u"})", "missing_type", "type"},
        Bad{R"({"type":null,"userId":"u"})", "missing_type", "type"},
        Bad{R"({"type":"Track","userId":"u"})", "unknown_type", "Track"},
        Bad{R"({"type":7,"userId":"u"})", "unknown_type", "7"},
        Bad{with("", "track"), "missing_event", "absent"},
        Bad{with(R"("event":"")", "track"), "missing_event", "event"},
        Bad{with(R"("event":5)", "track"), "missing_event", "5"},
        Bad{with("", "group"), "missing_group_id", "groupId"},
        Bad{with(R"("anonymousId":true)"), "invalid_field", "anonymousId is of JSON type boolean"},
        Bad{with(R"("anonymousId":[1])"), "invalid_field", "anonymousId is of JSON type array"},
        Bad{with(R"("traits":[])"), "invalid_field", "traits"},
        Bad{with(R"("properties":"x")"), "invalid_field", "properties"},
        Bad{with(R"("context":1)"), "invalid_field", "context"},
        Bad{with(R"("traits":{"email":{}})"), "invalid_field", "traits.email"},
        Bad{with(R"("context":{"device":{"id":[]}})"), "invalid_field", "context.device.id"},
        Bad{with(R"("context":{"device":"x"})"), "invalid_field", "context.device"},
        Bad{with(R"("context":{"traits":"x"})"), "invalid_field", "context.traits"},
        Bad{with(R"("context":{"externalIds":{}})"), "invalid_field", "externalIds"},
        Bad{with(R"("context":{"externalIds":["x"]})"), "invalid_field", "externalIds"},
        Bad{with(R"("context":{"externalIds":[{"id":"x"}]})"), "invalid_field", "absent"},
        Bad{with(R"("context":{"externalIds":[{"id":"x","type":"a b"}]})"), "invalid_field", "a b"},
        Bad{with(R"("context":{"externalIds":[{"id":"x","type":"1a"}]})"), "invalid_field", "1a"},
        Bad{with(R"("context":{"externalIds":[{"id":true,"type":"a"}]})"), "invalid_field", "boolean"},
        Bad{with(R"("messageId":{})"), "invalid_field", "messageId"},
        Bad{with("\"messageId\":\"" + std::string(256, 'm') + "\""), "invalid_field", "255"},
        Bad{with(R"("timestamp":"now")"), "invalid_timestamp", "timestamp is \"now\""},
        Bad{with(R"("timestamp":1743572242)"), "invalid_timestamp", "1743572242"},
        Bad{with(R"("timestamp":"")"), "invalid_timestamp", "timestamp"},
        Bad{with(R"("timestamp":"1899-12-31T23:59:59Z")"), "invalid_timestamp", "1899"},
        Bad{with(R"("originalTimestamp":"2025-02-30")"), "invalid_timestamp", "originalTimestamp"},
        Bad{with(R"("sentAt":{})"), "invalid_timestamp", "sentAt"},
        Bad{with(R"("receivedAt":"infinity")"), "invalid_timestamp", "receivedAt"},
        Bad{R"({"type":"identify"})", "no_identifier", "context.externalIds"},
        Bad{R"({"type":"identify","userId":" \u00a0 "})", "no_identifier", "userId"},
        Bad{R"({"type":"track","event":"e","traits":{"email":"a@b.c"}})", "no_identifier", "userId"},
        Bad{many_ids(50), "too_many_identifiers", "50"}));

TEST(Message, FiftyIdentifiersAreFine) {
  EXPECT_EQ(accept(many_ids(49)).identifiers.size(), 50u);
}

TEST(Message, NestingToTheLimitIsFine) {
  accept(with("\"x\":" + std::string(999, '[') + std::string(999, ']')));
}

TEST(Message, RejectionsKeepAReadableMessageId) {
  EXPECT_EQ(refuse(R"({"messageId":"m1","type":"nope"})").message_id, "m1");
  EXPECT_EQ(refuse(R"({"type":"nope","messageId":17})").message_id, "17");
  EXPECT_EQ(refuse(R"({"messageId":"m1","type":"track",)").message_id, "m1");
  EXPECT_EQ(refuse(R"({"messageId":"m1","x":"\u0000"})").message_id, "m1");
  EXPECT_EQ(refuse("{\"messageId\":\"m1\",\"x\":\"\xFF\"}").message_id, "m1");
  EXPECT_EQ(refuse(R"({"messageId":"\u0000"})").message_id, "");
  EXPECT_EQ(refuse(R"({"messageId":"m1)").message_id, "");
}

TEST(Message, TextsOfRejectionsStayValid) {
  const Rejection why = refuse("{\"type\":\"" + std::string(99, 'a') + "\u00E9\u00E9\"}");
  EXPECT_LT(why.detail.size(), 150u);
  EXPECT_FALSE(
      json::validate("\"" + refuse(std::string("{\"a\":\0\x01\xFF}", 9)).reason + "\"", 1).has_value());
}

TEST(Message, BatchDefaultsFillGaps) {
  const BatchDefaults defaults{R"({"ip":"9.9.9.9","locale":"de-DE","app":{"name":"x"}})",
                               "2025-01-01T00:00:05Z", R"({"All":false})"};
  const Message own =
      accept(with(R"("context":{"loc\u0061le":"nl-NL"},"sentAt":"2025-01-01T00:00:09Z","integrations":{})"),
             defaults);
  EXPECT_EQ(own.context, R"({"loc\u0061le":"nl-NL","ip":"9.9.9.9","app":{"name":"x"}})");
  EXPECT_EQ(own.region, "NL");
  EXPECT_EQ(own.sent_at, at("2025-01-01T00:00:09Z"));
  EXPECT_EQ(own.extra, R"({"integrations":{}})");
  const Message bare = accept(with(""), defaults);
  EXPECT_EQ(bare.context, defaults.context);
  EXPECT_EQ(bare.sent_at, at("2025-01-01T00:00:05Z"));
  EXPECT_EQ(bare.extra, R"({"integrations":{"All":false}})");
  EXPECT_EQ(bare.region, "DE");
  EXPECT_EQ(accept(with(R"("context":{ })"), defaults).context, defaults.context);
  EXPECT_EQ(accept(with(R"("context":{"ip":null})"), {R"({"ip":"1"})", "", ""}).context, R"({"ip":null})");
}

TEST(OccurredAt, CorrectsTheDevicesClock) {
  const Timestamp receipt = at("2025-04-02T12:00:00Z");
  const auto occurred = [&](std::string_view members) {
    return format_iso8601(occurred_at(accept(with(members)), receipt)).substr(0, 19);
  };
  EXPECT_EQ(occurred(""), "2025-04-02T12:00:00");
  EXPECT_EQ(occurred(R"("receivedAt":"2025-04-02T11:00:00Z")"), "2025-04-02T11:00:00");
  EXPECT_EQ(occurred(R"("timestamp":"2025-04-02T09:00:00Z")"), "2025-04-02T09:00:00");
  EXPECT_EQ(occurred(R"("timestamp":"2030-01-01T00:00:00Z","sentAt":"2030-01-01T00:00:10Z")"),
            "2025-04-02T11:59:50");
  EXPECT_EQ(
      occurred(
          R"("originalTimestamp":"2030-01-01T00:00:00Z","sentAt":"2030-01-01T00:00:10Z","receivedAt":"2025-04-02T11:00:00Z")"),
      "2025-04-02T10:59:50");
  EXPECT_EQ(
      occurred(
          R"("timestamp":"2025-04-01T00:00:00Z","originalTimestamp":"2030-01-01T00:00:00Z","sentAt":"2030-01-01T00:00:10Z")"),
      "2025-04-01T00:00:00");
  EXPECT_EQ(occurred(R"("timestamp":"9999-12-31T00:00:00Z","sentAt":"1900-01-01T00:00:00Z")"),
            "9999-12-31T23:59:59");
  EXPECT_EQ(occurred(R"("timestamp":"1900-01-01T00:00:00Z","sentAt":"9999-01-01T00:00:00Z")"),
            "1900-01-01T00:00:00");
}

std::vector<std::string> split(std::string_view json) {
  auto result = split_batch(json);
  if (const auto *why = std::get_if<Rejection>(&result))
    return {"rejected", why->code};
  return std::get<Batch>(result).messages;
}

using Texts = std::vector<std::string>;

TEST(SplitBatch, HandsOutEachMessageAsItIs) {
  const auto result = split_batch(
      R"( {"batch":[ {"type":"track", "n":1e400} ,{"bad":01},7], "context":{"a": 1},"sentAt":"2025-01-01","integrations":{"All":true},"writeKey":"k"} )");
  const Batch &batch = std::get<Batch>(result);
  EXPECT_EQ(batch.messages, (Texts{R"({"type":"track", "n":1e400})", R"({"bad":01})", "7"}));
  EXPECT_EQ(batch.defaults.context, R"({"a": 1})");
  EXPECT_EQ(batch.defaults.sent_at, "2025-01-01");
  EXPECT_EQ(batch.defaults.integrations, R"({"All":true})");
}

TEST(SplitBatch, TakesArraysAndSingleMessages) {
  EXPECT_EQ(split("[]"), Texts{});
  EXPECT_EQ(split("{\"batch\":[]}"), Texts{});
  EXPECT_EQ(split(" [{},\n{\"a\":\"]\"}]"), (Texts{"{}", "{\"a\":\"]\"}"}));
  for (const char *text : {"", "x", "{", R"({"type":"track"})", R"({"type":"track","batch":[1]})", R"({"a":)",
                           "null", "{\"batch\":null}"})
    EXPECT_EQ(split(text), Texts{text});
}

TEST(SplitBatch, OneBadMessageDoesNotSpoilTheRest) {
  EXPECT_EQ(split("{\"batch\":[{\"a\":\"\\u0000\"},{\"b\":\"\xFF\"},{\"c\":[1}},{\"d\":1}]}"),
            (Texts{"{\"a\":\"\\u0000\"}", "{\"b\":\"\xFF\"}", "{\"c\":[1}}", "{\"d\":1}"}));
}

TEST(SplitBatch, RefusesWhatItCannotSplit) {
  const auto code = [](std::string_view text) {
    const Texts got = split(text);
    return got.size() == 2 && got[0] == "rejected" ? got[1] : "accepted";
  };
  EXPECT_EQ(code("{\"batch\":{}}"), "invalid_field");
  EXPECT_EQ(code("{\"batch\":[],\"context\":[]}"), "invalid_field");
  EXPECT_EQ(code("{\"batch\":[],\"context\":{\"a\":01}}"), "invalid_json");
  EXPECT_EQ(code("{\"batch\":[],\"integrations\":\"\\u0000\"}"), "invalid_unicode");
  EXPECT_EQ(code("{\"batch\":[],\"sentAt\":\"now\"}"), "invalid_timestamp");
  EXPECT_EQ(code("{\"batch\":[],\"sentAt\":5}"), "invalid_timestamp");
  EXPECT_EQ(code("{\"batch\":[{}]"), "invalid_json");
  EXPECT_EQ(code("{\"batch\":[{}]} x"), "invalid_json");
  EXPECT_EQ(code("[{},]"), "invalid_json");
  EXPECT_EQ(code("[{}"), "invalid_json");
  EXPECT_EQ(code("[{}] ]"), "invalid_json");
  EXPECT_EQ(code("[" + std::string(kMaxJsonBytes, ' ') + "]"), "too_large");
}

TEST(Outline, LeavesToOthersWhatIsNotAsPlain) {
  Outline outline;
  EXPECT_FALSE(read_outline(R"({"batch": [{"type": "page", "userId": "u"}]})", outline));
  EXPECT_FALSE(read_outline(R"([{"type": "page", "userId": "u"}])", outline));
  EXPECT_FALSE(read_outline(R"({"type": "page", "userId": "\u0061"})", outline));
  EXPECT_FALSE(read_outline(R"({"type": "page", "userId": 1e2})", outline));
  EXPECT_FALSE(
      read_outline(R"({"type": "page", "context": {"externalIds": [{"type": "Crm", "id": "a"}]}})", outline));
  EXPECT_FALSE(read_outline(R"({"type": "page"})", outline));
  EXPECT_FALSE(read_outline("", outline));
}

TEST(Outline, DoesNotLookWhetherTheTextIsSound) {
  Outline outline;
  EXPECT_TRUE(read_outline(R"({"type": "page", "userId": "u", "timestamp": "never"} and more)", outline));
  EXPECT_TRUE(read_outline(R"({"type": "page", "userId": "u", "name)", outline));
}

} // namespace
} // namespace cdp::core
