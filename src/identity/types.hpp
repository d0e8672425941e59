// The declared identifier types.
#pragma once
#include <set>

#include "identity/identities.hpp"

namespace cdp::identity {

// The types of these names; one that is new is registered with the default normaliser and priority.
std::map<std::string, Type> find_types(const std::set<std::string> &names);

} // namespace cdp::identity
