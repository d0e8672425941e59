// JSON Schema, a stated subset: compiled once, then JSON texts are held against it.
//
//   type, enum, required, properties, additionalProperties, items, minimum, maximum, pattern, format; true
//   and false as schemas; title and description, which say nothing. Whatever else is refused by its name.
//
// Compiling and checking never throw but std::bad_alloc; what is checked must be valid JSON.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace cdp::core {

/// Why a schema cannot be used, and where in it: `Order Completed.properties.price.minimum`.
struct SchemaFault {
  std::string place, reason;
};

/// What a value does not keep to, once a (place, keyword): `items[].sku`, `pattern` -> what was found there.
/// At most kMost of them; the rest are one more, with `more` as its keyword.
class Violations {
public:
  static constexpr std::size_t kMost = 100;
  void add(std::string place, std::string_view keyword, std::string_view found);
  const std::map<std::pair<std::string, std::string>, std::string> &all() const { return all_; }

private:
  std::map<std::pair<std::string, std::string>, std::string> all_;
};

class Schema {
public:
  struct Node;

  /// From a valid JSON text; `place` is put in front of where a fault is.
  static std::variant<Schema, SchemaFault> compile(std::string_view json, const std::string &place = {});

  /// Holds a value against it; `place` is where the value is, "" for the whole.
  void check(std::string_view value, Violations &violations, const std::string &place = {}) const;

private:
  explicit Schema(std::shared_ptr<const Node> root) : root_(std::move(root)) {}
  std::shared_ptr<const Node> root_;
};

} // namespace cdp::core
