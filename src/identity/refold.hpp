// Some people decided anew from their evidence, and everybody whom that touches: how a split, a decision and
// a change of rules become as if they had been there from the start.
#pragma once
#include <map>
#include <memory>

#include "identity/history.hpp"
#include "identity/identities.hpp"

namespace cdp::identity {

class Refold {
public:
  explicit Refold(Types types) : types_(std::move(types)) {}

  // Locks the people of these identifiers and whoever shares evidence with them, and decides their evidence
  // anew. Who comes out otherwise draws their own neighbours in, until nobody does. `prepare` writes what is
  // to be decided once the locks are held; it is undone and called again when more people are to be locked.
  // False: `accepts` does not take what was decided, and all is undone. That is asked within the one
  // subtransaction: who waits for locks of one that was released into another would wait for all of us, and
  // we, once the other is undone, for them.
  bool run(const std::set<std::int64_t> &identifiers, const LockProfiles &lock,
           const std::function<void()> &prepare, const std::function<bool()> &accepts = {});

  // Profile ids whose identifiers or facts change: as they were, and as they will be.
  const std::set<std::int64_t> &before() const { return before_; }
  const std::set<std::int64_t> &after() const { return after_; }
  bool changes() const { return !moved_.empty() || !outcome_.changed.empty() || !flagged_.empty(); }

  // Counts those who were asked for as changed, whatever came out; and the person of an identifier.
  void include_everybody();
  void include(std::int64_t identifier);

  // Not left out by a decision, or because its value is blocked.
  bool takes_part(std::int64_t identifier) const { return history_->at(identifier).left_out == SetAside::no; }
  // People that store() split off from others.
  const std::set<std::int64_t> &split_off() const { return split_off_; }

  // The rule that evidence meets, and whom it leaves out, where that differs from what is stored.
  std::map<std::int64_t, Outcome::Judged> verdicts() const; // by decision_seq
  // The person of an identifier that took part, from now on.
  std::int64_t person_of(std::int64_t identifier) const {
    return outcome_.people[history_->index(identifier)];
  }

  // Writes who is who, whose facts are whose, and what happened to people.
  void store(std::int64_t decision, Timestamp at, const std::string &reason);

private:
  void load(const std::set<std::int64_t> &core);
  std::set<std::int64_t> changed_neighbours() const;
  void find_changes();
  void log_moves(Journal &journal, std::int64_t decision, Timestamp at, const std::string &reason);
  void store_people() const;
  void store_evidence() const;
  void store_owners();

  Types types_;
  std::unique_ptr<History> history_;
  Outcome outcome_;
  std::set<std::int64_t> asked_;         // identifiers
  std::set<std::int64_t> stored_;        // of the locked people, those with a profile row
  std::set<std::int64_t> core_, people_; // profile ids: decided anew; these and their neighbours, locked
  std::vector<std::size_t> moved_,
      flagged_; // indexes of identifiers with another person, or left out otherwise
  std::set<std::int64_t> before_, after_, split_off_;
};

} // namespace cdp::identity
