#include "core/survivorship.hpp"

#include "core/strategies.hpp"

#include <algorithm>
#include <array>
#include <set>
#include <utility>

namespace cdp::core {

namespace {

constexpr std::array<std::string_view, 21> kNames{"latest",
                                                  "earliest",
                                                  "most_frequent",
                                                  "source_priority",
                                                  "min",
                                                  "max",
                                                  "sum",
                                                  "average",
                                                  "longest",
                                                  "shortest",
                                                  "any_true",
                                                  "all_true",
                                                  "union_list",
                                                  "intersection_list",
                                                  "counted_list",
                                                  "first_non_empty",
                                                  "verified_first",
                                                  "maximum_age",
                                                  "never",
                                                  "aggregate",
                                                  "computed"};

std::size_t literal(std::string_view pattern) {
  return pattern.size() - static_cast<std::size_t>(std::count(pattern.begin(), pattern.end(), '*'));
}

// From when on what was decided may be another: one value stands as long as its own claim does.
Timestamp lapse(std::span<const Claim> claims, const std::vector<std::size_t> &live, const Verdict &found,
                const Link &link) {
  auto until = kInfinity;
  if (link.maximum_age == 0)
    return until;
  const bool chosen = found.made_from.size() == 1 && link.strategy != Strategy::most_frequent &&
                      link.strategy != Strategy::never && !is_made(link.strategy);
  for (auto place : chosen ? found.made_from : live)
    until = std::min(until, claims[place].asserted_at + link.maximum_age);
  return until;
}

} // namespace

std::optional<Strategy> strategy_from(std::string_view name) {
  const auto found = std::find(kNames.begin(), kNames.end(), name);
  return found == kNames.end() ? std::nullopt : std::optional(static_cast<Strategy>(found - kNames.begin()));
}

std::string_view to_string(Strategy strategy) {
  return kNames[static_cast<std::size_t>(strategy)];
}

// Where the text after a star is found first, the rest has the most room.
bool matches(std::string_view pattern, std::string_view trait) {
  std::size_t p = 0, t = 0, star = std::string_view::npos, resume = 0;
  while (t < trait.size())
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = t;
    } else if (p < pattern.size() && pattern[p] == trait[t]) {
      ++p, ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  return pattern.find_first_not_of('*', p) == std::string_view::npos;
}

void Rules::add(const std::string &pattern, Link link) {
  has_ages_ = has_ages_ || link.maximum_age > 0;
  auto &chain = chains_[pattern];
  if (link.strategy == Strategy::computed)
    computed_.insert(pattern);
  if (chain.empty() && pattern.find('*') != std::string::npos) {
    patterns_.push_back(pattern);
    std::sort(patterns_.begin(), patterns_.end(), [](const std::string &a, const std::string &b) {
      return std::pair(literal(b), std::string_view(a)) < std::pair(literal(a), std::string_view(b));
    });
  }
  chain.push_back(std::move(link));
}

// Traits that this policy says something about are not the other's.
void Rules::fall_back(const Rules *other) {
  other_ = other;
  for (const auto &trait : other->computed_)
    if (find(trait) == other->find(trait))
      computed_.insert(trait);
}

const Rules::Chains::value_type *Rules::find(std::string_view trait) const {
  if (const auto exact = chains_.find(trait); exact != chains_.end())
    return &*exact;
  for (const auto &pattern : patterns_)
    if (matches(pattern, trait))
      return &*chains_.find(pattern);
  return other_ ? other_->find(trait) : nullptr;
}

const std::vector<Link> *Rules::chain(std::string_view trait) const {
  const auto *found = find(trait);
  return found ? &found->second : nullptr;
}

std::string Rules::pattern(std::string_view trait) const {
  const auto *found = find(trait);
  return found ? found->first : std::string();
}

const TraitDefinition *Rules::definition(std::string_view trait) const {
  const auto found = definitions_.find(trait);
  return found == definitions_.end() ? nullptr : &found->second;
}

bool Rules::governs(std::string_view trait) const {
  const auto *links = chain(trait);
  return links && !(links->size() == 1 && links->front().strategy == Strategy::latest &&
                    links->front().maximum_age == 0);
}

std::int32_t Rules::trust_in(const std::string &source) const {
  const auto found = trust_.find(source);
  return found == trust_.end() ? 0 : found->second;
}

std::vector<bool> taken_back(std::span<const Claim> claims) {
  std::vector<bool> gone(claims.size());
  std::set<std::int32_t> silenced;
  for (auto i = claims.size(); i-- > 0;) {
    gone[i] = silenced.contains(claims[i].source_id);
    if (claims[i].value == "null")
      silenced.insert(claims[i].source_id);
  }
  return gone;
}

Verdict decide(std::span<const Claim> claims, const std::vector<Link> &chain, const Rules &rules,
               const World &world, Timestamp at) {
  const auto gone = taken_back(claims);
  std::vector<std::size_t> standing;
  for (std::size_t i = 0; i < claims.size(); ++i)
    if (!gone[i] && claims[i].value != "null")
      standing.push_back(i);
  Verdict verdict;
  std::vector<int> asks;
  for (std::size_t place = 0; place < chain.size(); ++place) {
    const auto &link = chain[place];
    if (link.strategy == Strategy::computed) {
      asks.push_back(static_cast<int>(place));
      continue;
    }
    auto live = standing;
    // The newest of all is null: nothing was said since.
    if ((link.strategy == Strategy::latest || link.strategy == Strategy::maximum_age) && !claims.empty() &&
        claims.back().value == "null")
      live.clear();
    if (link.maximum_age > 0)
      std::erase_if(live, [&](std::size_t i) { return claims[i].asserted_at + link.maximum_age <= at; });
    auto found = live.empty() ? Verdict() : apply({claims, live, link, rules, world});
    found.until = std::min(verdict.until, lapse(claims, live, found, link));
    if (found.error.empty())
      found.error = verdict.error;
    verdict = std::move(found);
    if (verdict.value != "null" || verdict.conflict) {
      verdict.link = static_cast<int>(place);
      break;
    }
    verdict.made_from.clear();
  }
  verdict.asks = std::move(asks);
  return verdict;
}

void answer(Verdict &verdict, const std::vector<Link> &chain, const TraitDefinition *definition,
            const ComputedValues &values) {
  for (const auto place : verdict.asks) {
    const auto known = values.find(chain[static_cast<std::size_t>(place)].computed);
    if (known == values.end())
      continue;
    verdict.until = std::min(verdict.until, known->second.until);
    if (known->second.value == "null")
      continue;
    auto made = definition ? fit(*definition, known->second.value) : Fit{known->second.value, {}};
    if (made.code.empty()) {
      verdict.value = std::move(made.value);
      verdict.made_from.clear();
      verdict.link = place;
      verdict.conflict = false;
      return;
    }
    verdict.error = "the computed trait does not fit the definition: " + std::string(made.code);
  }
}

} // namespace cdp::core
