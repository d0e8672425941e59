// Names in a rule that nothing ever had: likely they are misspelt.
#pragma once
#include "segment/plan.hpp"

#include "pg/spi.hpp"

namespace cdp::segment {

struct Unseen {
  std::string message, nearest;
  std::string text() const {
    return nearest.empty() ? message : message + "; the nearest is \"" + nearest + "\"";
  }
};

// All in a session, with the rights in force.
std::vector<Unseen> unseen_events(const pg::Mentions &mentions);
std::vector<Unseen> unseen_traits(const pg::Mentions &mentions);
// `seen` is what a survey said; properties of events that never came are left out.
std::vector<Unseen> unseen_properties(const pg::Mentions &mentions, const std::vector<bool> &seen);

// As warnings to the client, unless no event ever came.
void warn_of_unseen_events(const pg::Mentions &mentions);

} // namespace cdp::segment
