#include "junk.hpp"
#include "normalize.hpp"

#include <gtest/gtest.h>

namespace cdp::core {

namespace {

struct Sample {
  std::string type, value;
};

TEST(Junk, IsWhatStreamsSendForNobody) {
  const std::vector<Sample> samples{
      {"user_id", "null"},
      {"user_id", "undefined"},
      {"user_id", "unknown"},
      {"user_id", "0"},
      {"user_id", "anonymous"},
      {"user_id", "00000000"},
      {"user_id", " NULL\n"},
      {"user_id", "N/A"},
      {"user_id", "[object Object]"},
      {"user_id", "(not set)"},
      {"user_id", ""},
      {"user_id", "  "},
      {"user_id", "-1"},
      {"user_id", "-"},
      {"user_id", "NaN"},
      {"user_id", "guest"},
      {"user_id", "true"},
      {"user_id", "\\N"},
      {"email", "test@test.com"},
      {"email", "Test@Test.COM "},
      {"email", "noemail@example.com"},
      {"email", "null"},
      {"email", "unknown"},
      {"email", "none@none.com"},
      {"email", "a@a.a"},
      {"email", "no-reply@shop.nl"},
      {"email", "noreply@web.de"},
      {"email", "x@y.invalid"},
      {"phone", "0000000000"},
      {"phone", "+10000000000"},
      {"phone", "1234567890"},
      {"phone", "unknown"},
      {"phone", "00000000"},
      {"phone", "+31000000000"},
      {"phone", "+3100000000"},
      {"phone", "1111111111"},
      {"phone", "0123456789"},
      {"phone", "+911234567890"},
      {"phone", "+919876543210"},
      {"phone", "(000) 000-0000"},
      {"phone", "0031 000000000"},
      {"phone", "+1 999-999-9999"},
      {"loyalty_id", "00000000"},
      {"loyalty_id", "null"},
      {"loyalty_id", "LOY-00000000"},
      {"loyalty_id", "unknown"},
      {"advertising_id", "00000000-0000-0000-0000-000000000000"},
      {"anonymous_id", "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF"},
      {"device_id", "9774D56D682E549C"},
      {"device_id", "00:00:00:00:00:00"},
      {"hashed_email", "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855"}};
  for (const auto &[type, value] : samples)
    EXPECT_TRUE(junk_reason(type, value)) << type << ' ' << value;
}

TEST(Junk, IsNothingThatSomebodyCouldHave) {
  const std::vector<Sample> samples{{"user_id", "1001"},
                                    {"user_id", "1"},
                                    {"user_id", "admin"},
                                    {"user_id", "test-user-1"},
                                    {"user_id", "tester"},
                                    {"user_id", "usr_0000000000"},
                                    {"user_id", "usr_null"},
                                    {"user_id", "nulla"},
                                    {"user_id", "10000000"},
                                    {"user_id", "1234567890"},
                                    {"user_id", "1111111111"},
                                    {"user_id", "noreply"},
                                    {"email", "anna@example.com"},
                                    {"email", "null@web.de"},
                                    {"email", "jennifer.null@gmail.com"},
                                    {"email", "info@shop.nl"},
                                    {"email", "anna@a.com"},
                                    {"email", "reply@shop.nl"},
                                    {"phone", "+31612345678"},
                                    {"phone", "06-12345678"},
                                    {"phone", "+31611111111"},
                                    {"phone", "+4588888888"},
                                    {"phone", "+6598765432"},
                                    {"phone", "+12345678901"},
                                    {"phone", "+12125550100"},
                                    {"phone", "+31200000001"},
                                    {"phone", "+49301000000"},
                                    {"loyalty_id", "LOY-00000013"},
                                    {"loyalty_id", "LOY-1000"},
                                    {"device_id", "d-1"},
                                    {"anonymous_id", "phone-1"},
                                    {"anonymous_id", "66eb252a-b9a4-4457-b4b8-6dd9191d397a"},
                                    {"user_id", std::string(2000, 'x')},
                                    {"user_id", "\xFF"}};
  for (const auto &[type, value] : samples)
    EXPECT_FALSE(junk_reason(type, value)) << type << ' ' << value << ": " << *junk_reason(type, value);
}

/// What is junk as it came is junk in its normal form, wherever it has one.
TEST(Junk, IsFoundInNormalForm) {
  for (const char *raw : {"0000000000", "+10000000000", "1234567890", "00000000", "1111111111", "9876543210"})
    for (const char *region : {"US", "GB", "DE", "FR", "NL", "PL", "BR", "IN", "AU", "CA"}) {
      const NormalizeResult result = normalize(Normalizer::phone, raw, region);
      if (const auto *good = std::get_if<Normalized>(&result)) {
        EXPECT_TRUE(junk_reason("phone", good->value)) << raw << " in " << region << " is " << good->value;
      }
    }
  for (const char *raw :
       {"Test@test.com", "noemail@example.com", "None@None.com", "a@a.a", "No-Reply@shop.nl"})
    for (const Normalizer normalizer : {Normalizer::email, Normalizer::mailbox})
      EXPECT_TRUE(junk_reason("email", std::get<Normalized>(normalize(normalizer, raw, "")).value)) << raw;
}

/// Each row can be read, is found by itself, and says why.
TEST(Junk, ListIsWhatIsApplied) {
  for (const auto &[value, applies_to, why] : junk_list()) {
    EXPECT_FALSE(why.empty()) << value;
    EXPECT_EQ(value.find_first_of("\t\n"), std::string_view::npos) << value;
    const std::string type(applies_to.empty() ? "any_type" : applies_to);
    const bool pattern = value.starts_with('(') && value != "(null)" && value != "(not set)";
    EXPECT_EQ(junk_reason(type, value), pattern ? std::nullopt : std::optional(why)) << value;
  }
  EXPECT_FALSE(junk_reason("user_id", "test@test.com"));
}

} // namespace
} // namespace cdp::core
