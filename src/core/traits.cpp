#include "core/traits.hpp"

#include "core/json.hpp"

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

Traits::Traits(std::string_view traits, std::string_view origins) {
  for (json::Cursor each(origins); each.next();) {
    json::Cursor pair(each.value());
    Golden golden{"null", 0, 0};
    if (pair.next())
      golden.asserted_at = to_number(pair.value());
    if (pair.next())
      golden.decision_seq = to_number(pair.value());
    golden_.emplace(each.raw_key(), std::move(golden));
  }
  for (json::Cursor each(traits); each.next();)
    if (auto found = golden_.find(std::string(each.raw_key())); found != golden_.end())
      found->second.value = each.value();
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

bool Traits::assert_all(std::string_view traits, Timestamp asserted_at, std::int64_t decision_seq) {
  bool changed = false;
  for (json::Cursor each(traits); each.next();)
    changed |= offer(std::string(each.raw_key()), {std::string(each.value()), asserted_at, decision_seq});
  return changed;
}

void Traits::absorb(const Traits &other) {
  for (const auto &[key, golden] : other.golden_)
    offer(key, golden);
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
    json += (json.size() > 1 ? ", " : "") + key + ": [" + std::to_string(golden.asserted_at) + ", " +
            std::to_string(golden.decision_seq) + "]";
  return json + "}";
}

} // namespace cdp::core
