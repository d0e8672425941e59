#include "decimal.hpp"
#include "schema_node.hpp"
#include "tracking_plan.hpp"

#include <gtest/gtest.h>

namespace cdp::core {

namespace {

Schema compile(std::string_view json) {
  auto result = Schema::compile(json);
  if (auto *fault = std::get_if<SchemaFault>(&result))
    ADD_FAILURE() << fault->place << ": " << fault->reason;
  return std::get<Schema>(std::move(result));
}

std::string fault_of(std::string_view json) {
  auto result = Schema::compile(json);
  auto *fault = std::get_if<SchemaFault>(&result);
  return fault ? fault->place : "none";
}

// "place keyword" of each violation, in order.
std::string violations(std::string_view schema, std::string_view value) {
  Violations found;
  compile(schema).check(value, found);
  std::string text;
  for (const auto &[what, example] : found.all())
    text += (text.empty() ? "" : ", ") + what.first + ' ' + what.second;
  return text;
}

TEST(Decimal, ComparesWhatWasWritten) {
  EXPECT_EQ(Decimal("1.50").text(), Decimal("15e-1").text());
  EXPECT_EQ(Decimal("-0").text(), Decimal("0.00e7").text());
  EXPECT_NE(Decimal("0.1").text(), Decimal("0.10000000000000000000001").text());
  EXPECT_TRUE(Decimal("9007199254740992") < Decimal("9007199254740993"));
  EXPECT_TRUE(Decimal("-2") < Decimal("-1.5"));
  EXPECT_TRUE(Decimal("-1e400") < Decimal("0"));
  EXPECT_FALSE(Decimal("1e2") < Decimal("100"));
  EXPECT_TRUE(Decimal("0.09") < Decimal("0.1"));
  EXPECT_TRUE(Decimal("1.0").is_integer());
  EXPECT_TRUE(Decimal("12e1").is_integer());
  EXPECT_FALSE(Decimal("12e-1").is_integer());
}

TEST(Schema, HoldsValuesAgainstEachKeyword) {
  EXPECT_EQ(violations(R"({"type": "integer"})", "1.0"), "");
  EXPECT_EQ(violations(R"({"type": "integer"})", "1.5"), " type");
  EXPECT_EQ(violations(R"({"type": ["string", "null"]})", "null"), "");
  EXPECT_EQ(violations(R"({"enum": [1, {"a": [1, 2]}]})", R"({"\u0061": [1.0, 20e-1]})"), "");
  EXPECT_EQ(violations(R"({"enum": [1, "1"]})", "true"), " enum");
  EXPECT_EQ(violations(R"({"minimum": 0.1})", "0.10"), "");
  EXPECT_EQ(violations(R"({"minimum": 0.1, "maximum": 0})", "0.05"), " maximum,  minimum");
  EXPECT_EQ(violations(R"({"minimum": 5})", "\"no number\""), "");
  EXPECT_EQ(violations(R"({"pattern": "b"})", "\"abc\""), "");
  EXPECT_EQ(violations(R"({"pattern": "^b"})", "\"abc\""), " pattern");
  EXPECT_EQ(violations(R"({"format": "date"})", "\"2026-02-29\""), " format");
  EXPECT_EQ(violations(R"({"format": "date-time"})", "\"2026-02-28T10:00:00+01:00\""), "");
  EXPECT_EQ(violations(R"({"format": "uuid"})", "\"5f0c954c-2eee-4a18-9d0b-3f4b28a0d6fb\""), "");
  EXPECT_EQ(violations(R"({"format": "email"})", "\"a@b@c\""), " format");
  EXPECT_EQ(
      violations(R"({"items": {"properties": {"a": {"type": "string"}}}})", R"([{"a": 1}, 2, {"a": 2}])"),
      "[].a type");
  EXPECT_EQ(violations(R"({"required": ["a", "b"], "additionalProperties": false})", R"({"a": 1, "c": 2})"),
            "a additionalProperties, b required, c additionalProperties");
  EXPECT_EQ(violations(R"({"additionalProperties": {"type": "string"}})", R"({"c": 2})"), "c type");
  EXPECT_EQ(violations(R"({"properties": {"a": false}})", R"({"a": 2})"), "a false");
  EXPECT_EQ(violations(R"({"properties": {"a": {"type": "string"}}})", R"({"a": 2, "a": "last"})"), "");
}

TEST(Schema, SaysWhatItDoesNotUnderstandAndWhere) {
  EXPECT_EQ(fault_of(R"({"properties": {"a": {"oneOf": []}}})"), "properties.a.oneOf");
  EXPECT_EQ(fault_of(R"({"type": []})"), "type");
  EXPECT_EQ(fault_of(R"({"type": "float"})"), "type");
  EXPECT_EQ(fault_of(R"({"items": {"minimum": "1"}})"), "items.minimum");
  EXPECT_EQ(fault_of(R"({"pattern": "("})"), "pattern");
  EXPECT_EQ(fault_of(R"({"enum": []})"), "enum");
  EXPECT_EQ(fault_of(R"([])"), "");
  std::string deep = "true";
  for (int i = 0; i < 40; ++i)
    deep = R"({"items": )" + deep + "}";
  EXPECT_NE(fault_of(deep), "none");
  EXPECT_EQ(fault_of(R"({"title": "t", "description": "d"})"), "none");
}

TEST(Schema, KeepsItsReportBounded) {
  std::string object = "{";
  for (int i = 0; i < 1000; ++i)
    object += (i ? ",\"k" : "\"k") + std::to_string(i) + "\":1";
  Violations found;
  compile(R"({"additionalProperties": false})").check(object + "}", found);
  EXPECT_EQ(found.all().size(), Violations::kMost + 1);
  EXPECT_TRUE(found.all().contains({"", "more"}));
}

TEST(Schema, GivesUpOnPatternsThatRunForEver) {
  EXPECT_EQ(violations(R"({"pattern": "^(a+)+$"})", '"' + std::string(50, 'a') + "!\""), " pattern");
}

TEST(TrackingPlan, ChoosesTheSchemaByTypeAndName) {
  auto result = TrackingPlan::compile(
      R"({"events": {"A": {"required": ["x"]}}, "pages": {"*": {"required": ["y"]}}, "traits": {"required": ["z"]}})");
  ASSERT_TRUE(std::holds_alternative<TrackingPlan>(result));
  const auto &plan = std::get<TrackingPlan>(result);
  const auto check = [&](MessageType type, std::string event) {
    Message message;
    message.type = type;
    message.event = std::move(event);
    Violations found;
    plan.check(message, found);
    return found.all().empty() ? ""
                               : found.all().begin()->first.first + ' ' + found.all().begin()->first.second;
  };
  EXPECT_EQ(check(MessageType::track, "A"), "x required");
  EXPECT_EQ(check(MessageType::track, "B"), " unplanned");
  EXPECT_EQ(check(MessageType::page, "Any"), "y required");
  EXPECT_EQ(check(MessageType::screen, "Any"), "");
  EXPECT_EQ(check(MessageType::identify, ""), "z required");
  EXPECT_EQ(check(MessageType::group, ""), "");
  EXPECT_TRUE(std::holds_alternative<SchemaFault>(TrackingPlan::compile("{")));
  EXPECT_TRUE(std::holds_alternative<SchemaFault>(TrackingPlan::compile(R"({"tracks": {}})")));
}

} // namespace

} // namespace cdp::core
