// The kept facts about who is who - identifiers, evidence, people's decisions - and their fold from the
// start.
#pragma once
#include "core/identity_fold.hpp"
#include "core/large_array.hpp"

#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "identity/evidence.hpp"
#include "identity/types.hpp"

namespace cdp::pg {
class Moment;
class Rows;
} // namespace cdp::pg

namespace cdp::identity {

using Ids = std::span<const std::int64_t>;

// One kept message that carried several identifiers, and what came of it. Its ids and its rule are the
// history's.
struct Evidence {
  std::int64_t decision_seq;
  core::Timestamp at;
  Ids identifiers;
  Ids refused; // as stored
  std::string_view rule;
  bool is_explicit;
};

// Lists of ids, one behind the other in blocks that stay where they are, each twice as large as the one
// before, up to a huge page.
class IdLists {
public:
  std::int64_t *add(std::size_t size); // room for a list, to be filled in

private:
  static constexpr std::size_t kFirst = 1 << 8, kLargest = 1 << 18;
  std::vector<core::LargeArray<std::int64_t>> blocks_;
  std::int64_t *next_ = nullptr;
  std::size_t left_ = 0;
};

// What the fold says where it differs from what is stored.
struct Outcome {
  struct Judged {
    std::size_t evidence; // index into History::evidence
    std::vector<std::int64_t> refused;
    std::string rule;
    std::vector<std::string> rules; // of each refused
  };
  std::vector<std::int64_t> people; // a History::identifiers each: the profile id
  std::vector<Judged> changed;      // evidence with another outcome than stored
};

// Why an identifier takes part in no link.
enum class SetAside : std::uint8_t { no, removed, blocked };
std::string rule_of(SetAside why);

// Where an identifier is in a list. Ids are dense when everything is read, and then it is a plain array.
class Places {
public:
  void expect(std::int64_t largest, std::int64_t number);
  bool add(std::int64_t id, std::size_t place); // false: it is there already
  bool contains(std::int64_t id) const { return find(id) != kNowhere; }
  std::optional<std::size_t> look(std::int64_t id) const {
    const auto place = find(id);
    return place == kNowhere ? std::nullopt : std::optional<std::size_t>(place);
  }
  void expect_soon(std::int64_t id) const { // begins to bring it here
    if (id >= 0 && static_cast<std::size_t>(id) < dense_.size())
      core::prefetch(&dense_[static_cast<std::size_t>(id)]);
  }
  std::size_t at(std::int64_t id) const { // raises XX001 for one that is not there
    const auto place = find(id);
    if (place == kNowhere)
      refuse(id);
    return place;
  }

private:
  [[noreturn]] static void refuse(std::int64_t id);
  static constexpr std::uint32_t kNowhere = UINT32_MAX;
  std::uint32_t find(std::int64_t id) const {
    if (id >= 0 && static_cast<std::size_t>(id) < dense_.size())
      return dense_[static_cast<std::size_t>(id)];
    const auto place = sparse_.find(id);
    return place == sparse_.end() ? kNowhere : place->second;
  }
  core::LargeArray<std::uint32_t> dense_;
  std::unordered_map<std::int64_t, std::uint32_t> sparse_;
};

class History {
public:
  struct Known {
    std::int64_t id, profile_id; // as stored
    core::Timestamp first_seen_at;
    std::uint32_t type;
    SetAside left_out, stored_left_out;
  };

  explicit History(const Types &types) : types_(types) {}
  History(const History &) = delete; // evidence points into it
  History &operator=(const History &) = delete;

  // Everything there is. `reblocked`: types whose blocked values are looked up anew.
  void read_everything(const std::vector<std::string> &reblocked);
  // The identifiers of these people, all the evidence that names one of them, and the decisions about them.
  void read_people(const std::vector<std::int64_t> &profile_ids);

  // Decides all evidence in order. Evidence that names identifiers that were not read has the outcome stored.
  // What people forbade or removed holds from the start; what they allowed, from when they did: it joins the
  // people of that time. Raises 55000 when decisions contradict each other.
  Outcome fold() const;

  struct Decision {
    std::int64_t id, decision_seq, one, other;
  };
  const std::vector<Decision> &allowed() const { return allowed_; }

  bool knows(std::int64_t id) const { return by_id_.contains(id); }
  const Known &at(std::int64_t id) const { return identifiers[by_id_.at(id)]; }
  std::size_t index(std::int64_t id) const { return by_id_.at(id); }

  core::LargeArray<Known> identifiers;
  core::LargeArray<Evidence> evidence; // in order of decision

private:
  void expect_identifiers(std::size_t about);
  void scan_identifiers(const pg::Moment &moment);
  void scan_evidence(const pg::Moment &moment);
  void add_identifiers(const pg::Rows &rows);
  void add_identifier(std::int64_t id, std::int64_t profile_id, core::Timestamp first_seen_at,
                      std::uint32_t type, SetAside left_out);
  void add_evidence(const pg::Rows &rows);
  Ids keep(Ids ids);
  std::string_view keep_rule(std::string_view rule);
  void sort_evidence();
  void block_anew(const std::vector<std::string> &types);
  void add_decisions(const pg::Rows &rows);
  void find_blocked(const std::vector<std::int64_t> &ids, const std::vector<std::string> &values);
  void set_aside();
  void start(core::IdentityFold &fold) const;
  void look_ahead(const core::IdentityFold &fold, std::size_t place) const;
  void judge(core::IdentityFold &fold, std::size_t index, std::vector<core::IdentityFold::Carried> &room,
             Outcome &outcome) const;
  bool is_whole(const Evidence &one) const;
  void apply_stored(core::IdentityFold &fold, const Evidence &one) const;
  void allow(core::IdentityFold &fold, const Decision &decision) const;
  void refuse_contradictions(core::IdentityFold &fold) const;

  const Types &types_;
  Places by_id_;
  IdLists ids_;
  std::set<std::string, std::less<>> rules_; // that evidence met
  std::vector<Decision> allowed_, forbidden_, removed_;
  std::set<std::int64_t> set_aside_; // by people
  bool whole_ = false;               // everything was read
};

} // namespace cdp::identity
