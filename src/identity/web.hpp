// The evidence in force of some people as one web: identifiers are its members, messages and decisions its
// groups.
#pragma once
#include "core/bridges.hpp"

#include <algorithm>

#include "identity/history.hpp"

namespace cdp::identity {

struct Bond {                             // a group of the web
  std::int64_t decision_seq, decision_id; // decision_id 0: a message
};

struct EvidenceWeb {
  core::Web web;           // members as in History::identifiers
  std::vector<Bond> bonds; // by group, in order of decision
};

// What was accepted of the messages, as stored, and the links that people allowed.
inline EvidenceWeb weave(const History &history, const std::function<bool(const Evidence &)> &counts) {
  EvidenceWeb woven;
  woven.web.members = history.identifiers.size();
  const auto add = [&](std::vector<core::Web::Index> members, Bond bond) {
    if (members.size() < 2)
      return;
    woven.web.groups.push_back(std::move(members));
    woven.bonds.push_back(bond);
  };
  auto allowed = history.allowed().begin();
  const auto add_allowed = [&](std::int64_t before) {
    for (; allowed != history.allowed().end() && allowed->decision_seq < before; ++allowed)
      if (history.knows(allowed->one) && history.knows(allowed->other) &&
          history.at(allowed->one).left_out == SetAside::no &&
          history.at(allowed->other).left_out == SetAside::no)
        add({static_cast<core::Web::Index>(history.index(allowed->one)),
             static_cast<core::Web::Index>(history.index(allowed->other))},
            {allowed->decision_seq, allowed->id});
  };
  for (const auto &one : history.evidence) {
    add_allowed(one.decision_seq);
    if (!counts(one))
      continue;
    std::vector<core::Web::Index> members;
    for (auto id : one.identifiers)
      if (history.knows(id) && std::find(one.refused.begin(), one.refused.end(), id) == one.refused.end())
        members.push_back(static_cast<core::Web::Index>(history.index(id)));
    add(std::move(members), {one.decision_seq, 0});
  }
  add_allowed(INT64_MAX);
  return woven;
}

} // namespace cdp::identity
