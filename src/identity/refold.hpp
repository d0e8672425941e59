// Some people decided anew from their evidence, and everybody whom that touches: how a split, a decision and
// a change of rules become as if they had been there from the start.
#pragma once
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
  void run(const std::set<std::int64_t> &identifiers, const LockProfiles &lock,
           const std::function<void()> &prepare);

  // Profile ids whose identifiers or facts change: as they were, and as they will be.
  const std::set<std::int64_t> &before() const { return before_; }
  const std::set<std::int64_t> &after() const { return after_; }
  bool changes() const { return !moved_.empty() || !outcome_.changed.empty() || !flagged_.empty(); }

  // Counts those who were asked for as changed, whatever came out.
  void include_everybody();

  // Writes who is who, whose facts are whose, and what happened to people.
  void store(std::int64_t decision, Timestamp at, const std::string &reason);

private:
  void load(const std::set<std::int64_t> &core);
  std::set<std::int64_t> changed_neighbours() const;
  void find_changes();
  void log_moves(Journal &journal, std::int64_t decision, Timestamp at, const std::string &reason) const;
  void store_people() const;
  void store_evidence() const;
  void store_owners();

  Types types_;
  std::unique_ptr<History> history_;
  Outcome outcome_;
  std::set<std::int64_t> core_, people_; // profile ids: decided anew; these and their neighbours, locked
  std::vector<std::size_t> moved_,
      flagged_; // indexes of identifiers with another person, or left out otherwise
  std::set<std::int64_t> before_, after_;
};

} // namespace cdp::identity
