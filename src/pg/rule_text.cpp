// Expressions back to SQL text that means the same under any search_path.
#include <algorithm>
#include <cctype>
#include <functional>

#include "pg/rule_tree.hpp"

extern "C" {
#include "utils/ruleutils.h"
}

namespace cdp::pg::rule {

namespace {

constexpr const char *kColumns[] = {"event_id",    "type",        "event",      "source",
                                    "occurred_at", "received_at", "properties", "context"};

// Deparses with every name qualified that pg_catalog does not have, and constants in settings-proof spelling.
std::string deparse(Node *node) {
  return call([&] {
    const int level = NewGUCNestLevel();
    const auto set = [](const char *name, const char *value) {
      (void)set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
    };
    set("search_path", "pg_catalog, pg_temp");
    set("datestyle", "ISO, YMD");
    set("intervalstyle", "postgres");
    char *text = deparse_expression(node, NIL, false, false);
    AtEOXact_GUC(true, level);
    return text;
  });
}

// Replaces $n outside of quotes.
std::string rename(const std::string &text, const std::function<std::string(int)> &name) {
  std::string out;
  char quote = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quote) {
      quote = c == quote ? 0 : quote; // a doubled quote closes and opens again
    } else if (c == '\'' || c == '"') {
      quote = c;
    } else if (c == '$' && i + 1 < text.size() && std::isdigit(static_cast<unsigned char>(text[i + 1]))) {
      std::size_t end = i + 1;
      while (end < text.size() && std::isdigit(static_cast<unsigned char>(text[end])))
        ++end;
      out += name(std::stoi(text.substr(i + 1, end - i - 1)));
      i = end - 1;
      continue;
    }
    out += c;
  }
  return out;
}

const Expression *named = nullptr;

bool is_segment(int number) {
  return number >= kFirstSegment && number <= kLastSegment;
}

bool is_computed(int number) {
  return number >= kFirstComputed && number <= kLastComputed;
}

bool is_since(int number) {
  return number >= kFirstSince && number <= kLastSince;
}

} // namespace

int segments_of(const Expression &expression) {
  return static_cast<int>(std::count_if(expression.segments.begin(), expression.segments.end(),
                                        [](const Asked &one) { return !one.is_value; }));
}

NamedAsked::NamedAsked(const Expression &expression) {
  named = &expression;
}

NamedAsked::~NamedAsked() {
  named = nullptr;
}

std::string to_sql(Node *node) {
  return rename(deparse(node), [](int number) -> std::string {
    switch (number) {
    case kProfileId:
      return "s.profile_id";
    case kTraits:
      return "s.traits";
    case kInstant:
      return "s.at";
    default:
      if (is_segment(number))
        return "s.segments[" + std::to_string(number - kFirstSegment + 1) + "]";
      if (is_since(number))
        return "s.since[" + std::to_string(number - kFirstSince + 1) + "]";
      if (is_computed(number))
        return "s.computed[" + std::to_string(number - kFirstComputed + 1) + "]";
      return std::string("e.") + kColumns[number - 1];
    }
  });
}

std::string to_test(Node *node) {
  return rename(deparse(node), [](int number) {
    return "$" + std::to_string(number == kInstant ? 1 : number - kFirstInput + 2);
  });
}

std::string to_event_text(Node *node) {
  return rename(deparse(node), [](int number) { return "$" + std::to_string(number); });
}

std::string to_group_text(Node *node, int aggregates, const Expression &expression) {
  const int asked = static_cast<int>(expression.segments.size());
  const int segments = segments_of(expression);
  return rename(deparse(node), [=](int number) {
    const int place = number == kInstant     ? 1
                      : number == kProfileId ? 2
                      : number == kTraits    ? 3
                      : is_segment(number)   ? number - kFirstSegment + 4 + aggregates
                      : is_computed(number)  ? number - kFirstComputed + 4 + aggregates + segments
                      : is_since(number)     ? number - kFirstSince + 4 + aggregates + asked
                                             : number - kFirstInput + 4;
    return "$" + std::to_string(place);
  });
}

std::string to_display(Node *node) {
  return rename(deparse(node), [](int number) -> std::string {
    switch (number) {
    case kProfileId:
      return "profile_id";
    case kTraits:
      return "traits";
    case kInstant:
      return "now()";
    default:
      if (is_segment(number) && named)
        return "cdp.in_segment('" + named->segments[static_cast<std::size_t>(number - kFirstSegment)].name +
               "')";
      if (is_since(number) && named)
        return "cdp.trait_since('" + named->since[static_cast<std::size_t>(number - kFirstSince)].name + "')";
      if (is_computed(number) && named)
        return "(computed -> '" +
               named->segments[static_cast<std::size_t>(number - kFirstComputed + segments_of(*named))].name +
               "')";
      return kColumns[number - 1];
    }
  });
}

} // namespace cdp::pg::rule
