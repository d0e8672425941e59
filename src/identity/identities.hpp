// Who is who in a batch: its identifiers, the people they belong to, and what the batch's messages join.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "collect/candidate.hpp"
#include "identity/evidence.hpp"
#include "identity/types.hpp"

namespace cdp::identity {

using collect::Candidate;
using core::Timestamp;

// One identifier value of the batch. `node` is its person in the fold.
struct Identifier {
  std::int32_t priority = 0;
  std::uint32_t type_index = 0;
  std::string type, value;
  std::uint64_t name_hash = 0; // of both
  std::string raw, raw_region; // as its first accepted message spelt it
  Timestamp first_seen_at = 0; // when that was received
  std::int64_t id = 0;
  std::int64_t expected = 0;       // of one that this batch inserts: the person its row was written with
  std::string left_out;            // why it takes part in no link, as a rule of cdp.evidence; else empty
  bool unseen = false;             // stored, and what named it was taken back
  std::int64_t user_on_device = 0; // of a device shared by policy latest: who was last on it
  std::size_t node = 0;
  std::size_t first_line = 0; // that names it in a message that counts
};

// The identifiers of one message, by index into the batch's, by priority.
struct Carried {
  std::vector<std::size_t> identifiers;
  std::vector<std::pair<std::size_t, std::size_t>> spelt; // which of the message's own is which
  std::vector<Refused> refused;                           // values that cannot be used
};

// Finds texts without making strings of them, and lists of ids.
struct TextHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
};
struct IdsHash {
  std::size_t operator()(const std::vector<std::int64_t> &ids) const {
    return std::hash<std::string_view>()(
        {reinterpret_cast<const char *>(ids.data()), ids.size() * sizeof(std::int64_t)});
  }
};

// What one message does to the people it names.
struct Joined {
  std::size_t person = 0;          // node of the person the message is about, from now on
  std::size_t joined = 0;          // that of its identifiers; another one on a device shared by policy latest
  std::int64_t owner = 0;          // identifier that owns what the message says
  std::vector<std::size_t> merged; // nodes of people that were somebody until now and end here
  std::vector<std::pair<std::int64_t, std::int64_t>>
      moves; // profile ids, from and to, whose identifiers change hands
};

// Locks the profile rows of these people, in order of id; returns those that have one.
using LockProfiles = std::function<std::vector<std::int64_t>(const std::vector<std::int64_t> &)>;

// Locks people, with a profile row or without. False when somebody changed between the two: let the locks go
// and begin anew. `stored` becomes those that have a row.
bool lock_whole(const std::vector<std::int64_t> &people, const LockProfiles &lock,
                std::set<std::int64_t> &stored);

// An identifier of the batch as it is stored.
struct StoredIdentifier {
  std::size_t index; // of the batch
  std::int64_t id, profile_id;
  std::string left_out;
  std::int64_t user_on_device, user_profile_id; // 0: nobody is on it
  Timestamp first_seen_at;
};

class Identities {
public:
  // About so many candidates are going to be read.
  void expect(std::size_t candidates);

  // Normalises the identifiers of all open candidates; one that has none left is quarantined. Candidates that
  // are read later come after those before.
  void read(std::vector<Candidate> &candidates);

  // The same of one message of which nothing else is kept: its identifiers by priority are added to `named`,
  // none when it has none that can be used. False, and nothing added, where it takes a statement to tell.
  bool read(const core::Outline &outline, std::vector<std::size_t> &named);

  // New identifiers get the ids that are reserved for the line which names them first; these lines outlive
  // settle().
  void use_reserved(const std::vector<collect::Incoming> &lines) { lines_ = &lines; }

  // Keeps those of accepted messages, finds or inserts them (in key order) and locks their people (in id
  // order, all or none, until nothing moved meanwhile), so that nobody else changes them until commit. `lock`
  // locks the profile rows given, says which there are, and is called again with more when a merge came in
  // between. Then reads what the rules need to know about the people.
  // Then does the rest, in the transaction that has locked them: another one's write would be a MultiXact
  // each.
  void settle(const std::vector<Candidate> &candidates, const LockProfiles &lock,
              const std::function<void()> &rest);

  // Finds or inserts the identifiers of accepted messages (in key order), new ones as nobody's, for a fold to
  // decide: it locks nobody.
  void name(const std::vector<Candidate> &candidates);

  // Identifiers that nothing named any more are first seen with this batch. Under the locks of their people.
  void see_again() const;
  // The identifiers of the batch, and when each is seen first in it: two arrays.
  void add_first_sights(pg::Params &params) const;
  // Whether a message's first identifier says who somebody is.
  bool is_personal(std::size_t candidate) const;
  // The identifiers of each open candidate, as type and normal value.
  std::vector<std::vector<collect::Name>> names(const std::vector<Candidate> &candidates) const;
  // Of sources that may not link only the strongest identifier of a message counts; the others are refused.
  void keep_strongest(const std::vector<Candidate> &candidates);

  const Carried &of(std::size_t candidate) const { return carried_[candidate]; }
  std::size_t size() const { return identifiers_.size(); } // identifiers that were read
  // Of its type and normal value.
  std::uint64_t name_hash(std::size_t index) const { return identifiers_[index].name_hash; }
  // All identifiers of a message by priority, where its owner is not the only one; else empty.
  std::vector<std::int64_t> carried_ids(std::size_t candidate, std::int64_t owner) const;

  std::vector<std::int64_t> ids(std::size_t candidate) const { return ids_of(carried_[candidate]); }
  // Whether evidence of these identifiers is kept every time: time, or an explicit message, may give another
  // answer to the same ones.
  bool must_decide(const Candidate &candidate, std::size_t index) const;
  // Writes the values that accepted messages could not use, and what a fold left out of them: an identifier
  // and the rule, of candidate i.
  using Left = std::vector<std::pair<std::int64_t, std::string>>;
  void log_refusals(const std::vector<Candidate> &candidates, const std::vector<std::int64_t> &decisions,
                    const std::vector<Left> &left_out);

  // The stored person of one candidate read before, without locking; 0 when nobody has its identifiers.
  std::int64_t look_up(std::size_t candidate);

  // As they are stored, the people of a candidate's identifiers.
  std::vector<std::int64_t> people_of(std::size_t candidate) const;

  // Whose these identifiers are, as it is stored now and without locking anybody: for people_met.
  void meet(std::vector<std::size_t> which);
  bool is_stored(std::size_t index) const { return identifiers_[index].id != 0; }
  // The person of an identifier, and whoever is on it when it is a device: as many as there are.
  std::vector<std::int64_t> people_met(std::size_t index) const;

  // An identifier, and whom it met before anything was written here, as a hash.
  std::uint64_t seen(std::size_t index) const;

  // Decides one message: which of its identifiers are one person, under the rules. In memory.
  Joined decide(const Candidate &candidate, std::size_t index, std::int64_t decision);

  std::size_t nodes() const { return fold_->size(); }
  // The person a profile id belongs to now, after the decisions so far.
  std::int64_t current(std::int64_t profile_id) { return fold_->key(fold_->find(node_of(profile_id))); }
  std::int64_t profile_id(std::size_t node) const { return fold_->key(node); }

  // Gives new identifiers to the person they were first joined to, where another one was expected. Comes
  // before all moves.
  void store_newcomers() const;

  // Writes the evidence, the refusals and what happened to people.
  void store(const std::vector<Candidate> &candidates, const std::vector<std::int64_t> &decisions);

private:
  // A value as it came, its normal form, and where that is among the batch's identifiers.
  struct Spelling {
    const Type *type = nullptr;
    core::NormalizeResult normal;
    std::optional<std::size_t> index;
  };
  Spelling &normalize(std::string_view type, std::string_view value, std::string_view region);
  void find_pattern_blocked(const std::vector<Candidate> &candidates);
  std::optional<std::size_t> intern(std::string_view type, std::string_view value, std::string_view region,
                                    std::vector<Refused> &refused);
  void know_types(const std::set<std::string> &names);
  void put_in_order(std::span<std::size_t> indexes) const;
  void note_first_sight(const Candidate &candidate, const Carried &carried);
  std::vector<std::size_t> needed(const std::vector<Candidate> &candidates);
  void find_existing(std::vector<std::size_t> &missing);
  void draw_ids(const std::vector<std::size_t> &missing);
  void insert_missing(const std::vector<std::size_t> &missing);
  void find_lost(const std::vector<std::size_t> &wanted, const std::vector<bool> &written);
  void expect_people(const std::vector<Candidate> &candidates);
  std::int64_t expect_person(const Carried &carried, std::set<std::int64_t> &known) const;
  bool is_newcomer(std::int64_t id) const;
  void lock_people(const LockProfiles &lock, const std::function<void()> &rest);
  void note_stored(const StoredIdentifier &stored);
  std::vector<std::int64_t> people_now() const;
  void read_people();
  std::size_t node_of(std::int64_t profile_id);

  // protect.cpp: what the rules need to know before messages are decided.
  void prepare(const std::vector<Candidate> &candidates);
  void read_kept(const std::vector<Candidate> &candidates);
  void read_protection(const std::vector<Candidate> &candidates);
  std::vector<std::int64_t> ids_of(const Carried &carried) const;
  std::vector<core::IdentityFold::Carried> eligible(const Carried &carried) const;
  void read_cuts(const std::set<std::pair<std::int64_t, std::int64_t>> &pairs);
  std::vector<std::int64_t>
  people_to_read(const std::vector<std::vector<core::IdentityFold::Carried>> &joins) const;
  void read_values(const std::vector<std::int64_t> &people);
  void read_forbidden(const std::vector<std::int64_t> &people);
  std::vector<LeftOut> judge(const Candidate &candidate, std::size_t index,
                             const std::vector<core::IdentityFold::Carried> &eligible, std::int64_t decision);
  std::vector<LeftOut> decide_anew(const Carried &carried, const Candidate &candidate,
                                   const std::vector<core::IdentityFold::Carried> &eligible);
  void note_users(const std::vector<LeftOut> &left_out,
                  const std::vector<core::IdentityFold::Carried> &eligible);
  std::int64_t owner_of(const std::vector<core::IdentityFold::Carried> &eligible) const;
  void refuse(const std::vector<LeftOut> &left_out, const Candidate &candidate, std::size_t index,
              std::int64_t decision);
  void store_users();

  std::shared_ptr<const Types> types_;
  const std::vector<collect::Incoming> *lines_ = nullptr;
  std::vector<Identifier> identifiers_;
  std::unordered_map<std::string, std::size_t> by_value_; // by type and value, see key_of
  std::unordered_map<std::string, Spelling, TextHash, std::equal_to<>> normalized_; // by type, region, value
  std::set<std::pair<std::string, std::string>> pattern_blocked_;
  std::vector<Carried> carried_;                           // a candidate each
  std::unordered_map<std::int64_t, std::size_t> by_id_;    // identifier id -> index
  std::unordered_map<std::int64_t, std::int64_t> profile_; // identifier id -> stored profile id
  std::uint64_t read_at_ = 0;                              // pg::transactions_ended() when profile_ was read
  std::set<std::int64_t> stored_people_;                   // profile ids that have a row
  std::unordered_map<std::int64_t, std::size_t> node_by_profile_;
  std::unique_ptr<core::IdentityFold> fold_;
  std::vector<bool> somebody_; // a node: had a profile before the batch, or a message in it
  std::unordered_map<std::vector<std::int64_t>, std::vector<LeftOut>, IdsHash>
      kept_; // what was carried together before
  Journal journal_;
  std::map<std::int64_t, std::int64_t> users_;           // devices whose last user changes
  std::unordered_map<std::int64_t, std::int64_t> added_; // new identifiers that joined somebody as nobody yet
  std::set<std::int64_t> gathered_;                      // people whom moves have given identifiers
};

// Gives the identifiers of one profile to another, for many at once. No profile may be both `from` and `to`.
void store_moves(const std::vector<std::pair<std::int64_t, std::int64_t>> &moves);

// The person of a message that came before, by the first identifier on it that is known; 0 when there is
// none.
std::int64_t find_person(const Candidate &candidate);

} // namespace cdp::identity
