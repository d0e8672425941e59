#include "segment/sweep_aggregate.hpp"

#include <algorithm>
#include <map>

namespace cdp::segment {

namespace {

using core::Function;

constexpr int kFirstAggregate = 4; // $1 to $3 are the instant, profile_id and traits
constexpr auto kNullInteger = static_cast<Datum>(pg::IntegerRule::kNull);

const std::map<std::string_view, Function> kFunctions = {{"count", Function::count},
                                                         {"count_value", Function::count_value},
                                                         {"count_distinct", Function::count_distinct},
                                                         {"sum", Function::sum},
                                                         {"average", Function::average},
                                                         {"minimum", Function::minimum},
                                                         {"maximum", Function::maximum},
                                                         {"any", Function::any},
                                                         {"all", Function::all},
                                                         {"first_time", Function::first_time},
                                                         {"last_time", Function::last_time},
                                                         {"first", Function::first},
                                                         {"last", Function::last},
                                                         {"sequence", Function::sequence},
                                                         {"sequence_count", Function::sequence_count},
                                                         {"last_sequence", Function::last_sequence},
                                                         {"funnel", Function::funnel},
                                                         {"other", Function::other}};

// A bound that only PostgreSQL can say.
struct Clock {
  pg::Bindings bindings{{TIMESTAMPTZOID}};
  pg::Expression bound;

  explicit Clock(const std::string &sql) : bound(sql, bindings) {}
  std::optional<Timestamp> at(Timestamp instant) {
    bindings.reset();
    bindings.bind(1, TimestampTzGetDatum(instant));
    const auto value = pg::call([&] { return bound.evaluate(); });
    return value.is_null ? std::nullopt : std::optional(DatumGetTimestampTz(value.datum));
  }
};

} // namespace

struct Sweep::Turning {
  pg::Turn turn;
  std::vector<std::unique_ptr<pg::Expression>> inputs;
  std::vector<std::unique_ptr<pg::Search>> tests;
};

namespace {

constexpr Timestamp kSecond = 1'000'000;

// Bounds that move by jumps: how many of them, but no more than it takes to know that they are too many.
int jumps(Clock &clock, Timestamp low, Timestamp high, int most) {
  const auto first = clock.at(low), last = clock.at(high);
  if (!first || !last || *first == *last || *last - *first == high - low)
    return 0;
  if (high - low == 1)
    return 1;
  const auto middle = low + (high - low) / 2;
  const auto found = jumps(clock, low, middle, most);
  return found > most ? found : found + jumps(clock, middle, high, most - found);
}

// Truncated to milliseconds it jumps so often that to keep each would take all memory.
std::unique_ptr<core::Cutoff> cutoff_of(const pg::Window &window, bool &usable) {
  if (window.fixed)
    return std::make_unique<core::Cutoff>(window.distance);
  auto clock = std::make_shared<Clock>(window.bound);
  usable = usable && clock->at(0) && jumps(*clock, 0, kSecond - 1, 2) <= 2;
  return std::make_unique<core::Cutoff>(
      [clock](Timestamp at) {
        pg::check_for_interrupts();
        return clock->at(at).value_or(at);
      },
      [zones = window.zones, wide = window.wide](Timestamp low, Timestamp high) {
        return wide || pg::clock_jumps(zones, low, high);
      });
}

void add_bounds(const pg::Window &window, core::Cutoff *cutoff, std::vector<core::Bound> &bounds) {
  if (window.op[0] == '>' || window.op == "=")
    bounds.push_back({cutoff, true, window.op == ">"});
  if (window.op[0] == '<' || window.op == "=")
    bounds.push_back({cutoff, false, window.op == "<" ? -1 : 0});
}

} // namespace

Sweep::Sweep(const pg::Decomposition &made, std::span<const std::int32_t> inputs, const std::string &same)
    : inputs_(inputs.begin(), inputs.end()), needed_segments_(made.needed_segments),
      segments_(static_cast<std::size_t>(made.segments)),
      only_falls_(made.only_falls && made.turns.empty() && made.value.empty()) {
  std::vector<Oid> types = {TIMESTAMPTZOID, INT8OID, JSONBOID};
  for (const auto &one : made.aggregates) {
    auto &aggregate = *aggregates_.emplace_back(std::make_unique<Aggregate>());
    aggregate.function = kFunctions.at(one.function);
    aggregate.type = pg::type_named(one.type);
    types.push_back(aggregate.type);
    aggregate.input = inputs.front();
    if (const auto &type = one.inputs.front().value_type; !type.empty())
      aggregate.value_type.emplace(pg::type_named(type));
    if (!one.called.empty())
      aggregate.other.emplace(one.called, pg::type_named(one.inputs.front().value_type), aggregate.type);
    aggregate.distinct = one.distinct;
    aggregate.descending = one.descending;
    std::vector<core::Bound> bounds;
    for (const auto &window : one.windows) {
      aggregate.cutoffs.push_back(cutoff_of(window, usable_));
      add_bounds(window, aggregate.cutoffs.back().get(), bounds);
    }
    if (one.steps) {
      std::vector<StepInput> steps;
      for (std::size_t step = 0; step < one.inputs.size(); ++step)
        steps.push_back({inputs[step], std::uint64_t{1} << step});
      aggregate.asked = StepsAsked::of(std::move(steps), aggregate.value_type.has_value());
      set_sequence(one, aggregate);
    }
    inputs = inputs.subspan(one.inputs.size());
    aggregate.tally.emplace(aggregate.function, std::move(bounds));
    has_key_ = has_key_ || !one.inputs.front().key.empty();
  }
  for (const auto &need : made.needs)
    add_need(need);
  types.insert(types.end(), segments_, BOOLOID);
  types.insert(types.end(), static_cast<std::size_t>(made.computed), JSONBOID);
  types.insert(types.end(), static_cast<std::size_t>(made.since), TIMESTAMPTZOID);
  first_since_ = static_cast<int>(types.size()) + 1 - static_cast<int>(made.since);
  bindings_ = std::make_unique<pg::Bindings>(types);
  having_ = std::make_unique<pg::Expression>(made.having, *bindings_);
  if (!made.value.empty())
    value_ = std::make_unique<pg::Expression>(made.value, *bindings_);
  static std::map<std::string, std::size_t> numbers; // of all conditions this backend has met
  for (const auto &condition : made.person_conditions)
    person_conditions_.push_back({numbers.emplace(same + condition, numbers.size()).first->second,
                                  std::make_unique<pg::Expression>(condition, *bindings_)});
  for (const auto &condition : made.falling)
    falling_.push_back(std::make_unique<pg::Expression>(condition, *bindings_));
  if (made.is_fixed && made.value.empty() && made.turns.empty() &&
      std::all_of(aggregates_.begin(), aggregates_.end(), [](const auto &one) { return one->is_integer(); }))
    find_integer_rules();
  for (const auto &turn : made.turns) {
    auto &turning = *turns_.emplace_back(std::make_unique<Turning>());
    turning.turn = turn;
    for (const auto &input : turn.inputs)
      turning.inputs.push_back(std::make_unique<pg::Expression>(input, *bindings_));
    for (const auto &test : turn.tests)
      turning.tests.push_back(std::make_unique<pg::Search>(test, turn.zones, turn.wide));
  }
  values_ =
      pg::call([] { return AllocSetContextCreate(TopMemoryContext, "cdp values", ALLOCSET_SMALL_SIZES); });
  find_wanted();
  if (usable_)
    judge_nobody(made);
  works_alone_ = (computed_ || answers_) && person_conditions_.empty() &&
                 made.segments + made.computed + made.since == 0 &&
                 std::all_of(aggregates_.begin(), aggregates_.end(), [](const auto &one) {
                   return std::all_of(one->cutoffs.begin(), one->cutoffs.end(),
                                      [](const auto &cutoff) { return cutoff->is_fixed(); });
                 });
}

// What follows from integers alone is computed, or remembered as PostgreSQL said it.
void Sweep::find_integer_rules() {
  if (aggregates_.size() <= pg::IntegerRule::kMostValues)
    computed_ = pg::IntegerRule::of(*having_, kFirstAggregate);
  for (std::size_t i = 0; computed_ && i < falling_.size(); ++i)
    if (auto one = pg::IntegerRule::of(*falling_[i], kFirstAggregate))
      computed_falling_.push_back(std::move(*one));
    else
      computed_.reset();
  if (!computed_ && aggregates_.size() <= Answers::kMostValues)
    answers_.emplace();
}

Sweep::~Sweep() {
  MemoryContextDelete(values_);
}

// What holds when no event counts.
void Sweep::judge_nobody(const pg::Decomposition &made) {
  for (auto &aggregate : aggregates_)
    aggregate->tally->begin({}, {}, 0, 0);
  pg::Failure failure;
  bool never = need(0).has_value();
  for (const auto &condition : made.conditions)
    pg::subtransaction(
        [&] {
          bind_values();
          pg::Expression one(condition, *bindings_);
          const auto value = pg::call([&] { return one.evaluate(); });
          never = never || value.is_null || !DatumGetBool(value.datum);
        },
        failure);
  never_without_events_ = never;
  usable_ = usable_ && (!has_key_ || never);
  overflows_ = false;
  if (!made.uses_person && !made.uses_clock)
    still_ = pg::subtransaction([&] { empty_ = truth(0); }, failure) && !overflows_;
  empty_value_ = held_;
  never_without_events_ = never_without_events_ || (still_ && !empty_);
}

bool Sweep::judge(std::span<const Stint> stints, std::span<std::vector<Range> *> ranges) {
  if (stints.size() == 1 && is_outside(stints.front(), needed_segments_))
    return true;
  if (!collect(*stints.front().history, stints.front().step->from))
    return false;
  if (group_count_ == 0 || (stints.size() == 1 && !meets_person_conditions(*stints.front().step)))
    return true;
  overflows_ = false;
  for (std::size_t i = 0; i < group_count_; ++i)
    if (!judge(groups_[i], stints, ranges))
      return false;
  return true;
}

bool Sweep::meets_person_conditions(const Step &step) {
  bool bound = false;
  for (const auto &condition : person_conditions_) {
    if (step.answers.size() <= condition.number)
      step.answers.resize(condition.number + 1, Step::Answer::unknown);
    auto &answer = step.answers[condition.number];
    if (answer == Step::Answer::unknown) {
      if (!std::exchange(bound, true))
        bind(step);
      const auto value = pg::call([&] { return condition.holds->evaluate(); });
      answer = !value.is_null && DatumGetBool(value.datum) ? Step::Answer::holds : Step::Answer::fails;
    }
    if (answer == Step::Answer::fails)
      return false;
  }
  return true;
}

bool Sweep::judge(const Group &group, std::span<const Stint> stints, std::span<std::vector<Range> *> ranges) {
  const bool nothing = std::all_of(group.entries.begin(), group.entries.end(),
                                   [](const auto &entries) { return entries.empty(); });
  for (std::size_t i = 0; i < stints.size(); ++i) {
    const auto &step = *stints[i].step;
    if (nothing && never_without_events_)
      return true;
    if (nothing && still_) {
      if (empty_)
        ranges[i]->push_back({value_ ? empty_value_ : group.key, step.from, stints[i].until, std::nullopt});
      continue;
    }
    if (i == 0)
      begin(group, stints[i]);
    else
      for (auto &aggregate : aggregates_) {
        aggregate->tally->know(step.decision_seq);
        aggregate->tally->move(step.from);
      }
    judge(group.key, stints[i], *ranges[i]);
    if (overflows_)
      return false;
  }
  return true;
}

void Sweep::begin(const Group &group, const Stint &stint) {
  if (!works_alone_)
    MemoryContextReset(values_);
  for (std::size_t i = 0; i < aggregates_.size(); ++i) {
    auto &aggregate = *aggregates_[i];
    aggregate.entries = group.entries[i];
    if (aggregate.gives_value())
      find_values(aggregate);
    if (aggregate.steps && has_key_)
      take_steps(group.places[i], aggregate);
    aggregate.tally->begin(aggregate.entries, aggregate.ranks, stint.step->from, stint.step->decision_seq);
  }
}

// Time goes from one instant at which something can change to the next.
void Sweep::judge(const Key &key, const Stint &stint, std::vector<Range> &ranges) {
  bind(*stint.step);
  inside_ = stint.inside;
  bind_since(*bindings_, first_since_, stint.since);
  const auto until = stint.until;
  auto at = stint.step->from;
  bool holds = truth(at); // binds the values that turns are found with
  std::vector<Timestamp> still_turns, turns;
  find_turns(true, at, until, still_turns);
  std::sort(still_turns.begin(), still_turns.end());
  const auto go = [&](Timestamp to) {
    const auto &held = value_ ? held_ : key;
    if (!holds)
      ;
    else if (!ranges.empty() && ranges.back().to == at && ranges.back().key == held)
      ranges.back().to = to;
    else
      ranges.push_back({held, at, to, std::nullopt});
    at = to;
  };
  if (holds && only_falls_ && nothing_is_to_come())
    return go(find_end(at, until));
  while (!overflows_) {
    if (!holds && is_over())
      return;
    auto next = until;
    for (auto &aggregate : aggregates_)
      next = aggregate->next(next);
    next = std::min(next, next_turn(inside_, at));
    turns.clear();
    find_turns(false, at, next, turns);
    std::copy_if(still_turns.begin(), still_turns.end(), std::back_inserter(turns),
                 [&](Timestamp turn) { return turn > at && turn < next; });
    std::sort(turns.begin(), turns.end());
    for (auto turn : turns) {
      go(turn);
      holds = truth(turn);
    }
    go(next);
    if (next == until)
      return;
    bool changed = !turns_.empty() || inside_;
    for (auto &aggregate : aggregates_)
      changed |= aggregate->tally->move(at);
    if (changed)
      holds = truth(at);
  }
}

void Sweep::bind(const Step &step) {
  bindings_->bind(2, Int64GetDatum(step.profile_id));
  if (step.traits_jsonb)
    bindings_->bind(3, PointerGetDatum(step.traits_jsonb));
  else
    bindings_->bind_null(3);
}

bool Sweep::truth(Timestamp at) {
  if (computed_)
    return computed_truth();
  if (answers_)
    return remembered_truth();
  bind_values();
  bindings_->bind(1, TimestampTzGetDatum(at));
  bind_inside(*bindings_, kFirstAggregate + static_cast<int>(aggregates_.size()), segments_, inside_, at);
  if (value_)
    return has_value();
  const auto value = pg::call([&] { return having_->evaluate(); });
  return !value.is_null && DatumGetBool(value.datum);
}

// Of what is beyond it PostgreSQL has to judge.
bool Sweep::computed_truth() {
  for (std::size_t i = 0; i < aggregates_.size(); ++i)
    integers_[i] = static_cast<std::int64_t>(value_of(*aggregates_[i]).value_or(kNullInteger));
  const auto said = computed_->evaluate(integers_);
  overflows_ = overflows_ || said == pg::IntegerRule::Said::beyond;
  return said == pg::IntegerRule::Said::yes;
}

bool Sweep::remembered_truth() {
  Answers::Values values{};
  for (std::size_t i = 0; i < aggregates_.size(); ++i)
    values[i] = static_cast<std::int64_t>(value_of(*aggregates_[i]).value_or(kNullInteger));
  answer_ = &answers_->of(values);
  if (answer_->holds == Told::unknown && alone_)
    return !(overflows_ = true);
  if (answer_->holds == Told::unknown) {
    bind_integers();
    const auto value = pg::call([&] { return having_->evaluate(); });
    answer_->holds = !value.is_null && DatumGetBool(value.datum) ? Told::yes : Told::no;
  }
  return answer_->holds == Told::yes;
}

void Sweep::bind_integers() {
  bindings_->reset();
  for (std::size_t i = 0; i < aggregates_.size(); ++i)
    if (const int number = kFirstAggregate + static_cast<int>(i);
        static_cast<Datum>(answer_->values[i]) == kNullInteger)
      bindings_->bind_null(number);
    else
      bindings_->bind(number, static_cast<Datum>(answer_->values[i]));
}

bool Sweep::nothing_is_to_come() const {
  return std::all_of(aggregates_.begin(), aggregates_.end(),
                     [](const auto &one) { return one->tally->only_falls(); });
}

// Of the latest match of a sequence on which all stands.
std::optional<Timestamp> Sweep::only_start() const {
  if (aggregates_.size() != 1)
    return std::nullopt;
  const auto &only = *aggregates_.front();
  return only.function == Function::sequence && only.stands_on_start && only.tally->only_sheds()
             ? only.start
             : std::nullopt;
}

// When a rule ends to hold that never comes true again: the first of the instants at which events go.
Timestamp Sweep::find_end(Timestamp at, Timestamp until) {
  if (const auto start = only_start())
    return aggregates_.front()->tally->leaves(*start, until);
  auto &instants = instants_;
  instants.clear();
  const auto move = [&](Timestamp to) {
    for (auto &aggregate : aggregates_)
      aggregate->tally->move(to);
  };
  for (auto next = at;; move(next)) {
    next = until;
    for (auto &aggregate : aggregates_)
      next = aggregate->tally->next(next); // what it stands on is not known there
    if (next == until)
      break;
    instants.push_back(next);
  }
  const auto end = std::partition_point(instants.begin(), instants.end(), [&](Timestamp instant) {
    move(instant);
    return truth(instant);
  });
  move(end == instants.end() ? (instants.empty() ? at : instants.back()) : *end);
  return end == instants.end() ? until : *end;
}

// Nothing is to come, and a condition does not hold that only events to come could fulfil.
bool Sweep::is_over() {
  if (falling_.empty() || !nothing_is_to_come())
    return false;
  if (computed_)
    return computes_falling();
  if (!answers_)
    return asks_falling();
  if (answer_->is_over == Told::unknown && alone_)
    return overflows_ = true;
  if (answer_->is_over == Told::unknown) {
    bind_integers();
    answer_->is_over = asks_falling() ? Told::yes : Told::no;
  }
  return answer_->is_over == Told::yes;
}

bool Sweep::computes_falling() const {
  return std::any_of(computed_falling_.begin(), computed_falling_.end(), [&](const auto &one) {
    const auto said = one.evaluate(integers_);
    return said == pg::IntegerRule::Said::no || said == pg::IntegerRule::Said::null;
  });
}

// Whether one of them does not hold, for what is bound.
bool Sweep::asks_falling() {
  return pg::call([&] {
    for (const auto &condition : falling_)
      if (const auto value = condition->evaluate(); value.is_null || !DatumGetBool(value.datum))
        return true;
    return false;
  });
}

void Sweep::bind_values() {
  bindings_->reset();
  for (std::size_t i = 0; i < aggregates_.size(); ++i) {
    const auto value = value_of(*aggregates_[i]);
    const int number = kFirstAggregate + static_cast<int>(i);
    if (value)
      bindings_->bind(number, *value);
    else
      bindings_->bind_null(number);
  }
}

// Where judge() looks for instants of its own: comparisons outside of aggregates.
void Sweep::find_turns(bool still, Timestamp from, Timestamp until, std::vector<Timestamp> &turns) {
  for (const auto &one : turns_) {
    if (one->turn.still != still)
      continue;
    std::vector<Oid> types;
    std::vector<Datum> inputs;
    std::vector<bool> nulls;
    for (const auto &input : one->inputs) {
      const auto value = pg::call([&] { return input->evaluate(); });
      types.push_back(input->type());
      inputs.push_back(value.datum);
      nulls.push_back(value.is_null);
    }
    for (auto offset : one->turn.offsets)
      if (!nulls[0])
        pg::add_turn(DatumGetTimestampTz(inputs[0]), offset, from, until, turns);
    for (const auto &test : one->tests)
      test->run(types, inputs, nulls, from, until, turns);
  }
}

} // namespace cdp::segment
