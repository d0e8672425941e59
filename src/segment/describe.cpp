#include "segment/describe.hpp"

#include <algorithm>

#include "core/json_text.hpp"

namespace cdp::segment {

namespace {

namespace json = core::json;

constexpr const char *kColumns[] = {"event_id",    "type",        "event",      "source",
                                    "occurred_at", "received_at", "properties", "context"};

// $1 to $8 by their names, outside of quotes; of a bound $1 is the clock.
std::string readable(const std::string &text, bool is_bound = false) {
  std::string out;
  char quote = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quote)
      quote = c == quote ? 0 : quote;
    else if (c == '\'' || c == '"')
      quote = c;
    else if (c == '$' && i + 1 < text.size() && text[i + 1] >= '1' && text[i + 1] <= '8') {
      out += is_bound ? "now()" : kColumns[text[++i] - '1'];
      i += is_bound;
      continue;
    }
    out += c;
  }
  return out;
}

std::string span(std::int64_t microseconds) {
  std::string text;
  const auto add = [&](std::int64_t unit, const char *name) {
    const auto count = microseconds / unit;
    microseconds %= unit;
    if (count)
      text += (text.empty() ? "" : " ") + std::to_string(count) + " " + name + (count == 1 ? "" : "s");
  };
  add(86'400'000'000, "day");
  add(3'600'000'000, "hour");
  add(60'000'000, "minute");
  add(1'000'000, "second");
  add(1, "microsecond");
  return text;
}

std::string window_text(const pg::Window &one) {
  const std::string start = "occurred_at " + one.op + " ";
  if (!one.fixed)
    return start + readable(one.bound, true);
  if (one.distance == 0)
    return start + "now()";
  return start + "now() " + (one.distance < 0 ? "- " : "+ ") + "interval '" +
         span(one.distance < 0 ? -one.distance : one.distance) + "'";
}

std::string listed(const std::vector<std::string> &names, const char *quote) {
  std::string text;
  for (const auto &name : names)
    text += (text.empty() ? "" : ", ") + (quote + name + quote);
  return text;
}

void add(json::Text &details, const pg::Input &input) {
  if (!input.events.empty())
    details.add("events", input.events);
  if (!input.condition.empty())
    details.add("where", readable(input.condition));
  if (!input.value.empty())
    details.add("value", readable(input.value));
  if (!input.key.empty())
    details.add("per", readable(input.key));
}

} // namespace

std::vector<Line> describe_aggregates(const Plan &plan) {
  std::vector<Line> lines;
  if (!plan.decomposition)
    return lines;
  for (const auto &one : plan.decomposition->aggregates) {
    json::Text details;
    details.open('{');
    if (one.steps == 0)
      add(details, one.inputs.front());
    for (std::size_t step = 0; step < static_cast<std::size_t>(one.steps); ++step) {
      details.key("step " + std::to_string(step + 1)).open('{');
      add(details, one.inputs[step]);
      details.close();
    }
    if (!one.pattern.empty())
      details.add(one.function == "funnel" ? "within" : "pattern",
                  one.function == "funnel" ? span(std::stoll(one.pattern)) : one.pattern);
    std::vector<std::string> windows;
    for (const auto &window : one.windows)
      windows.push_back(window_text(window));
    if (!windows.empty())
      details.add("windows", windows);
    lines.push_back({"aggregate",
                     static_cast<int>(lines.size()) + 1,
                     one.called.empty() ? one.function : one.called,
                     details.close().str(),
                     {},
                     {}});
  }
  return lines;
}

std::vector<Line> describe_dependencies(const Plan &plan) {
  std::vector<Line> lines;
  const auto &mentions = plan.outline.mentions;
  const auto add = [&](const char *part, const std::vector<std::string> &names) {
    int number = 0;
    for (const auto &name : names)
      lines.push_back({part, ++number, name, "{}", {}, {}});
  };
  if (plan.looks_at_events() && plan.events().empty())
    lines.push_back({"depends on events", {}, "any", "{}", {}, {}});
  add("depends on event", mentions.events);
  int number = 0;
  for (const auto &one : mentions.properties) {
    json::Text details;
    details.open('{').add("events", one.events);
    lines.push_back({"depends on property", ++number, one.name, details.close().str(), {}, {}});
  }
  if (plan.outline.uses_source)
    lines.push_back({"depends on sources", {}, "any", "{}", {}, {}});
  if (plan.relevance.traits && mentions.traits.empty())
    lines.push_back({"depends on traits", {}, "any", "{}", {}, {}});
  add("depends on trait", mentions.traits);
  add("depends on segment", mentions.segments);
  add("depends on function", mentions.functions);
  return lines;
}

std::string why_exact(const Plan &plan) {
  std::string text;
  const auto add = [&](const std::string &what) { text += (text.empty() ? "" : "; ") + what; };
  auto events = plan.events();
  std::sort(events.begin(), events.end());
  events.erase(std::unique(events.begin(), events.end()), events.end());
  if (plan.looks_at_events())
    add(events.empty() ? "any event"
                       : (events.size() == 1 ? "the event " : "the events ") + listed(events, "\""));
  const auto &traits = plan.outline.mentions.traits;
  if (plan.relevance.traits || !plan.since.empty())
    add(traits.empty() ? "any trait"
                       : (traits.size() == 1 ? "the trait " : "the traits ") + listed(traits, "\""));
  const auto &segments = plan.outline.mentions.segments;
  if (!segments.empty())
    add((segments.size() == 1 ? "membership of the segment " : "membership of the segments ") +
        listed(segments, "\""));
  if (plan.outline.uses_clock)
    add("the clock, at instants that are known ahead");
  return "what can change it is known: " + (text.empty() ? "nothing" : text);
}

std::string why_judged(const Plan &plan, bool by_timelines) {
  if (by_timelines)
    return "timelines: each aggregate is kept by what it asks of events";
  if (plan.decomposition)
    return "PostgreSQL: it could hold for a key without an event, or what it asks of events cannot be "
           "prepared";
  return "PostgreSQL: " + plan.outline.obstacle;
}

} // namespace cdp::segment
