// How a batch stays invisible: a step is judged up to the person's next step that could matter to the
// segment, the last of a wave for all the future, and the joined pieces replace what is stored from the
// person's first step on. A step at the same instant as the next one leaves no trace, as it would leave none
// if they came alone.
#include "segment/evaluation.hpp"

#include <algorithm>

#include "segment/lists.hpp"
#include "segment/progress.hpp"

#include "pg/jsonb.hpp"
#include "pg/spi.hpp"

namespace cdp::segment {

struct Evaluation::State {
  // What is new with an event: what inputs said, and its name.
  struct Event {
    Observed observed;
    std::optional<std::string> name;
  };
  std::vector<Progress> segments;
  std::unordered_map<std::int64_t, Event> events;
  ListMembers lists;

  // The steps at which something is new that a segment looks at, a segment each.
  std::vector<std::vector<const Step *>> choose(const std::vector<Step> &steps) const;
};

Evaluation::Evaluation() : state_(std::make_unique<State>()) {
  for (Judge *judge : judges())
    state_->segments.emplace_back(*judge);
}

Evaluation::~Evaluation() = default;

bool Evaluation::any() const {
  return !state_->segments.empty() || state_->lists.any();
}

void Evaluation::add_events(std::vector<NewEvent> events, std::int64_t first) {
  if (state_->segments.empty())
    return;
  static pg::Statement read("SELECT source_id, source FROM cdp.sources");
  std::unordered_map<std::int32_t, std::string> sources;
  if (Inputs::current().wants_source()) {
    auto rows = read.run();
    for (std::size_t i = 0; i < rows.size(); ++i)
      sources.emplace(rows.integer(i, 1), rows.text(i, 2));
  }
  std::vector<EventFacts> facts;
  for (auto &one : events)
    facts.push_back({one.event_id, one.identifier_id, one.occurred_at, one.received_at, one.type,
                     sources[one.source_id], one.event, one.properties, one.context});
  auto observed = segment::add_events(facts, first);
  for (std::size_t i = 0; i < facts.size(); ++i)
    state_->events[facts[i].event_id] = {std::move(observed[i]), std::move(facts[i].event)};
}

std::vector<std::vector<const Step *>> Evaluation::State::choose(const std::vector<Step> &steps) const {
  std::vector<std::vector<const Step *>> chosen(segments.size());
  for (const auto &step : steps) {
    const auto found = events.find(step.decision_seq);
    const auto *event = found == events.end() ? nullptr : &found->second;
    for (std::size_t i = 0; i < segments.size(); ++i)
      if (segments[i].judge().concerns(step, event ? &event->observed : nullptr,
                                       event && event->name ? &*event->name : nullptr))
        chosen[i].push_back(&step);
  }
  return chosen;
}

void Evaluation::evaluate(std::vector<Step> steps) {
  if (!any() || steps.empty())
    return;
  state_->lists.evaluate(steps);
  pg::Session session;
  const auto chosen = state_->choose(steps);
  std::vector<std::int64_t> people;
  for (std::size_t i = 0; i < chosen.size(); ++i)
    if (state_->segments[i].judge().uses_timelines())
      for (const auto *step : chosen[i])
        people.push_back(step->profile_id);
  std::sort(people.begin(), people.end());
  people.erase(std::unique(people.begin(), people.end()), people.end());
  const auto histories = read_histories(people);
  for (auto &step : steps)
    step.traits_jsonb = pg::parse_jsonb(step.traits);
  std::vector<std::vector<Stint>> stints(chosen.size());
  for (std::size_t i = 0; i < chosen.size(); ++i)
    for (const auto *step : chosen[i]) {
      const auto history = histories.find(step->profile_id);
      stints[i].push_back({step, history == histories.end() ? nullptr : &history->second, core::kInfinity});
    }
  for (auto &of_segment : stints)
    std::stable_sort(of_segment.begin(), of_segment.end(),
                     [](const Stint &a, const Stint &b) { return a.step->profile_id < b.step->profile_id; });
  Progress::evaluate(state_->segments, stints);
}

void Evaluation::end(std::int64_t profile_id, core::Timestamp at, std::int64_t) {
  for (auto &segment : state_->segments)
    segment.end(profile_id, at);
  state_->lists.end(profile_id, at);
}

void Evaluation::store() {
  auto found = state_->lists.take();
  for (auto &segment : state_->segments)
    found.push_back(segment.take());
  store_found(found);
}

void evaluate_people(std::int32_t segment_id, const std::vector<std::int64_t> &people, Timestamp at) {
  static pg::Statement read("SELECT profile_id, traits::text FROM cdp.profiles WHERE profile_id = ANY ($1)",
                            pg::few_keys);
  pg::Session session;
  auto rows = read.run(pg::Params().bigints(people));
  std::vector<Step> steps;
  for (std::size_t i = 0; i < rows.size(); ++i)
    steps.push_back({rows.bigint(i, 1), kAllEvents, at, rows.text(i, 2)});
  Judge &judge = judge_of(segment_id);
  const auto histories = judge.uses_timelines() ? read_histories(people) : Histories();
  std::vector<Stint> stints;
  for (auto &step : steps) {
    step.traits_jsonb = pg::parse_jsonb(step.traits);
    const auto history = histories.find(step.profile_id);
    stints.push_back({&step, history == histories.end() ? nullptr : &history->second, core::kInfinity});
  }
  Progress progress(judge);
  progress.evaluate(stints);
  auto found = progress.take();
  if (found.broken)
    throw Error(found.broken->sqlstate, found.broken->message, found.broken->detail);
  store_found({std::move(found)});
}

} // namespace cdp::segment
