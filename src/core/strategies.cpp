#include "core/strategies.hpp"

#include "core/json_text.hpp"
#include "core/json_value.hpp"

#include <algorithm>
#include <numeric>
#include <set>
#include <tuple>

namespace cdp::core {

namespace {

using json::Kind;
using Places = std::vector<std::size_t>;

Verdict chosen(const Case &one, std::size_t place) {
  return {one.claims[place].value, {place}};
}

// The best of some; of equally good ones the last, which is the newest.
template <class Better> Verdict best(const Case &one, const Places &places, Better better) {
  if (places.empty())
    return {};
  auto found = places.front();
  for (auto place : places)
    if (!better(found, place))
      found = place;
  return chosen(one, found);
}

Places of_kind(const Case &one, Kind kind) {
  Places places;
  std::copy_if(one.live.begin(), one.live.end(), std::back_inserter(places),
               [&](std::size_t i) { return json::kind_of(one.claims[i].value) == kind; });
  return places;
}

Verdict latest(const Case &one) {
  return chosen(one, one.live.back());
}

Verdict earliest(const Case &one) {
  return chosen(one, one.live.front());
}

Verdict most_frequent(const Case &one) {
  std::map<std::string, std::pair<std::size_t, std::size_t>> said; // how often, and the last place
  for (auto i : one.live) {
    auto &[count, last] = said[json::equal_form(one.claims[i].value)];
    ++count;
    last = i;
  }
  const auto most = std::max_element(said.begin(), said.end(),
                                     [](const auto &a, const auto &b) { return a.second < b.second; });
  return chosen(one, most->second.second);
}

// The place of a claim's source in the rule's list, then trust, above the rest.
std::pair<std::size_t, std::int64_t> rank(const Case &one, std::size_t place) {
  const auto known = one.world.sources.find(one.claims[place].source_id);
  const auto &name = known == one.world.sources.end() ? std::string() : known->second;
  const auto listed = std::find(one.link.sources.begin(), one.link.sources.end(), name);
  return {static_cast<std::size_t>(listed - one.link.sources.begin()),
          -std::int64_t{one.rules.trust_in(name)}};
}

Verdict by_source(const Case &one, const Places &places) {
  return best(one, places, [&](std::size_t a, std::size_t b) { return rank(one, a) < rank(one, b); });
}

bool is_empty(std::string_view value) {
  const auto kind = json::kind_of(value);
  if (kind == Kind::string)
    return json::unescape(value).find_first_not_of(" \t\r\n") == std::string::npos;
  return (kind == Kind::array || kind == Kind::object) && !json::Cursor(value).next();
}

Verdict first_non_empty(const Case &one) {
  Places places;
  std::copy_if(one.live.begin(), one.live.end(), std::back_inserter(places),
               [&](std::size_t i) { return !is_empty(one.claims[i].value); });
  return by_source(one, places);
}

Verdict verified_first(const Case &one) {
  return best(one, one.live, [&](std::size_t a, std::size_t b) {
    return one.claims[a].verified && !one.claims[b].verified;
  });
}

// Numbers by size; where there are none texts by byte, where there are none booleans.
Verdict extreme(const Case &one, int wanted) {
  if (const auto numbers = of_kind(one, Kind::number); !numbers.empty())
    return best(one, numbers, [&](std::size_t a, std::size_t b) {
      return json::compare_numbers(one.claims[a].value, one.claims[b].value) * wanted > 0;
    });
  if (const auto texts = of_kind(one, Kind::string); !texts.empty())
    return best(one, texts, [&](std::size_t a, std::size_t b) {
      return json::unescape(one.claims[a].value).compare(json::unescape(one.claims[b].value)) * wanted > 0;
    });
  return best(one, of_kind(one, Kind::boolean), [&](std::size_t a, std::size_t b) {
    return ((one.claims[a].value == "true") - (one.claims[b].value == "true")) * wanted > 0;
  });
}

Verdict by_length(const Case &one, int wanted) {
  const auto length = [&](std::size_t i) {
    return static_cast<std::int64_t>(json::characters(json::unescape(one.claims[i].value)));
  };
  return best(one, of_kind(one, Kind::string),
              [&](std::size_t a, std::size_t b) { return (length(a) - length(b)) * wanted > 0; });
}

Verdict prefer(const Case &one, std::string_view value) {
  return best(one, of_kind(one, Kind::boolean), [&](std::size_t a, std::size_t b) {
    return one.claims[a].value == value && one.claims[b].value != value;
  });
}

std::vector<std::string> items(std::string_view value) {
  if (json::kind_of(value) != Kind::array)
    return {std::string(value)};
  std::vector<std::string> found;
  for (json::Cursor each(value); each.next();)
    found.emplace_back(each.value());
  return found;
}

std::string array(const std::vector<std::string> &values) {
  std::string made = "[";
  for (const auto &value : values)
    made += (made.size() > 1 ? ", " : "") + value;
  return made + "]";
}

// Each item once, in the order in which they were first said, and how many claims say it.
struct Said {
  std::vector<std::string> values;
  std::vector<std::size_t> counts;
  std::map<std::string, std::size_t> places; // by equal form

  explicit Said(const Case &one) {
    for (auto i : one.live) {
      std::set<std::size_t> here;
      for (auto &item : items(one.claims[i].value)) {
        const auto [found, is_new] = places.try_emplace(json::equal_form(item), values.size());
        if (is_new) {
          values.push_back(std::move(item));
          counts.push_back(0);
        }
        counts[found->second] += here.insert(found->second).second;
      }
    }
  }
};

Verdict union_list(const Case &one) {
  return {array(Said(one).values), one.live};
}

Verdict intersection_list(const Case &one) {
  const Said said(one);
  std::vector<std::string> common;
  for (std::size_t i = 0; i < said.values.size(); ++i)
    if (said.counts[i] == one.live.size())
      common.push_back(said.values[i]);
  return {array(common), one.live};
}

Verdict counted_list(const Case &one) {
  const Said said(one);
  Places order(said.values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return said.counts[a] > said.counts[b]; });
  std::vector<std::string> counted;
  for (auto i : order)
    counted.push_back(R"({"count": )" + std::to_string(said.counts[i]) + R"(, "value": )" + said.values[i] +
                      "}");
  return {array(counted), one.live};
}

// Whoever contradicts makes it a conflict; equal values are none.
Verdict never(const Case &one) {
  const auto form = json::equal_form(one.claims[one.live.front()].value);
  for (auto i : one.live)
    if (json::equal_form(one.claims[i].value) != form) {
      Verdict verdict{"null", one.live};
      verdict.conflict = true;
      return verdict;
    }
  return latest(one);
}

// Of the claims those that can be what the aggregate takes.
Places acceptable(const Case &one) {
  const auto &type = one.link.argument;
  if (type == "numeric")
    return of_kind(one, Kind::number);
  if (type == "boolean")
    return of_kind(one, Kind::boolean);
  if (type != "timestamptz")
    return one.live;
  auto places = of_kind(one, Kind::string);
  std::erase_if(places, [&](std::size_t i) { return !parse_iso8601(json::unescape(one.claims[i].value)); });
  return places;
}

Verdict aggregated(const Case &one) {
  const auto places = acceptable(one);
  if (places.empty() || !one.world.aggregate)
    return {};
  std::vector<std::string> values;
  for (auto i : places)
    values.push_back(one.claims[i].value);
  auto made = one.world.aggregate(one.link, values);
  Verdict verdict{std::move(made.value), places};
  verdict.error = std::move(made.error);
  return verdict;
}

} // namespace

bool is_made(Strategy strategy) {
  switch (strategy) {
  case Strategy::sum:
  case Strategy::average:
  case Strategy::union_list:
  case Strategy::intersection_list:
  case Strategy::counted_list:
  case Strategy::aggregate:
    return true;
  default:
    return false;
  }
}

Verdict apply(const Case &one) {
  switch (one.link.strategy) {
  case Strategy::latest:
  case Strategy::maximum_age:
    return latest(one);
  case Strategy::earliest:
    return earliest(one);
  case Strategy::most_frequent:
    return most_frequent(one);
  case Strategy::source_priority:
    return by_source(one, one.live);
  case Strategy::min:
    return extreme(one, -1);
  case Strategy::max:
    return extreme(one, 1);
  case Strategy::longest:
    return by_length(one, 1);
  case Strategy::shortest:
    return by_length(one, -1);
  case Strategy::any_true:
    return prefer(one, "true");
  case Strategy::all_true:
    return prefer(one, "false");
  case Strategy::union_list:
    return union_list(one);
  case Strategy::intersection_list:
    return intersection_list(one);
  case Strategy::counted_list:
    return counted_list(one);
  case Strategy::first_non_empty:
    return first_non_empty(one);
  case Strategy::verified_first:
    return verified_first(one);
  case Strategy::never:
    return never(one);
  case Strategy::sum:
  case Strategy::average:
  case Strategy::aggregate:
    return aggregated(one);
  case Strategy::computed: // is of nothing that was said
    break;
  }
  return {};
}

} // namespace cdp::core
