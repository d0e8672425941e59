// Who is who in a batch: its identifiers, the people they belong to, and what the batch's messages join.
#pragma once
#include "core/normalize.hpp"
#include "core/union_find.hpp"

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "collect/candidate.hpp"

namespace cdp::identity {

using collect::Candidate;
using core::Timestamp;

// An identifier type as declared.
struct Type {
  core::Normalizer normalizer = core::Normalizer::text;
  std::int32_t priority = 0;
  std::string default_region;
};

// One identifier value of the batch. `node` is its person in Identities, the smallest known identifier of it.
struct Identifier {
  std::int32_t priority = 0;
  std::string type, value;
  std::string raw;             // as its first accepted message spelt it
  Timestamp first_seen_at = 0; // when that was received
  std::int64_t id = 0;
  std::size_t node = 0;
};

struct RefusedIdentifier {
  std::string type, value, reason;
};

// The identifiers of one message, by index into the batch's; the owner comes first.
struct Carried {
  std::vector<std::size_t> identifiers;
  std::vector<RefusedIdentifier> refused;
};

// What one message does to the people it names.
struct Joined {
  std::size_t person = 0;          // node of the person from now on
  std::vector<std::size_t> merged; // nodes of people that were somebody until now and end here
  std::vector<std::pair<std::int64_t, std::int64_t>>
      moves; // profile ids, from and to, whose identifiers change hands
};

class Identities {
public:
  // Normalises the identifiers of all open candidates; one that has none left is quarantined.
  void read(std::vector<Candidate> &candidates);

  // Keeps those of accepted messages, finds or inserts them (in key order) and locks their profiles (in id
  // order, all or none, until nothing moved meanwhile), so that nobody else changes these people until
  // commit. `lock` locks the profile rows given and is called again with more when a merge came in between.
  void settle(const std::vector<Candidate> &candidates,
              const std::function<void(const std::vector<std::int64_t> &)> &lock);

  const Carried &of(std::size_t candidate) const { return carried_[candidate]; }
  const Identifier &identifier(std::size_t index) const { return identifiers_[index]; }

  // The stored person of one candidate read before, without locking; 0 when nobody has its identifiers.
  std::int64_t look_up(std::size_t candidate);

  // Decides one message: its identifiers are one person. In memory.
  Joined join(const Carried &carried);

  std::size_t nodes() const { return people_.size(); }
  // The person a profile id belongs to now, after the joins so far.
  std::int64_t current(std::int64_t profile_id) { return people_.key(people_.find(node_of(profile_id))); }
  std::int64_t profile_id(std::size_t node) const { return people_.key(node); }

  void store_links(const std::vector<Candidate> &candidates,
                   const std::vector<std::int64_t> &decisions) const;
  void store_refusals(const std::vector<Candidate> &candidates,
                      const std::vector<std::int64_t> &decisions) const;

private:
  const core::NormalizeResult &normalize(const core::RawIdentifier &raw, const Candidate &candidate);
  std::optional<std::size_t> intern(const core::RawIdentifier &raw, const Candidate &candidate,
                                    Carried &carried);
  void note_first_sight(const Candidate &candidate);
  void find_existing(std::vector<std::size_t> &missing);
  void insert_missing(const std::vector<std::size_t> &missing);
  std::vector<std::int64_t> read_people(const std::vector<std::int64_t> &ids);
  std::size_t node_of(std::int64_t profile_id);

  std::map<std::string, Type> types_;
  std::vector<Identifier> identifiers_;
  std::map<std::pair<std::string, std::string>, std::size_t> by_value_;
  std::map<std::tuple<std::string, std::string, std::string>, core::NormalizeResult> normalized_;
  std::vector<Carried> carried_;                           // a candidate each
  std::unordered_map<std::int64_t, std::size_t> by_id_;    // identifier id -> index
  std::unordered_map<std::int64_t, std::int64_t> profile_; // identifier id -> stored profile id
  std::unordered_map<std::int64_t, std::size_t> node_by_profile_;
  core::UnionFind people_;
  std::vector<bool> somebody_; // a node: had a profile before the batch, or a message in it
};

// Gives the identifiers of one profile to another, for many at once. No profile may be both `from` and `to`.
void store_moves(const std::vector<std::pair<std::int64_t, std::int64_t>> &moves);

// The person of a message that came before, by the first identifier on it that is known; 0 when there is
// none.
std::int64_t find_person(const Candidate &candidate);

} // namespace cdp::identity
