// Who is who, as a fold: evidence is decided one message at a time, in decision order, under declared rules.
// Plain memory, no I/O; throws std::bad_alloc only. One decision costs what its own identifiers cost,
// whatever the size of the people they belong to.
#pragma once

#include "large_array.hpp"
#include "timestamp.hpp"
#include "union_find.hpp"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <set>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

namespace cdp::core {

/// personal: says who somebody is. The others are device-like, and differ in how they meet known people.
enum class Sharing : std::uint8_t { personal, joins, first, latest, none };

/// What an identifier type allows.
struct TypeRule {
  Sharing sharing = Sharing::personal;
  bool unique = false;
  std::int32_t max_values = 0; // 0: any number
  std::int64_t within = 0;     // microseconds before the decision in which values count; 0: for ever

  bool limited() const { return unique || max_values > 0; }
  std::int32_t most() const { return unique ? 1 : max_values; }
};

enum class Rule : std::uint8_t { none, forbidden_link, removed_link, unique, limit, sharing };

class IdentityFold {
public:
  using Node = std::size_t;

  /// One identifier of a message, and the node it belongs to.
  struct Carried {
    std::int64_t id;
    Node node;
    std::uint32_t type; // index into the rules
  };

  /// Why an identifier of a message is left out.
  struct LeftOut {
    std::size_t index;
    Rule rule = Rule::none;
    std::uint32_t type = 0;              // whose limit it is
    std::vector<std::int64_t> conflicts; // identifiers that stand in the way
  };
  using Verdict = std::vector<LeftOut>; // by index; the others are one person from now on

  explicit IdentityFold(std::vector<TypeRule> rules) : rules_(std::move(rules)) {}

  /// Room for so many nodes.
  void expect(std::size_t nodes);

  /// A new node, called by its key; people are called by the smallest key in them.
  Node add(std::int64_t key);

  /// The node has this identifier.
  void hold(Node node, std::int64_t id, std::uint32_t type, Timestamp first_seen_at);

  /// Never one person by evidence; the ids are named when the rule is met.
  void forbid(Node a, Node b, std::int64_t id, std::int64_t other_id);

  /// Never taken from the same message.
  void cut(std::int64_t id, std::int64_t other_id) { cuts_.insert(std::minmax(id, other_id)); }

  /// One person whatever the rules say.
  void unite(Node a, Node b) { join(people_.find(a), people_.find(b)); }

  /// Decides one message whose identifiers come by priority, and joins those accepted. A device that its
  /// sharing policy keeps from this person is left out by itself. While another rule does not hold, the last
  /// identifier is left out; as what fails for some identifiers fails for more, that leaves the longest
  /// beginning that holds. `is_explicit`: the message says itself that these are one person, so limits do not
  /// count.
  ///
  /// Deciding the same identifiers again changes nothing, whatever was decided in between - but for limits in
  /// a time, and for explicit messages in between.
  Verdict decide(std::span<const Carried> carried, Timestamp at, bool is_explicit);

  Node find(Node node) { return people_.find(node); }
  /// The node will be in a decision soon; and very soon, some time after that.
  void announce(Node node) const { people_.expect(node); }
  void announce_again(Node node) const { people_.expect_next(node); }
  std::int64_t key(Node root) const { return people_.key(root).id; }
  std::size_t size() const { return people_.size(); }
  const TypeRule &rule(std::uint32_t type) const { return rules_[type]; }

private:
  static constexpr std::uint32_t kEnd = std::numeric_limits<std::uint32_t>::max();

  struct Value { // of a limited type; a person's are a chain, so that joining costs nothing
    std::int64_t id;
    Timestamp first_seen_at;
    std::uint32_t type, next;
  };
  struct Chain {
    std::uint32_t head = kEnd, tail = kEnd;
  };
  static constexpr std::uint32_t kPersonal = 1u << 31;
  static constexpr std::uint32_t bit_of(std::uint32_t type) { return 1u << type % 31; }
  struct Person { // what is here beside the id counts where a node is the root
    std::int64_t id;
    Chain values;
    std::uint32_t kinds = 0; // of identifiers: kPersonal, and a bit for limited types, several to a bit
    bool is_known() const { return kinds & kPersonal; }
    bool operator<(const Person &other) const { return id < other.id; }
  };
  struct Forbidden {
    Node other;
    std::int64_t id, other_id;
  };

  Node join(Node a, Node b); // two roots; the root of both
  void join_forbidden(Node winner, Node loser);
  using Conflicts = std::vector<std::int64_t>;
  // a and b: the roots of those accepted and of the next.
  LeftOut obstacle(const std::vector<Carried> &accepted, Node a, const Carried &next, Node b, Timestamp at,
                   bool is_explicit);
  bool is_cut(const std::vector<Carried> &accepted, const Carried &next, Conflicts &conflicts) const;
  bool is_forbidden(Node a, Node b, Conflicts &conflicts);
  bool breaks_sharing(const std::vector<Carried> &accepted, Node a, const Carried &next, Node b) const;
  bool breaks_limit(Node a, Node b, Timestamp at, LeftOut &left_out) const;
  bool counts(const Value &value, Timestamp at) const;
  std::int32_t count(Node root, std::uint32_t type, Timestamp at) const;

  std::vector<TypeRule> rules_;
  BasicUnionFind<Person> people_;
  LargeArray<Value> values_;
  std::unordered_map<Node, std::vector<Forbidden>> forbidden_; // by root
  std::set<std::pair<std::int64_t, std::int64_t>> cuts_;
  std::vector<Carried> accepted_; // of the decision at work
};

} // namespace cdp::core
