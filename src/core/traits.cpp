#include "core/traits.hpp"

#include "core/json_text.hpp"
#include "core/json_value.hpp"

#include <algorithm>
#include <charconv>
#include <tuple>

namespace cdp::core {

namespace {

std::int64_t to_number(std::string_view text) {
  std::int64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

} // namespace

void add_claim(std::vector<Claim> &claims, Claim claim) {
  const auto later = [](const Claim &a, const Claim &b) {
    return std::tie(a.asserted_at, a.decision_seq) < std::tie(b.asserted_at, b.decision_seq);
  };
  claims.insert(std::upper_bound(claims.begin(), claims.end(), claim, later), std::move(claim));
}

Traits::Traits(std::string_view traits, std::string_view origins, const Rules &rules) : rules_(&rules) {
  for (json::Cursor each(origins); each.next();) {
    json::Cursor pair(each.value());
    Golden golden{"null", 0, 0};
    if (pair.next())
      golden.asserted_at = to_number(pair.value());
    if (pair.next())
      golden.decision_seq = to_number(pair.value());
    golden_.emplace(each.raw_key(), std::move(golden));
  }
  for (json::Cursor each(traits); each.next();) // what nobody said has no origin
    golden_.try_emplace(std::string(each.raw_key()), Golden{"null", 0, 0}).first->second.value = each.value();
}

bool Traits::needs_claims(std::string_view traits, const Rules &rules) {
  if (!rules.governs_any())
    return false;
  for (json::Cursor each(traits); each.next();)
    if (rules.governs(json::unescape(each.raw_key())))
      return true;
  return false;
}

bool Traits::needs_claims() const {
  return rules_->governs_any() && std::any_of(golden_.begin(), golden_.end(), [&](const auto &one) {
           return rules_->governs(json::unescape(one.first));
         });
}

bool Traits::offer(const std::string &raw_key, Golden golden) {
  auto [place, is_new] = golden_.try_emplace(raw_key, golden);
  auto &current = place->second;
  if (is_new)
    return current.value != "null";
  if (std::tie(golden.asserted_at, golden.decision_seq) < std::tie(current.asserted_at, current.decision_seq))
    return false;
  std::swap(current, golden);
  return current.value != golden.value;
}

void Traits::claim(std::string name, Claim claim) {
  auto &governed = governed_[std::move(name)];
  add_claim(governed.claims, std::move(claim));
  governed.decided = false;
}

bool Traits::assert_one(const Assertion &said, std::string_view raw_key, std::string value,
                        std::vector<Misfit> &misfits) {
  auto name = json::unescape(raw_key);
  if (const auto *definition = rules_->definition(name)) {
    auto made = fit(*definition, value);
    if (!made.code.empty()) {
      misfits.push_back({said.decision_seq, name, std::move(value), std::string(made.code),
                         hint_for(made.code, *definition)});
      return false;
    }
    value = std::move(made.value);
  }
  if (!rules_->governs(name))
    return offer(std::string(raw_key), {std::move(value), said.asserted_at, said.decision_seq});
  const bool verified = json::member(said.traits, name + "_verified") == "true";
  claim(std::move(name), {std::move(value), said.asserted_at, said.decision_seq, said.source_id, verified});
  return true;
}

bool Traits::assert_all(const Assertion &said, std::vector<Misfit> &misfits) {
  bool changed = false;
  for (json::Cursor each(said.traits); each.next();)
    changed |= rules_->is_default() ? offer(std::string(each.raw_key()),
                                            {std::string(each.value()), said.asserted_at, said.decision_seq})
                                    : assert_one(said, each.raw_key(), std::string(each.value()), misfits);
  return changed;
}

void Traits::recall(const Assertion &said) {
  std::vector<Misfit> known;
  for (json::Cursor each(said.traits); each.next();)
    if (rules_->governs(json::unescape(each.raw_key()))) {
      golden_.erase(std::string(each.raw_key())); // until it is decided
      assert_one(said, each.raw_key(), std::string(each.value()), known);
    }
}

void Traits::absorb(const Traits &other) {
  for (const auto &[name, governed] : other.governed_)
    for (const auto &one : governed.claims)
      claim(name, one);
  for (const auto &[key, golden] : other.golden_)
    if (!rules_->governs_any() || !rules_->governs(json::unescape(key)))
      offer(key, golden);
}

bool Traits::settle(const World &world, Timestamp at, const ComputedValues &values) {
  bool changed = false;
  for (const auto &name : rules_->computed()) // whether or not anybody said something of it
    governed_.try_emplace(name);
  for (auto &[name, governed] : governed_) {
    const bool stands = governed.decided && governed.of_claims.until > at;
    if (stands && governed.of_claims.asks.empty())
      continue;
    const auto &chain = *rules_->chain(name);
    if (!stands)
      governed.of_claims = core::decide(governed.claims, chain, *rules_, world, at);
    governed.decided = true;
    auto &verdict = governed.verdict = governed.of_claims;
    answer(verdict, chain, rules_->definition(name), values);
    const auto key = json::quoted(name);
    if (governed.claims.empty()) {
      auto &golden = golden_[key];
      changed = changed || (golden.value.empty() ? "null" : golden.value) != verdict.value;
      golden = {verdict.value, 0, 0};
      continue;
    }
    // Of several the newest, of none the newest of all.
    const auto &origin =
        governed.claims[verdict.made_from.empty() ? governed.claims.size() - 1 : verdict.made_from.back()];
    auto &golden = golden_[key];
    changed = changed || (golden.value.empty() ? "null" : golden.value) != verdict.value;
    golden = {verdict.value, origin.asserted_at, origin.decision_seq};
  }
  return changed;
}

Timestamp Traits::until() const {
  auto until = kInfinity;
  for (const auto &[name, governed] : governed_)
    until = std::min(until, governed.verdict.until);
  return until;
}

OpenTraits Traits::open() const {
  OpenTraits made;
  std::set<std::int32_t> asked;
  std::set<std::string> keys;
  for (const auto &name : rules_->computed())
    if (const auto found = governed_.find(name);
        found != governed_.end() && !found->second.of_claims.asks.empty()) {
      const auto &one = made.open_.emplace_back(OpenTraits::One{
          json::quoted(name), found->second.of_claims, rules_->chain(name), rules_->definition(name)});
      keys.insert(one.raw_key);
      for (const auto place : one.verdict.asks)
        asked.insert((*one.chain)[static_cast<std::size_t>(place)].computed);
    }
  for (const auto &[key, golden] : golden_)
    if (golden.value != "null" && !keys.contains(key))
      made.rest_ += (made.rest_.size() > 1 ? ", " : "") + key + ": " + golden.value;
  made.asked_.assign(asked.begin(), asked.end());
  return made;
}

std::string OpenTraits::traits_json(const ComputedValues &values, Timestamp &until) const {
  auto json = rest_;
  until = kInfinity;
  for (const auto &one : open_) {
    auto verdict = one.verdict;
    verdict.until = kInfinity;
    answer(verdict, *one.chain, one.definition, values);
    until = std::min(until, verdict.until);
    if (verdict.value != "null")
      json += (json.size() > 1 ? ", " : "") + one.raw_key + ": " + verdict.value;
  }
  return json + "}";
}

std::string Traits::traits_json() const {
  std::string json = "{";
  for (const auto &[key, golden] : golden_) {
    if (golden.value == "null")
      continue;
    json += (json.size() > 1 ? ", " : "") + key + ": " + golden.value;
  }
  return json + "}";
}

std::string Traits::origins_json() const {
  std::string json = "{";
  for (const auto &[key, golden] : golden_)
    if (golden.decision_seq != 0)
      json += (json.size() > 1 ? ", " : "") + key + ": [" + std::to_string(golden.asserted_at) + ", " +
              std::to_string(golden.decision_seq) + "]";
  return json + "}";
}

} // namespace cdp::core
