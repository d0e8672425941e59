#include "segment/plan.hpp"

#include "core/json_text.hpp"

namespace cdp::segment {

namespace {

namespace json = core::json;

void add(json::Text &out, const Statements &statements) {
  out.add("judge", statements.judge).add("person_inputs", statements.person_inputs);
  out.add("event_inputs", statements.event_inputs).add("group_inputs", statements.group_inputs);
  out.add("explain", statements.explain).key("searches").open('[');
  for (const auto &one : statements.searches) {
    out.open('{').add("level", one.level).add("first", std::int64_t(one.first));
    out.add("count", std::int64_t(one.count)).add("wide", one.wide).add("tests", one.tests);
    out.add("zones", one.zones).add("offsets", one.offsets).close();
  }
  out.close();
}

Statements read_statements(std::string_view object) {
  Statements made;
  made.judge = json::text_member(object, "judge");
  made.person_inputs = json::text_member(object, "person_inputs");
  made.event_inputs = json::text_member(object, "event_inputs");
  made.group_inputs = json::text_member(object, "group_inputs");
  made.explain = json::text_member(object, "explain");
  for (auto one : json::elements(json::member(object, "searches")))
    made.searches.push_back({json::text_member(one, "level"),
                             static_cast<int>(json::number_member(one, "first")),
                             static_cast<int>(json::number_member(one, "count")),
                             json::texts_member(one, "tests"), json::texts_member(one, "zones"),
                             json::true_member(one, "wide"), json::numbers_member(one, "offsets")});
  return made;
}

void add(json::Text &out, const pg::Input &input) {
  out.add("events", input.events).add("condition", input.condition).add("value", input.value);
  out.add("value_type", input.value_type).add("key", input.key);
}

void add(json::Text &out, const pg::Aggregate &aggregate) {
  out.open('{').add("function", aggregate.function).add("type", aggregate.type);
  out.add("called", aggregate.called)
      .add("distinct", aggregate.distinct)
      .add("descending", aggregate.descending)
      .add("pattern", aggregate.pattern)
      .add("steps", aggregate.steps)
      .key("inputs")
      .open('[');
  for (const auto &one : aggregate.inputs) {
    out.open('{');
    add(out, one);
    out.add("portable", one.portable).close();
  }
  out.close().key("windows").open('[');
  for (const auto &one : aggregate.windows) {
    out.open('{').add("op", one.op).add("fixed", one.fixed).add("distance", one.distance);
    out.add("bound", one.bound).add("zones", one.zones).add("wide", one.wide).close();
  }
  out.close().close();
}

pg::Aggregate read_aggregate(std::string_view object) {
  pg::Aggregate made;
  made.function = json::text_member(object, "function");
  made.type = json::text_member(object, "type");
  made.called = json::text_member(object, "called");
  made.distinct = json::true_member(object, "distinct");
  made.descending = json::true_member(object, "descending");
  made.pattern = json::text_member(object, "pattern");
  made.steps = json::number_member(object, "steps");
  for (auto one : json::elements(json::member(object, "inputs")))
    made.inputs.push_back({json::texts_member(one, "events"), json::text_member(one, "condition"),
                           json::text_member(one, "value"), json::text_member(one, "value_type"),
                           json::text_member(one, "key"), json::true_member(one, "portable")});
  for (auto one : json::elements(json::member(object, "windows")))
    made.windows.push_back({json::text_member(one, "op"), json::true_member(one, "fixed"),
                            json::number_member(one, "distance"), json::text_member(one, "bound"),
                            json::texts_member(one, "zones"), json::true_member(one, "wide")});
  return made;
}

void add(json::Text &out, const pg::Decomposition &made) {
  out.open('{').add("having", made.having).add("value", made.value).add("conditions", made.conditions);
  out.add("falling", made.falling).add("person_conditions", made.person_conditions);
  std::vector<std::int64_t> needs;
  for (const auto &need : made.needs)
    needs.insert(needs.end(), {need.aggregate, need.events, need.within});
  out.add("needs", needs).add("only_falls", made.only_falls).add("is_fixed", made.is_fixed);
  out.add("uses_person", made.uses_person).add("uses_clock", made.uses_clock).key("aggregates").open('[');
  for (const auto &one : made.aggregates)
    add(out, one);
  out.close()
      .add("segments", made.segments)
      .add("computed", made.computed)
      .add("since", made.since)
      .add("needed_segments", made.needed_segments);
  out.key("turns").open('[');
  for (const auto &one : made.turns) {
    out.open('{').add("inputs", one.inputs).add("tests", one.tests).add("zones", one.zones);
    out.add("wide", one.wide).add("offsets", one.offsets).add("still", one.still).close();
  }
  out.close().close();
}

pg::Decomposition read_decomposition(std::string_view object) {
  pg::Decomposition made;
  made.having = json::text_member(object, "having");
  made.value = json::text_member(object, "value");
  made.conditions = json::texts_member(object, "conditions");
  made.falling = json::texts_member(object, "falling");
  made.only_falls = json::true_member(object, "only_falls");
  made.is_fixed = json::true_member(object, "is_fixed");
  made.person_conditions = json::texts_member(object, "person_conditions");
  const auto needs = json::numbers_member(object, "needs");
  for (std::size_t i = 0; i + 2 < needs.size(); i += 3)
    made.needs.push_back({needs[i], needs[i + 1], needs[i + 2]});
  made.uses_person = json::true_member(object, "uses_person");
  made.uses_clock = json::true_member(object, "uses_clock");
  made.segments = json::number_member(object, "segments");
  made.computed = json::number_member(object, "computed");
  made.since = json::number_member(object, "since");
  made.needed_segments = json::numbers_member(object, "needed_segments");
  for (auto one : json::elements(json::member(object, "aggregates")))
    made.aggregates.push_back(read_aggregate(one));
  for (auto one : json::elements(json::member(object, "turns")))
    made.turns.push_back({json::texts_member(one, "inputs"), json::texts_member(one, "tests"),
                          json::texts_member(one, "zones"), json::true_member(one, "wide"),
                          json::numbers_member(one, "offsets"), json::true_member(one, "still")});
  return made;
}

void add(json::Text &out, const Outline &made) {
  out.open('{').add("having", made.having).add("key", made.key);
  out.add("uses_source", made.uses_source).add("uses_clock", made.uses_clock).add("is_value", made.is_value);
  out.add("obstacle", made.obstacle);
  out.add("events", made.mentions.events).add("traits", made.mentions.traits);
  out.add("functions", made.mentions.functions).add("segments", made.mentions.segments);
  out.key("properties").open('[');
  for (const auto &one : made.mentions.properties)
    out.open('{').add("events", one.events).add("name", one.name).close();
  out.close().key("conditions").open('[');
  for (const auto &one : made.conditions)
    out.open('{').add("text", one.text).add("truth", one.truth).close();
  out.close().close();
}

Outline read_outline(std::string_view object) {
  Outline made{json::text_member(object, "having"),
               json::text_member(object, "key"),
               json::true_member(object, "uses_source"),
               json::true_member(object, "uses_clock"),
               json::true_member(object, "is_value"),
               {},
               {json::texts_member(object, "events"),
                json::texts_member(object, "traits"),
                json::texts_member(object, "functions"),
                json::texts_member(object, "segments"),
                {}},
               json::text_member(object, "obstacle")};
  for (auto one : json::elements(json::member(object, "properties")))
    made.mentions.properties.push_back({json::texts_member(one, "events"), json::text_member(one, "name")});
  for (auto one : json::elements(json::member(object, "conditions"))) {
    auto &condition = made.conditions.emplace_back();
    condition.text = json::text_member(one, "text");
    condition.truth = json::text_member(one, "truth");
  }
  return made;
}

} // namespace

std::vector<std::string> Plan::events() const {
  if (!relevance.any_event)
    return relevance.events;
  std::vector<std::string> names;
  if (!decomposition || !outline.key.empty())
    return names;
  for (const auto &aggregate : decomposition->aggregates)
    for (const auto &one : aggregate.inputs) {
      if (one.events.empty())
        return {};
      names.insert(names.end(), one.events.begin(), one.events.end());
    }
  return names;
}

Plan make_plan(const pg::Rule &rule) {
  Plan plan{make_statements(rule),
            rule.relevance,
            rule.decomposition,
            {rule.having, rule.key, rule.uses_source, rule.uses_clock, !rule.value.empty(), rule.conditions,
             rule.mentions, rule.obstacle},
            {},
            0,
            {}};
  for (const auto &one : rule.segments) {
    plan.segments.push_back(one.segment_id);
    plan.computed += one.is_value;
  }
  for (const auto &one : rule.since)
    plan.since.push_back(one.name);
  return plan;
}

std::string to_json(const Plan &plan) {
  json::Text out;
  out.open('{');
  if (!plan.segments.empty())
    out.add("segments", std::vector<std::int64_t>(plan.segments.begin(), plan.segments.end()));
  if (plan.computed)
    out.add("computed", static_cast<std::int64_t>(plan.computed));
  if (!plan.since.empty())
    out.add("since", plan.since);
  add(out, plan.statements);
  out.key("relevance").open('{').add("any_event", plan.relevance.any_event);
  out.add("events", plan.relevance.events).add("traits", plan.relevance.traits).close();
  out.key("outline");
  add(out, plan.outline);
  if (plan.decomposition) {
    out.key("decomposition");
    add(out, *plan.decomposition);
  }
  return out.close().str();
}

Plan read_plan(std::string_view text) {
  Plan plan{read_statements(text), {}, std::nullopt, read_outline(json::member(text, "outline")), {}, 0, {}};
  for (auto id : json::numbers_member(text, "segments"))
    plan.segments.push_back(static_cast<std::int32_t>(id));
  plan.computed = static_cast<std::size_t>(json::number_member(text, "computed"));
  plan.since = json::texts_member(text, "since");
  const auto relevance = json::member(text, "relevance");
  plan.relevance = {json::true_member(relevance, "any_event"), json::texts_member(relevance, "events"),
                    json::true_member(relevance, "traits")};
  if (auto made = json::member(text, "decomposition"); !made.empty())
    plan.decomposition = read_decomposition(made);
  return plan;
}

std::string to_json(const pg::Input &input, bool wants_decimal, const pg::RuleSettings &settings) {
  json::Text out;
  out.open('{');
  add(out, input);
  out.add("decimal", wants_decimal);
  if (!input.portable) {
    out.add("owner", settings.owner).add("time_zone", settings.time_zone);
    out.add("search_path", settings.search_path).add("datestyle", settings.datestyle);
    out.add("intervalstyle", settings.intervalstyle);
  }
  return out.close().str();
}

} // namespace cdp::segment
