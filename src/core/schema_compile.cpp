#include "json.hpp"
#include "schema_node.hpp"
#include "text.hpp"

namespace cdp::core {

namespace {

using json::Cursor;
using json::Kind;
using json::kind_of;
using Node = Schema::Node;

constexpr std::size_t kMostDepth = 32;
constexpr std::size_t kMostPattern = 1000;

constexpr std::pair<std::string_view, Node::Type> kTypes[] = {
    {"null", Node::null},     {"boolean", Node::boolean}, {"object", Node::object},  {"array", Node::array},
    {"number", Node::number}, {"string", Node::string},   {"integer", Node::integer}};

constexpr std::pair<std::string_view, Node::Format> kFormats[] = {{"date-time", Node::Format::date_time},
                                                                  {"date", Node::Format::date},
                                                                  {"email", Node::Format::email},
                                                                  {"uuid", Node::Format::uuid}};

/// Compiles one schema after the other; the first fault ends it.
class Compiler {
public:
  std::optional<SchemaFault> fault;

  bool compile(std::string_view schema, const std::string &place, Node &node, std::size_t depth = 0) {
    if (kind_of(schema) == Kind::boolean) {
      node.allows_nothing = schema.front() == 'f';
      return true;
    }
    if (kind_of(schema) != Kind::object)
      return fail(place, "a schema is an object, true or false");
    if (depth > kMostDepth)
      return fail(place, "a schema may be " + std::to_string(kMostDepth) + " levels deep");
    for (const auto &[keyword, value] : members_of(schema))
      if (!read(keyword, value, inside(place, keyword), node, depth))
        return false;
    return true;
  }

private:
  static std::string inside(const std::string &place, const std::string &name) {
    return place.empty() ? name : place + '.' + name;
  }

  bool fail(const std::string &place, std::string reason) {
    fault = SchemaFault{place, std::move(reason)};
    return false;
  }

  bool read(const std::string &keyword, std::string_view value, const std::string &place, Node &node,
            std::size_t depth) {
    if (keyword == "title" || keyword == "description")
      return kind_of(value) == Kind::string || fail(place, "must be a string");
    if (keyword == "type")
      return read_types(value, place, node);
    if (keyword == "enum")
      return read_choices(value, place, node);
    if (keyword == "required")
      return read_required(value, place, node);
    if (keyword == "properties")
      return read_properties(value, place, node, depth);
    if (keyword == "additionalProperties")
      return compile(value, place, *(node.additional = std::make_unique<Node>()), depth + 1);
    if (keyword == "items")
      return compile(value, place, *(node.items = std::make_unique<Node>()), depth + 1);
    if (keyword == "minimum" || keyword == "maximum")
      return read_bound(value, place, keyword == "minimum" ? node.minimum : node.maximum);
    if (keyword == "pattern")
      return read_pattern(value, place, node);
    if (keyword == "format")
      return read_format(value, place, node);
    return fail(place,
                "the keyword \"" + shorten(keyword) +
                    "\" is not among those that are understood: type, enum, required, properties, "
                    "additionalProperties, items, minimum, maximum, pattern, format, title, description");
  }

  bool add_type(std::string_view value, const std::string &place, Node &node) {
    const auto name = kind_of(value) == Kind::string ? json::unescape(value) : std::string();
    for (const auto &[known, bit] : kTypes)
      if (name == known) {
        node.types |= bit;
        node.type_text += (node.type_text.empty() ? "" : " or ") + name;
        return true;
      }
    return fail(place, shorten(value) + " is none of null, boolean, object, array, number, string, integer");
  }

  bool read_types(std::string_view value, const std::string &place, Node &node) {
    if (kind_of(value) != Kind::array)
      return add_type(value, place, node);
    for (Cursor cursor(value); cursor.next();)
      if (!add_type(cursor.value(), place, node))
        return false;
    return node.types != 0 || fail(place, "must name a type");
  }

  bool read_choices(std::string_view value, const std::string &place, Node &node) {
    if (kind_of(value) != Kind::array)
      return fail(place, "must be an array of values");
    node.choices.emplace();
    for (Cursor cursor(value); cursor.next();)
      node.choices->insert(canonical_json(cursor.value()));
    return !node.choices->empty() || fail(place, "must have a value");
  }

  bool read_required(std::string_view value, const std::string &place, Node &node) {
    if (kind_of(value) != Kind::array)
      return fail(place, "must be an array of names");
    for (Cursor cursor(value); cursor.next();) {
      if (kind_of(cursor.value()) != Kind::string)
        return fail(place, "must be an array of names");
      node.required.push_back(json::unescape(cursor.value()));
    }
    return true;
  }

  bool read_properties(std::string_view value, const std::string &place, Node &node, std::size_t depth) {
    if (kind_of(value) != Kind::object)
      return fail(place, "must be an object: a schema a name");
    for (const auto &[name, schema] : members_of(value))
      if (!compile(schema, inside(place, name), node.properties[name], depth + 1))
        return false;
    return true;
  }

  bool read_bound(std::string_view value, const std::string &place, std::optional<Decimal> &bound) {
    if (kind_of(value) != Kind::number)
      return fail(place, "must be a number");
    bound.emplace(value);
    return true;
  }

  bool read_pattern(std::string_view value, const std::string &place, Node &node) {
    if (kind_of(value) != Kind::string || value.size() > kMostPattern)
      return fail(place, "must be a string of at most " + std::to_string(kMostPattern) + " bytes");
    UErrorCode status = U_ZERO_ERROR;
    UParseError where{};
    node.pattern.reset(icu::RegexPattern::compile(icu::UnicodeString::fromUTF8(json::unescape(value)),
                                                  UREGEX_ERROR_ON_UNKNOWN_ESCAPES, where, status));
    return U_SUCCESS(status) || fail(place, "is no regular expression: " + std::string(u_errorName(status)) +
                                                " at character " + std::to_string(where.offset));
  }

  bool read_format(std::string_view value, const std::string &place, Node &node) {
    const auto name = kind_of(value) == Kind::string ? json::unescape(value) : std::string();
    for (const auto &[known, format] : kFormats)
      if (name == known) {
        node.format = format;
        return true;
      }
    return fail(place, shorten(value) + " is none of date-time, date, email, uuid");
  }
};

} // namespace

std::variant<Schema, SchemaFault> Schema::compile(std::string_view json, const std::string &place) {
  auto root = std::make_shared<Node>();
  Compiler compiler;
  if (!compiler.compile(json::trim_space(json), place, *root))
    return std::move(*compiler.fault);
  return Schema(std::move(root));
}

} // namespace cdp::core
