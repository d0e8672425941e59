#include "tracking_plan.hpp"

#include "json.hpp"
#include "schema_node.hpp"
#include "text.hpp"

namespace cdp::core {

std::optional<SchemaFault> TrackingPlan::read_names(std::string_view value, const std::string &part,
                                                    Names &names) {
  if (json::kind_of(value) != json::Kind::object)
    return SchemaFault{part, "must be an object: a schema a name"};
  names.planned = true;
  for (const auto &[name, schema] : members_of(value)) {
    auto compiled = Schema::compile(schema, part + '.' + name);
    if (auto *fault = std::get_if<SchemaFault>(&compiled))
      return std::move(*fault);
    names.schemas.emplace(name, std::move(std::get<Schema>(compiled)));
  }
  return std::nullopt;
}

std::variant<TrackingPlan, SchemaFault> TrackingPlan::compile(std::string_view json) {
  if (const auto error = json::validate(json, kMaxJsonDepth))
    return SchemaFault{"", std::string(error->reason)};
  const auto text = json::trim_space(json);
  if (json::kind_of(text) != json::Kind::object)
    return SchemaFault{"", "a plan is a JSON object"};
  TrackingPlan plan;
  for (const auto &[part, value] : members_of(text)) {
    std::optional<SchemaFault> fault;
    if (part == "events" || part == "pages" || part == "screens") {
      fault = read_names(value, part,
                         part == "events"  ? plan.events_
                         : part == "pages" ? plan.pages_
                                           : plan.screens_);
    } else if (part == "traits" || part == "group_traits") {
      auto compiled = Schema::compile(value, part);
      if (auto *why = std::get_if<SchemaFault>(&compiled))
        return std::move(*why);
      (part == "traits" ? plan.traits_ : plan.group_traits_) = std::move(std::get<Schema>(compiled));
    } else {
      fault = SchemaFault{shorten(part), "is none of events, pages, screens, traits, group_traits"};
    }
    if (fault)
      return std::move(*fault);
  }
  return plan;
}

void TrackingPlan::check(const Message &message, Violations &violations) const {
  const auto whole = [](const std::string &object) {
    return object.empty() ? "{}" : std::string_view(object);
  };
  const auto by_name = [&](const Names &names) {
    if (!names.planned)
      return;
    auto schema = names.schemas.find(message.event);
    if (schema == names.schemas.end())
      schema = names.schemas.find("*");
    if (schema == names.schemas.end())
      return violations.add("", "unplanned", "");
    schema->second.check(whole(message.properties), violations);
  };
  switch (message.type) {
  case MessageType::track:
    return by_name(events_);
  case MessageType::page:
    return by_name(pages_);
  case MessageType::screen:
    return by_name(screens_);
  case MessageType::identify:
    if (traits_)
      traits_->check(whole(message.traits), violations);
    return;
  case MessageType::group:
    if (group_traits_)
      group_traits_->check(whole(message.traits), violations);
    return;
  case MessageType::alias:
    return;
  }
}

} // namespace cdp::core
