#include "treatment.hpp"

#include <gtest/gtest.h>

namespace cdp::core {

namespace {

using Paths = std::vector<std::string>;

Treatment treatment(const Paths &dropped, const Paths &hashed) {
  return {dropped, hashed, [](std::string_view text) { return "h:" + std::string(text); }};
}

void leaves(const Treatment &rules, std::string_view message, std::string_view left) {
  EXPECT_EQ(rules.message(message), left);
}

bool is_path(std::string_view path) {
  std::string fault;
  return Treatment::parts_of(path, fault).has_value();
}

TEST(Treatment, DropsAndHashes) {
  const auto rules =
      treatment({"traits.a", "properties.*.card", "context.ip", "n\\.m"}, {"userId", "traits.b"});
  leaves(rules,
         R"j( {"type":"track","userId":"u 1","traits":{"a":1,"b":[1.50,"x",null,{"c":true}],"\u0061":2}} )j",
         R"j({"type":"track","userId":"h:u 1","traits":{"b":["h:1.50","h:x",null,{"c":"h:true"}]}})j");
  leaves(rules, R"j({"properties":{"x":{"card":1,"k":2},"y":[{"card":1},{"card":{"z":1}},3],"card":4}})j",
         R"j({"properties":{"x":{"k":2},"y":[{},{},3],"card":4}})j");
  leaves(rules, R"j({"n.m":1,"n":{"m":2}})j", R"j({"n":{"m":2}})j");
  EXPECT_EQ(rules.context(R"j({"ip":"1","os":"x"})j"), R"j({"os":"x"})j");
  EXPECT_EQ(rules.context(""), "");
  EXPECT_EQ(treatment({"context"}, {}).context(R"j({"os":"x"})j"), "");
  EXPECT_EQ(treatment({}, {"userId"}).context(R"j({"os":"x"})j"), R"j({"os":"x"})j");
}

TEST(Treatment, DropsWhatIsAlsoHashed) {
  leaves(treatment({"traits.a"}, {"traits.*"}), R"j({"traits":{"a":1,"b":2}})j",
         R"j({"traits":{"b":"h:2"}})j");
}

TEST(Treatment, DoesNotHashTwice) {
  leaves(treatment({"traits.a"}, {"userId", "traits.b"}).without({"userId", "other"}),
         R"j({"userId":"u","traits":{"a":1,"b":2}})j", R"j({"userId":"u","traits":{"b":"h:2"}})j");
}

TEST(Treatment, LeavesWhatMakesAMessage) {
  for (const auto *path : {"type", "messageId", "timestamp", "sentAt", "event", "*", "*.a", "a..b", "", ".a"})
    EXPECT_FALSE(is_path(path)) << path;
  for (const auto *path : {"userId", "traits", "context.*", "a\\.b.c"})
    EXPECT_TRUE(is_path(path)) << path;
}

} // namespace

} // namespace cdp::core
