// The profiles a batch touches: read and locked, folded in memory, written back in one statement a table.
#pragma once
#include "core/traits.hpp"

#include <optional>
#include <set>
#include <unordered_map>

#include "collect/candidate.hpp"
#include "pg/spi.hpp"

namespace cdp::profile {

using core::Timestamp;

// One person's profile. Stored texts are taken apart only when a trait may change.
class Person {
public:
  Person() = default;
  Person(std::string traits, std::string origins, Timestamp last_seen)
      : last_seen_at(last_seen), stored(true), traits_(std::move(traits)), origins_(std::move(origins)) {}

  static Person anew(); // with nothing said about them yet, whatever is stored

  // True: a golden value is another now.
  bool assert_all(std::string_view traits, Timestamp asserted_at, std::int64_t decision_seq);
  void absorb(Person &other);
  const std::string &traits();
  const std::string &origins();
  bool changed() const { return folded_.has_value(); }

  Timestamp last_seen_at = core::kMinusInfinity;
  bool stored = false;  // has a row
  bool touched = false; // a message of this batch is about them

private:
  core::Traits &folded();

  std::string traits_ = "{}", origins_ = "{}";
  std::optional<core::Traits> folded_;
  bool texts_stale_ = false;
};

class People {
public:
  // SELECT … FOR UPDATE in id order; keeps what it read, and returns the ids of those rows. Called again when
  // the set grew.
  std::vector<std::int64_t> lock(const std::vector<std::int64_t> &profile_ids);

  Person &at(std::int64_t profile_id) { return people_[profile_id]; }

  // loser's traits go over to winner; the loser's row is deleted by store().
  void merge(std::int64_t loser, std::int64_t winner);

  // Folds these people's facts from the start, after identifiers or facts changed hands: `before` as they
  // were, `after` as they are. Whoever nothing was ever said about has no profile. All must be locked.
  void refold(const std::set<std::int64_t> &before, const std::set<std::int64_t> &after);

  // Of the locked ones, those that store() will write.
  std::vector<std::int64_t> touched() const;
  std::vector<std::int64_t> ended() const { return merged_; }

  // Writes new, changed and merged profiles. `secret` makes the public ids.
  void store(const pg_uuid_t &secret);

private:
  void fold_assertions(const std::vector<std::int64_t> &ids);
  void read_last_seen(const std::vector<std::int64_t> &ids);
  void insert_new(const pg_uuid_t &secret);
  void update_touched();

  std::unordered_map<std::int64_t, Person> people_;
  std::vector<std::int64_t> merged_;
};

// Writes the identify, group and alias messages of a batch as assertions, each owned by owners[i].
void store_assertions(const std::vector<collect::Candidate> &candidates,
                      const std::vector<std::int64_t> &decisions, const std::vector<std::int64_t> &owners,
                      const std::vector<std::optional<std::string>> &carried);

} // namespace cdp::profile
