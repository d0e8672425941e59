#include "json.hpp"

#include <gtest/gtest.h>
#include <random>
#include <simdjson.h>

namespace cdp::core::json {
namespace {

std::string code_of(std::string_view text, std::size_t depth = 1000) {
  const auto error = validate(text, depth);
  return error ? std::string(error->code) : "";
}

TEST(Json, AcceptsWhatJsonbAccepts) {
  for (const char *text : {"null",
                           " true ",
                           "false",
                           "0",
                           "-0",
                           "12345678901234567890.123456789",
                           "1e400",
                           "1E+131071",
                           "-1.5e-16382",
                           "0e20000",
                           "0.000e-16000",
                           "\"\"",
                           "\"\\u00e9\\ud83d\\ude00\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
                           "[]",
                           "{}",
                           "[[],{}]",
                           "{\"a\":1,\"a\":2}",
                           "\t\r\n{\"\":[1 , 2]}\n",
                           "\"\x7F\"",
                           "\"\xF4\x8F\xBF\xBF\""})
    EXPECT_EQ(code_of(text), "") << text;
}

TEST(Json, RefusesBrokenStructure) {
  for (const char *text : {"",          " ",
                           "nul",       "nulll",
                           "True",      "01",
                           "-",         "+1",
                           "1.",        ".5",
                           "1e",        "1e+",
                           "0x10",      "NaN",
                           "Infinity",  "\"",
                           "\"\\\"",    "\"\\x\"",
                           "\"\\u12\"", "\"\\u12g4\"",
                           "\"a\nb\"",  "'a'",
                           "[",         "]",
                           "[1",        "[1,",
                           "[1,]",      "[,1]",
                           "[1 2]",     "{",
                           "}",         "{\"a\"",
                           "{\"a\":",   "{\"a\":1",
                           "{\"a\":1,", "{\"a\":1,}",
                           "{a:1}",     "{1:1}",
                           "{\"a\" 1}", "{\"a\":1]",
                           "[1}",       "1 2",
                           "{} {}",     "{}x",
                           "// c\n1",   "\xEF\xBB\xBF{}",
                           "\f1"})
    EXPECT_EQ(code_of(text), "invalid_json") << text;
  EXPECT_EQ(code_of(std::string_view("\0", 1)), "invalid_json");
  EXPECT_EQ(code_of(std::string_view("\"a\0\"", 4)), "invalid_json");
  EXPECT_EQ(code_of(std::string_view("\"\\\0\"", 4)), "invalid_json");
}

TEST(Json, RefusesTextThatPostgresCannotHold) {
  for (const char *text :
       {"\"\\u0000\"", "{\"\\u0000\":1}", "\"\\ud800\"", "\"\\ud800x\"", "\"\\ud800\\n\"",
        "\"\\ud800\\u0041\"", "\"\\udc00\"", "\"\\udc00\\ud800\"", "\"\\uD83D\"", "\"\xFF\"", "\"\xC0\x80\"",
        "\"\xED\xA0\x80\"", "\"\xF4\x90\x80\x80\"", "\"\xE2\x82\"", "\xFF"})
    EXPECT_EQ(code_of(text), "invalid_unicode") << text;
}

TEST(Json, RefusesNumbersOutsideNumeric) {
  for (const char *text : {"1e131072", "10e131071", "0.01e131074", "1e-16384", "0e-16384", "1e9999999999",
                           "0e9999999999", "1e-99999999999999999999"})
    EXPECT_EQ(code_of(text), "invalid_number") << text;
  EXPECT_EQ(code_of("0.01e131073"), "");
  EXPECT_EQ(code_of(std::string(131'072, '9')), "");
  EXPECT_EQ(code_of(std::string(131'073, '9')), "invalid_number");
  EXPECT_EQ(code_of("0." + std::string(16'383, '1')), "");
  EXPECT_EQ(code_of("0." + std::string(16'384, '1')), "invalid_number");
}

TEST(Json, DepthIsCounted) {
  const auto nested = [](std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_EQ(code_of(nested(1000)), "");
  EXPECT_EQ(code_of(nested(1001)), "too_deep");
  EXPECT_EQ(code_of(std::string(1'000'000, '[')), "too_deep");
  EXPECT_EQ(code_of("[[1],[2],[{}]]", 3), "");
  EXPECT_EQ(code_of("[[1],[2],[{}]]", 2), "too_deep");
}

TEST(Json, OffsetsNameTheByteAtFault) {
  EXPECT_EQ(validate("{\"a\":1,}", 10)->offset, 7u);
  EXPECT_EQ(validate("{\"a\":01}", 10)->offset, 5u);
  EXPECT_EQ(validate("{\"a\":\"\\u0000\"}", 10)->offset, 6u);
  EXPECT_EQ(validate("{\"a\":\"\xFF\"}", 10)->offset, 6u);
  EXPECT_EQ(validate("[1", 10)->offset, 2u);
}

TEST(Json, UnescapesAndComparesKeys) {
  EXPECT_EQ(unescape("\"\""), "");
  EXPECT_EQ(unescape("\"a\\\"\\\\\\/\\b\\f\\n\\r\\tz\""), "a\"\\/\b\f\n\r\tz");
  EXPECT_EQ(unescape("\"\\u0041\\u00e9\\u20AC\\uD83D\\uDE00\""), "A\u00E9\u20AC\U0001F600");
  EXPECT_TRUE(key_is("\"userId\"", "userId"));
  EXPECT_TRUE(key_is("\"user\\u0049d\"", "userId"));
  EXPECT_FALSE(key_is("\"userid\"", "userId"));
  EXPECT_FALSE(key_is("\"user_Id\"", "userId"));
}

TEST(Json, CursorHandsOutExactSlices) {
  Cursor members("{ \"a\" : 1e400 , \"b\":[ 1, {\"c\":\"]}\\\"\"} ],\"d\":\"x\" }tail");
  ASSERT_TRUE(members.next());
  EXPECT_EQ(members.raw_key(), "\"a\"");
  EXPECT_EQ(members.value(), "1e400");
  ASSERT_TRUE(members.next());
  EXPECT_EQ(members.value(), "[ 1, {\"c\":\"]}\\\"\"} ]");
  ASSERT_TRUE(members.next());
  EXPECT_EQ(members.value(), "\"x\"");
  EXPECT_FALSE(members.next());
  EXPECT_FALSE(members.broken());
  EXPECT_FALSE(members.next());
}

TEST(Json, CursorStopsOnBrokenText) {
  for (const char *text : {"", "x", "{", "{\"a\"", "{\"a\":", "{\"a\":\"", "{\"a\":\"\\", "{\"a\":[}",
                           "{\"a\":1 2}", "{,}", "[1,]", "[,]", "{\"a\":1", "{\"a\":}", "{\"a\":1,}"}) {
    Cursor cursor(text);
    while (cursor.next()) {
    }
    EXPECT_TRUE(cursor.broken()) << text;
  }
}

/// simdjson as the second opinion, where the two mean to agree: neither number ranges, \u escapes nor depth.
bool simdjson_accepts(const std::string &text) {
  static simdjson::dom::parser parser;
  return parser.parse(text).error() == simdjson::SUCCESS;
}

TEST(Json, AgreesWithSimdjsonOnMutatedText) {
  const std::string seed =
      R"({"a":[1,-2.5,3e4,true,false,null],"b\n":{"c":"d\"\\/","e":{}},"f":[],"g":" x "})";
  static const std::string bytes = "{}[]:,\"\\ 0123456789-+.eEtrufalsn\t\n\x01xbnr/\xC3\xA9";
  std::mt19937 random(4);
  std::size_t accepted = 0;
  for (int i = 0; i < 300'000; ++i) {
    std::string text = seed;
    for (std::size_t n = random() % 3; n < 3; ++n) {
      const std::size_t at = random() % text.size();
      const char byte = bytes[random() % bytes.size()];
      switch (random() % 4) {
      case 0:
        text.erase(at, 1 + random() % 2);
        break;
      case 1:
        text.insert(at, 1, byte);
        break;
      case 2:
        text[at] = byte;
        break;
      default:
        text.insert(at, text.substr(random() % text.size(), random() % 8));
      }
    }
    if (text.find("\\u") != std::string::npos)
      continue;
    const std::string code = code_of(text);
    ASSERT_EQ(code.empty(), simdjson_accepts(text)) << text << " -> " << code;
    accepted += code.empty();
  }
  EXPECT_GT(accepted, 1000u);
}

} // namespace
TEST(PlainNumber, IsSpeltAsJsonbSpellsIt) {
  const std::pair<const char *, const char *> vectors[] = {
      {"7", "7"},
      {"-7", "-7"},
      {"1e2", "100"},
      {"1E+2", "100"},
      {"1.0e1", "10"},
      {"1.50", "1.50"},
      {"1.5e-3", "0.0015"},
      {"0", "0"},
      {"-0", "0"},
      {"-0.0", "0.0"},
      {"12.34e1", "123.4"},
      {"5e-1", "0.5"},
      {"0.10e1", "1.0"},
      {"100e-2", "1.00"},
      {"123456789012345678901234567890.5", "123456789012345678901234567890.5"}};
  for (const auto &[number, plain] : vectors)
    EXPECT_EQ(plain_number(number), plain) << number;
  EXPECT_EQ(plain_number("1e400"), "");
  EXPECT_EQ(plain_number("1e99999999999999999999"), "");
}

} // namespace cdp::core::json
