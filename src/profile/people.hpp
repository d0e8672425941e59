// The profiles a batch touches: read and locked, folded in memory, and written back.
#pragma once
#include <optional>
#include <set>
#include <unordered_map>

#include "collect/candidate.hpp"
#include "pg/spi.hpp"
#include "profile/fold.hpp"

namespace cdp::profile {

// A profile row as it was locked: traits and their origins as jsonb.
struct StoredProfile {
  std::int64_t id;
  std::string traits, origins;
  Timestamp last_seen;
  std::int32_t version;
  ItemPointerData place;
};

// One person's profile. What is stored is taken apart only when a trait may change.
class Person {
public:
  explicit Person(const Fold &fold) : version(fold.version), fold_(&fold) {}
  Person(const Fold &fold, StoredProfile row)
      : last_seen_at(row.last_seen), stored(true), version(row.version), place(row.place), fold_(&fold),
        traits_(std::move(row.traits)), origins_(std::move(row.origins)), packed_(true) {}

  // Forgets what is stored: nothing was said about them yet.
  void start_anew();
  // From here on recall() brings back what was said before.
  void load();
  void recall(const core::Assertion &said, std::vector<core::Misfit> &misfits);

  // True: a golden value may be another now.
  bool assert_all(const core::Assertion &said, std::vector<core::Misfit> &misfits);
  void absorb(Person &other);
  const std::string &traits();
  const std::string &origins();
  bool changed() const { return folded_.has_value(); }

  bool is_stale() const { return stored && version != fold_->version; } // folded by another version
  bool has_claims() const { return !stored || loaded; }
  bool needs_claims(); // whether what is stored can be carried on only with all that was said
  bool weighs_claims() const { return folded_ && !folded_->governed().empty(); }
  const core::Traits *folded() const { return folded_ ? &*folded_ : nullptr; }
  void decide_anew() { texts_stale_ = changed(); } // at another instant
  // What is folded, for whatever the computed traits will be that rules ask for; and what they are in the
  // end.
  core::OpenTraits open();
  void answer(core::ComputedValues values);
  Timestamp until(); // from then on what is folded is too old

  Timestamp last_seen_at = core::kMinusInfinity;
  Timestamp as_of = core::kMinusInfinity; // the fold's instant, where it is later than last_seen_at
  Timestamp due = core::kInfinity;        // when what is stored is too old
  bool stored = false;                    // has a row
  bool touched = false;                   // a message of this batch is about them
  bool loaded = false;                    // all that was said about them is at hand
  std::int32_t version;                   // of the rules
  ItemPointerData place{};                // of the row

private:
  core::Traits &take_apart();
  void unpack();

  const Fold *fold_;
  std::string traits_ = "{}", origins_ = "{}"; // as texts; as jsonb while packed_
  std::optional<core::Traits> folded_;
  core::ComputedValues computed_;
  bool texts_stale_ = false, is_anew_ = false, packed_ = false;
};

using Secret = std::function<pg_uuid_t()>;

class People {
public:
  People() : fold_(fold_in_force()) {}
  People(const People &) = delete;
  People &operator=(const People &) = delete;

  // SELECT … FOR UPDATE in id order; keeps what it read, and returns the ids of those rows. Called again when
  // the set grew.
  std::vector<std::int64_t> lock(const std::vector<std::int64_t> &profile_ids);

  Person &at(std::int64_t profile_id) { return people_.try_emplace(profile_id, fold_).first->second; }

  // What a message says about a person. True: a golden value may be another now.
  bool say(std::int64_t profile_id, const core::Assertion &said);

  // Everything that was said about these, where it may be needed; one query. Before identifiers change hands.
  void prepare(const std::vector<std::int64_t> &profile_ids);
  bool needs_claims(std::int64_t profile_id, std::string_view traits); // to take in what is said
  bool may_need_claims() const { return fold_.rules().governs_any() || any_stale_; }
  // Whether anything that people do may give them another golden value.
  bool follow_computed() const { return fold_.rules().has_computed(); }
  const Fold &fold() const { return fold_; }

  // The next instant, up to this one, at which a value was too old: the person is as they were from then on.
  std::optional<Timestamp> lapse(std::int64_t profile_id, Timestamp until);

  // loser's traits go over to winner; the loser's row is deleted by store().
  void merge(std::int64_t loser, std::int64_t winner);

  // Folds these people's facts from the start, after identifiers or facts changed hands: `before` as they
  // were, `after` as they are. Whoever nothing was ever said about has no profile. All must be locked.
  void refold(const std::set<std::int64_t> &before, const std::set<std::int64_t> &after, Timestamp as_of);

  // Of the locked ones, those that store() will write.
  std::vector<std::int64_t> touched() const;
  std::vector<std::int64_t> ended() const { return merged_; }

  // Writes new, changed and merged profiles. The secret makes the public ids.
  void store(const Secret &secret);

private:
  void load(const std::vector<std::int64_t> &ids);
  void read_lapses(const std::vector<std::int64_t> &ids);
  void forget_misfits(const std::vector<std::int64_t> &ids);
  void read_last_seen(const std::vector<std::int64_t> &ids);
  void insert_new(const Secret &secret);
  void update_touched();
  std::vector<std::int64_t> rewrite(const std::vector<std::int64_t> &ids);
  void update(const std::vector<std::int64_t> &ids);
  void store_misfits() const;
  void store_notes();

  const Fold fold_;
  std::unordered_map<std::int64_t, Person> people_;
  std::vector<std::int64_t> merged_;
  std::vector<core::Misfit> misfits_;
  bool any_stale_ = false;
};

// Writes the identify, group and alias messages of a batch as assertions, each owned by owners[i].
void store_assertions(const std::vector<collect::Candidate> &candidates,
                      const std::vector<std::int64_t> &decisions, const std::vector<std::int64_t> &owners,
                      const std::vector<std::vector<std::int64_t>> &carried);

} // namespace cdp::profile
