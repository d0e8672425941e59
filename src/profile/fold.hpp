// The rules that golden traits are folded by: a version of all policies, definitions and trust, as it was put
// in force. Versions never change, so a backend reads each once.
#pragma once
#include "core/traits.hpp"

#include <memory>

#include "pg/spi.hpp"

namespace cdp::profile {

using core::Timestamp;

// A policy's rules, and those of the default policy behind it.
class Policy {
public:
  // `alone`: only what it says itself, as rules of accounts are, which have no definitions either.
  Policy(std::string_view document, const std::string &policy, bool alone = false);
  const core::Rules &rules() const { return rules_; }

private:
  core::Rules rules_, behind_;
};

// What folding needs: the rules, and how to look up sources and run aggregates.
struct Fold {
  std::int32_t version = 0; // what profiles say that were folded by it
  std::shared_ptr<const Policy> policy;
  core::World world;
  const core::Rules &rules() const { return policy->rules(); }
};

// The version in force. Whoever writes holds cdp.segments in ROW SHARE: no other version comes meanwhile.
Fold fold_in_force();
// That of accounts: the policy of that name.
Fold account_fold_in_force();
// Another version, or the draft; for who reads. The policy accounts is alone, as it is of these. Rules come
// from their tables only: they say whose rights an aggregate runs with.
inline constexpr std::int32_t kDraft = -1;
Fold fold_by(std::int32_t version, const std::string &policy);

// Reads what identify messages said about people, in the order of decisions.
struct Reading {
  std::vector<std::int64_t> people;
  Timestamp at = core::kInfinity, known = core::kInfinity; // said by then, and received by then
};
void read_assertions(const Reading &what,
                     const std::function<void(std::int64_t profile_id, const core::Assertion &)> &take);
// The same by identifier, wherever it belongs today.
void read_assertions_of(const Reading &what,
                        const std::function<void(std::int64_t identifier_id, const core::Assertion &)> &take);

// What group messages said of an account.
void read_account_assertions(const std::string &group_id,
                             const std::function<void(const core::Assertion &)> &take);

// What the computed traits are that rules ask for, as they are stored.
std::vector<std::int32_t> asked_computed(const core::Rules &rules);
std::map<std::int64_t, core::ComputedValues>
computed_at(const core::Rules &rules, const std::vector<std::int64_t> &people, Timestamp at);
const core::ComputedValues &of(const std::map<std::int64_t, core::ComputedValues> &found,
                               std::int64_t profile_id);

// A strategy as people write it.
std::string describe(const core::Link &link, const core::World &world);

// Golden traits, as JSON texts, of people as they would have been at an instant by all that is known.
std::map<std::int64_t, std::string> golden_at(const Fold &fold, const std::vector<std::int64_t> &people,
                                              Timestamp at);

} // namespace cdp::profile
