#include "survivorship.hpp"

#include "json_value.hpp"
#include "traits.hpp"

#include <gtest/gtest.h>
#include <random>

namespace cdp::core {
namespace {

Claim claim(std::string value, Timestamp at, std::int32_t source = 1, bool verified = false) {
  return {std::move(value), at, at * 10 + source, source, verified};
}

Link link(Strategy strategy, std::vector<std::string> sources = {}, Timestamp maximum_age = 0) {
  Link made;
  made.strategy = strategy;
  made.sources = std::move(sources);
  made.maximum_age = maximum_age;
  return made;
}

const World &world() {
  static const World made{{{1, "crm"}, {2, "shop"}, {3, "web"}}, {}, {}};
  return made;
}

Verdict decided(const std::vector<Claim> &claims, const std::vector<Link> &chain, Timestamp at = 100) {
  return decide(claims, chain, Rules(), world(), at);
}

std::string value(const std::vector<Claim> &claims, Strategy strategy) {
  return decided(claims, {link(strategy)}).value;
}

TEST(JsonValue, EqualForms) {
  EXPECT_EQ(json::equal_form("1.50"), json::equal_form("1.5"));
  EXPECT_EQ(json::equal_form("2.000"), "2");
  EXPECT_EQ(json::equal_form(R"({"a": [1.0, "1.0"]})"), R"({"a": [1, "1.0"]})");
  EXPECT_EQ(json::equal_form(R"("a\"1.0")"), R"("a\"1.0")");
  EXPECT_EQ(json::equal_form("100"), "100");
}

TEST(JsonValue, NumbersOfAnyLength) {
  EXPECT_LT(json::compare_numbers("-2", "1"), 0);
  EXPECT_GT(json::compare_numbers("10", "9.99"), 0);
  EXPECT_EQ(json::compare_numbers("1.0", "1"), 0);
  EXPECT_EQ(json::compare_numbers("-0", "0.00"), 0);
  EXPECT_LT(json::compare_numbers("-1.5", "-1.25"), 0);
  EXPECT_LT(json::compare_numbers("12345678901234567890.1", "12345678901234567890.11"), 0);
  std::mt19937 random(1);
  std::uniform_int_distribution<int> any(-2000, 2000);
  for (int i = 0; i < 2000; ++i) {
    const int a = any(random), b = any(random);
    const auto text = [](int n) {
      return std::string(n < 0 ? "-" : "") + std::to_string(std::abs(n) / 100) + "." +
             std::to_string(100 + std::abs(n) % 100).substr(1);
    };
    EXPECT_EQ(json::compare_numbers(text(a), text(b)), a < b ? -1 : a > b) << text(a) << " " << text(b);
  }
}

TEST(Survivorship, Strategies) {
  const std::vector<Claim> said{claim("3", 1), claim("10", 2, 2), claim("3.0", 3, 3), claim("4", 4)};
  EXPECT_EQ(value(said, Strategy::latest), "4");
  EXPECT_EQ(value(said, Strategy::earliest), "3");
  EXPECT_EQ(value(said, Strategy::most_frequent), "3.0");
  EXPECT_EQ(value(said, Strategy::min), "3.0");
  EXPECT_EQ(value(said, Strategy::max), "10");
  EXPECT_EQ(value(said, Strategy::union_list), "[3, 10, 4]");
  EXPECT_EQ(value(said, Strategy::longest), "null");
  EXPECT_TRUE(decided(said, {link(Strategy::never)}).conflict);
  const std::vector<Claim> lists{claim(R"(["a", "b"])", 1), claim(R"(["b", "c"])", 2, 2), claim(R"("b")", 3)};
  EXPECT_EQ(value(lists, Strategy::intersection_list), R"(["b"])");
  EXPECT_EQ(value(lists, Strategy::counted_list),
            R"([{"count": 3, "value": "b"}, {"count": 1, "value": "a"}, {"count": 1, "value": "c"}])");
}

TEST(Survivorship, SourcesTrustAndVerified) {
  const std::vector<Claim> said{claim("\"a\"", 1, 1), claim("\"b\"", 2, 2, true), claim("\"c\"", 3, 3)};
  EXPECT_EQ(decided(said, {link(Strategy::source_priority, {"crm"})}).value, "\"a\"");
  EXPECT_EQ(decided(said, {link(Strategy::verified_first)}).value, "\"b\"");
  Rules rules;
  rules.trust("shop", 5);
  EXPECT_EQ(decide(said, {link(Strategy::source_priority)}, rules, world(), 9).value, "\"b\"");
  const std::vector<Claim> empty{claim("\"a\"", 1), claim("\"  \"", 2), claim("[]", 3)};
  EXPECT_EQ(value(empty, Strategy::first_non_empty), "\"a\"");
}

TEST(Survivorship, NullTakesBackWhatItsSourceSaid) {
  const std::vector<Claim> said{claim("1", 1, 1), claim("2", 2, 2), claim("null", 3, 2)};
  EXPECT_EQ(value(said, Strategy::max), "1");
  EXPECT_EQ(value(said, Strategy::latest), "null");
  EXPECT_EQ(decided(said, {link(Strategy::latest), link(Strategy::earliest)}).value, "1");
}

TEST(Survivorship, AgesLapse) {
  const std::vector<Claim> said{claim("1", 10), claim("2", 20)};
  const std::vector<Link> chain{link(Strategy::max, {}, 15), link(Strategy::earliest)};
  EXPECT_EQ(decided(said, chain, 24).value, "2");
  EXPECT_EQ(decided(said, chain, 24).until, 35);
  EXPECT_EQ(decided(said, chain, 35).value, "1");
  EXPECT_EQ(decided(said, chain, 35).until, kInfinity);
  EXPECT_EQ(decided(said, {link(Strategy::union_list, {}, 15)}, 20).until, 25);
}

TEST(Survivorship, PatternsBySpecificity) {
  Rules rules;
  rules.add("*", link(Strategy::earliest));
  rules.add("address_*", link(Strategy::max));
  rules.add("*_city", link(Strategy::min));
  rules.add("address_city", link(Strategy::sum));
  EXPECT_EQ(rules.pattern("address_city"), "address_city");
  EXPECT_EQ(rules.pattern("address_x"), "address_*");
  EXPECT_EQ(rules.pattern("work_city"), "*_city");
  EXPECT_EQ(rules.pattern("phone"), "*");
  EXPECT_TRUE(matches("a*b*c", "aXbbYc"));
  EXPECT_FALSE(matches("a*b*c", "acb"));
  EXPECT_TRUE(matches("**", ""));
}

// One assertion at a time, in any order, with merges on the way: as all at once.
TEST(Survivorship, FoldsInAnyOrder) {
  std::mt19937 random(7);
  for (int round = 0; round < 300; ++round) {
    Rules rules;
    rules.add("a", link(static_cast<Strategy>(random() % 6), {"shop"}));
    rules.add("a", link(Strategy::union_list));
    std::vector<std::string> texts;
    std::vector<Assertion> said;
    for (int i = 0; i < 12; ++i)
      texts.push_back(random() % 5 == 0 ? R"({"a": null, "b": 1})"
                                        : R"({"a": )" + std::to_string(random() % 4) + R"(, "b": )" +
                                              std::to_string(i) + "}");
    for (int i = 0; i < 12; ++i)
      said.push_back({texts[static_cast<std::size_t>(i)], static_cast<Timestamp>(random() % 5), i,
                      static_cast<std::int32_t>(random() % 3 + 1)});
    std::vector<Misfit> misfits;
    Traits whole(rules), one(rules), other(rules);
    for (const auto &each : said)
      whole.assert_all(each, misfits);
    whole.settle(world(), 10);
    std::shuffle(said.begin(), said.end(), random);
    for (const auto &each : said) {
      (random() % 2 ? one : other).assert_all(each, misfits);
      if (random() % 3 == 0)
        one.settle(world(), 10);
    }
    one.absorb(other);
    one.settle(world(), 10);
    EXPECT_EQ(one.traits_json(), whole.traits_json());
    EXPECT_EQ(one.origins_json(), whole.origins_json());
  }
}

TEST(TraitType, FitsOrSaysWhy) {
  const auto as = [](TraitType type, std::string_view said) {
    const auto made = fit({type, "EUR", {}}, said);
    return made.code.empty() ? made.value : std::string(made.code);
  };
  EXPECT_EQ(as(TraitType::numeric, "\"49.95\""), "49.95");
  EXPECT_EQ(as(TraitType::numeric, "\" -007.50 \""), "-7.50");
  EXPECT_EQ(as(TraitType::numeric, "\"1e5\""), "not_a_number");
  EXPECT_EQ(as(TraitType::numeric, "\"1.\""), "not_a_number");
  EXPECT_EQ(as(TraitType::integer, "3.0"), "3");
  EXPECT_EQ(as(TraitType::integer, "3.5"), "not_an_integer");
  EXPECT_EQ(as(TraitType::date, "\"2024-1-5\""), "\"2024-01-05\"");
  EXPECT_EQ(as(TraitType::date, "\"2023-02-29\""), "not_a_date");
  EXPECT_EQ(as(TraitType::date, "\"2024-01-01T00:30:00+02:00\""), "\"2024-01-01\"");
  EXPECT_EQ(as(TraitType::timestamp, "\"2024-1-5\""), "\"2024-01-05T00:00:00.000000Z\"");
  EXPECT_EQ(as(TraitType::boolean, "\"Yes\""), "true");
  EXPECT_EQ(as(TraitType::boolean, "2"), "not_a_boolean");
  EXPECT_EQ(as(TraitType::text, "41"), "\"41\"");
  EXPECT_EQ(as(TraitType::text, "{}"), "not_a_text");
  EXPECT_EQ(as(TraitType::money, R"({"amount": "5.0", "currency": "EUR"})"), "5.0");
  EXPECT_EQ(as(TraitType::money, R"({"amount": 5, "currency": "USD"})"), "other_currency");
  EXPECT_EQ(as(TraitType::list, "\"a\""), "not_a_list");
  EXPECT_EQ(as(TraitType::list, "null"), "null");
  EXPECT_EQ(fit({TraitType::numeric, "", {"1", "2.5"}}, "\"2.50\"").value, "2.50");
  EXPECT_EQ(fit({TraitType::numeric, "", {"1", "2.5"}}, "3").code, "not_allowed");
}

} // namespace
} // namespace cdp::core
