// What a source is expected to send: the events by name, with the schema of their properties, and the schemas
// of traits. A part that is absent is not looked at.
#pragma once

#include "message.hpp"
#include "schema.hpp"

namespace cdp::core {

class TrackingPlan {
public:
  /// {"events": {"Order Completed": SCHEMA}, "pages": {…}, "screens": {…}, "traits": SCHEMA,
  /// "group_traits": SCHEMA}; of events, pages and screens "*" is any other. From any text.
  static std::variant<TrackingPlan, SchemaFault> compile(std::string_view json);

  void check(const Message &message, Violations &violations) const;

private:
  struct Names {
    bool planned = false;
    std::map<std::string, Schema, std::less<>> schemas;
  };
  static std::optional<SchemaFault> read_names(std::string_view value, const std::string &part, Names &names);

  Names events_, pages_, screens_;
  std::optional<Schema> traits_, group_traits_;
};

} // namespace cdp::core
