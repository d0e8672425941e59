// One rule that was taken apart, judged over people's timelines: each aggregate is tallied while time moves
// from one instant at which something can change to the next, and PostgreSQL says what follows from them.
#pragma once
#include "segment/answers.hpp"
#include "segment/evaluation.hpp"
#include "segment/ledger.hpp"
#include "segment/plan.hpp"
#include "segment/timelines.hpp"

#include "pg/expression.hpp"
#include "pg/integer_rule.hpp"
#include "pg/rule_search.hpp"

namespace cdp::segment {

// Of each segment that a rule asks about, by place: when the person enters and leaves it, by turns.
struct Presence {
  std::vector<Timestamp> turns;
  std::vector<Key> values; // of a computed trait: its value from each turn on, JSON text; none: it has none
};
using Inside = std::vector<Presence>;
// Since when each of the traits that it asks that of is what it is, by place; kMinusInfinity: it was never
// set.
using Since = std::vector<Timestamp>;

// A person's step as it is judged: up to an instant, with what is known of the person.
struct Stint {
  const Step *step;
  const History *history; // nullptr: nobody looks at timelines
  Timestamp until;
  const Inside *inside = nullptr; // nullptr: the rule asks about no segment
  const Since *since = nullptr;   // nullptr: nor that
};

// What a rule asks about by name, as parameters from a number on: sweep_asked.cpp.
void bind_inside(pg::Bindings &bindings, int first, std::size_t segments, const Inside *inside, Timestamp at);
void bind_since(pg::Bindings &bindings, int first, const Since *since);
Timestamp next_turn(const Inside *inside, Timestamp at); // of any segment
// Never in one of these segments.
bool is_outside(const Stint &stint, std::span<const std::int64_t> segments);

class Sweep {
public:
  // Under the owner's rights and settings, as is judge(). `same` tells apart conditions that read the same
  // but mean something else under other settings.
  // `inputs`: the numbers of the definitions_of() it, see judge.hpp.
  Sweep(const pg::Decomposition &decomposition, std::span<const std::int32_t> inputs,
        const std::string &same);
  ~Sweep();

  const std::vector<std::int32_t> &inputs() const { return inputs_; }
  // Of a person who is judged from an instant on.
  void add_wanted(Timestamp at, Wanted &wanted) const;
  // Whether it can judge at all: with a key, only a rule that nobody without an event fulfils.
  bool usable() const { return usable_; }

  // Who is in at an instant or later has so many events of an input, the last of them not before another one.
  struct Need {
    std::int32_t input;
    std::size_t events;
    Timestamp from;
    bool is_met_by(const History::Said &said) const { return said.count >= events && said.last >= from; }
  };
  std::optional<Need> need(Timestamp at);
  // Nobody to whom none of its inputs applies is in.
  bool needs_events() const { return never_without_events_; }

  // What holds in each stint of one person; in order, each ends before the next begins. False: this person's
  // data is beyond it, and PostgreSQL has to judge.
  bool judge(std::span<const Stint> stints, std::span<std::vector<Range> *> ranges);
  bool judge(const Stint &stint, std::vector<Range> &ranges) {
    std::vector<Range> *one = &ranges;
    return judge({&stint, 1}, {&one, 1});
  }
  // Whether it asks PostgreSQL nothing that it would not remember: it can be at work beside the backend.
  bool works_alone() const { return works_alone_; }
  // The same without the backend. False: only it can say.
  bool judge_alone(const Stint &stint, std::vector<Range> &ranges);

private:
  struct Aggregate;
  struct Turning;
  // The entries of one key, an aggregate each.
  struct Group {
    Key key;
    std::vector<std::span<const core::Entry>> entries;
    std::vector<std::vector<core::Entry>> owned;
    std::vector<std::vector<std::uint32_t>> places; // of these in the entries of all keys
  };
  struct AggregateNeed {
    std::size_t aggregate, events; // one at least
    std::int64_t within;           // see pg::Decomposition::Need
    std::uint64_t steps;           // of a sequence, all of which must be met,
    std::uint64_t last;            // this one by the last event, which `within` is about
  };
  struct PersonCondition {
    std::size_t number;
    std::unique_ptr<pg::Expression> holds;
  };
  bool meets_person_conditions(const Step &step);
  void judge_nobody(const pg::Decomposition &made);
  void find_wanted();
  bool collect(const History &history, Timestamp at);
  void split_by_key();
  void choose_keys();
  void drop_rare_keys(std::size_t least);
  std::int32_t telling_input(const AggregateNeed &need) const;
  void add_need(const pg::Decomposition::Need &need);
  Timestamp since(const AggregateNeed &need, Timestamp at);
  bool is_met(const AggregateNeed &need, const History &history, Timestamp at);
  bool judge(const Group &group, std::span<const Stint> stints, std::span<std::vector<Range> *> ranges);
  void begin(const Group &group, const Stint &stint);
  void judge(const Key &key, const Stint &stint, std::vector<Range> &ranges);
  void bind(const Step &step);
  void bind_values();
  bool truth(Timestamp at);
  bool has_value();
  void find_integer_rules();
  bool computed_truth();
  bool remembered_truth();
  void bind_integers();
  bool is_over();
  bool asks_falling();
  bool computes_falling() const;
  bool nothing_is_to_come() const;
  std::optional<Timestamp> only_start() const;
  Timestamp find_end(Timestamp at, Timestamp until);
  void find_turns(bool still, Timestamp from, Timestamp until, std::vector<Timestamp> &turns);
  void find_values(Aggregate &aggregate);
  void set_sequence(const pg::Aggregate &one, Aggregate &aggregate);
  void collect_sequences(const History &history, Timestamp at);
  static void take_steps(std::span<const std::uint32_t> places, Aggregate &aggregate);
  std::optional<Datum> sequence_of(Aggregate &aggregate);
  std::optional<Datum> match(Aggregate &aggregate);
  std::optional<Datum> value_of(Aggregate &aggregate);
  // In the expressions' memory, which goes with the next truth.
  template <class F> Datum in_memory(F &&make) {
    return pg::call([&] {
      MemoryContext before = MemoryContextSwitchTo(bindings_->memory());
      const Datum value = make();
      MemoryContextSwitchTo(before);
      return value;
    });
  }
  static std::vector<std::size_t> chosen_of(const Aggregate &aggregate);
  std::optional<Datum> other_of(Aggregate &aggregate);
  Datum sum_of(Aggregate &aggregate);
  Datum average_of(Aggregate &aggregate);

  std::unique_ptr<pg::Bindings> bindings_;
  std::unique_ptr<pg::Expression> having_;
  std::unique_ptr<pg::Expression> value_; // of a computed trait,
  Key held_, empty_value_;                // at the instant at hand, and when no event counts
  std::vector<std::unique_ptr<pg::Expression>> falling_;
  std::vector<std::unique_ptr<Aggregate>> aggregates_;
  std::vector<std::unique_ptr<Turning>> turns_;
  std::vector<std::int32_t> inputs_;
  struct WantedInput {
    std::int32_t input;
    std::optional<Timestamp> shift; // of its first event that may count, from the instant; none: all may
  };
  std::vector<WantedInput> wanted_;
  std::vector<AggregateNeed> needs_;
  std::vector<std::int64_t> needed_segments_;
  const Inside *inside_ = nullptr; // of the stint at hand
  std::size_t segments_ = 0;       // that it asks about; computed traits come behind
  int first_since_ = 0;            // parameter
  std::vector<PersonCondition> person_conditions_;
  std::vector<Group> groups_;                         // of the person at hand
  std::size_t group_count_ = 0;                       // that are in use
  std::vector<std::optional<std::string_view>> keys_; // that may be in, in order
  std::optional<pg::IntegerRule> computed_;           // when a few integers are all that counts, and simply:
  std::vector<pg::IntegerRule> computed_falling_;
  pg::IntegerRule::Values integers_{}; // those at hand
  std::optional<Answers> answers_;     // when they are, and not so simply,
  Answers::Answer *answer_ = nullptr;  // for those at hand
  std::vector<Timestamp> instants_;    // of find_end, for its room
  bool only_falls_ = false;
  bool has_key_ = false, usable_ = true, overflows_ = false;
  bool still_ = false; // without events the answer is always the same: `empty_`
  bool empty_ = false;
  bool never_without_events_ = false;
  bool works_alone_ = false, alone_ = false; // it does so now: what is not remembered overflows
  MemoryContext values_ = nullptr;           // of the group at hand
};

} // namespace cdp::segment
