// The declared identifier types and what they allow.
#pragma once
#include "core/identity_fold.hpp"
#include "core/normalize.hpp"

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace cdp::identity {

// An identifier type as declared.
struct Type {
  core::Normalizer normalizer = core::Normalizer::text;
  std::int32_t priority = 0;
  std::string default_region;
  core::TypeRule rule;
  bool blocks_junk = true;
  std::set<std::string> blocked_values;
  std::vector<std::string> blocked_patterns; // regular expressions, for PostgreSQL to match
  std::uint32_t index = 0;                   // among all types, by name
};

using Types = std::map<std::string, Type, std::less<>>;

// All types as applied; of these names, one that is new is registered with the defaults. The same object for
// as long as nobody changes them.
std::shared_ptr<const Types> find_types(const std::set<std::string> &names);

// All types as they will be when the pending changes are applied.
Types pending_types();

// By Type::index, for a fold.
std::vector<core::TypeRule> rules_of(const Types &types);

// Is nobody's value, in normal form, and why.
std::optional<std::string> blocked_reason(const std::string &name, const Type &type,
                                          const std::string &value);

} // namespace cdp::identity
