// How a batch stays invisible: a step is judged up to the person's next step that could matter to the
// segment, the last of a wave for all the future, and the joined pieces replace what is stored from the
// person's first step on. A step at the same instant as the next one leaves no trace, as it would leave none
// if they came alone.
#include "segment/evaluation.hpp"

#include <algorithm>
#include <atomic>
#include <map>
#include <set>
#include <span>
#include <system_error>

#include "segment/insides.hpp"
#include "segment/lists.hpp"
#include "segment/progress.hpp"
#include "segment/since.hpp"

#include "pg/helper.hpp"
#include "pg/jsonb.hpp"
#include "pg/log_ahead.hpp"
#include "pg/scan.hpp"
#include "pg/spi.hpp"

namespace cdp::segment {

namespace {

constexpr std::size_t kMany = 2000; // looks: with less, all is over before a second thread is awake

// A rule that looks at somebody's timelines from a step on.
struct Look {
  std::int64_t profile_id;
  const Judge *judge;
  Timestamp from;
  bool operator<(const Look &other) const { return profile_id < other.profile_id; }
};

// Takes timelines apart, each once, whoever has time for it. Plain C++.
class Finishing {
public:
  Finishing(const std::vector<Look> &looks, const Timelines &known) {
    for (auto first = looks.begin(), next = first; first != looks.end(); first = next) {
      while (next != looks.end() && next->profile_id == first->profile_id)
        ++next;
      looks_.emplace_back(first, next);
      people_.push_back(first->profile_id);
    }
    histories_ = gather_histories(people_, known);
  }

  void work() {
    Wanted wanted;
    for (std::size_t i; (i = next_++) < people_.size();) {
      wanted.clear();
      for (const auto &look : looks_[i])
        look.judge->add_wanted(look.from, wanted);
      histories_.at(people_[i]).finish(&wanted);
    }
  }
  const Histories &histories() const { return histories_; }

private:
  std::vector<std::int64_t> people_;
  std::vector<std::span<const Look>> looks_; // a person's
  Histories histories_;
  std::atomic<std::size_t> next_ = 0;
};

// None when there is no room for one: nothing depends on it but speed.
std::unique_ptr<pg::Helper> helper_if_any() {
  try {
    return pg::Helper::is_worthwhile() ? std::make_unique<pg::Helper>() : nullptr;
  } catch (const std::system_error &) {
    return nullptr;
  }
}

} // namespace

struct Evaluation::State {
  // What is new with an event: what inputs said, and its name.
  struct Event {
    Observed observed;
    std::optional<std::string> name;
  };
  std::vector<Progress> segments; // those that others ask about come before these
  std::unordered_map<std::int64_t, Event> events;
  Timelines timelines; // that these events were added to, as they are since
  ListMembers lists;
  KeptRuns runs;
  StoredPeople kept;                             // of whoever was judged
  std::map<std::int32_t, std::size_t> places;    // of segments
  std::set<std::int64_t> people;                 // who was judged,
  core::Timestamp latest = core::kMinusInfinity; // and up to when

  // The steps at which something is new that a segment looks at, a segment each.
  std::vector<std::vector<const Step *>> choose(const std::vector<Step> &steps) const;
  bool concerns(std::size_t segment, const Step &step,
                const std::vector<std::vector<const Step *>> &chosen) const;
  const Found *found(std::int32_t segment_id) const;
  std::vector<Look> looks_of(const std::vector<std::vector<const Step *>> &chosen) const;
  void follow_traits(const std::vector<std::vector<const Step *>> &chosen);
  std::vector<std::vector<const Stored::Row *>>
  read_stored(const std::vector<std::vector<const Step *>> &chosen);
  void evaluate(const std::vector<std::vector<const Step *>> &chosen, const Histories &histories,
                pg::Helper *helper, const std::function<void()> &finish);
};

namespace {

bool any_segments() {
  pg::show_own_writes();
  return pg::any_row(pg::Moment(), "cdp", "segments");
}

} // namespace

Evaluation::Evaluation() : state_(std::make_unique<State>()) {
  if (!any_segments())
    return;
  state_->lists.read();
  auto ordered = judges();
  std::stable_sort(ordered.begin(), ordered.end(),
                   [](const Judge *a, const Judge *b) { return a->level() < b->level(); });
  for (Judge *judge : ordered) {
    state_->places[judge->segment_id()] = state_->segments.size();
    state_->segments.emplace_back(*judge);
    state_->runs.want(judge->since());
  }
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
  auto observed = segment::add_events(facts, first, state_->timelines);
  for (std::size_t i = 0; i < facts.size(); ++i)
    state_->events[facts[i].event_id] = {std::move(observed[i]), std::move(facts[i].event)};
}

std::vector<std::vector<const Step *>> Evaluation::State::choose(const std::vector<Step> &steps) const {
  std::vector<std::vector<const Step *>> chosen(segments.size());
  for (const auto &step : steps) {
    const auto found = events.find(step.decision_seq);
    const auto *event = found == events.end() || !step.is_theirs ? nullptr : &found->second;
    const auto said = said_at(step, runs.traits());
    for (std::size_t i = 0; i < segments.size(); ++i)
      if (std::any_of(segments[i].judge().since().begin(), segments[i].judge().since().end(),
                      [&](const auto &trait) { return said.contains(trait); }) ||
          segments[i].judge().concerns(step, event ? &event->observed : nullptr,
                                       event && event->name ? &*event->name : nullptr) ||
          concerns(i, step, chosen))
        chosen[i].push_back(&step);
  }
  return chosen;
}

// Whether a segment that this one asks about is looked at.
bool Evaluation::State::concerns(std::size_t segment, const Step &step,
                                 const std::vector<std::vector<const Step *>> &chosen) const {
  const auto asked = segments[segment].judge().segments();
  return std::any_of(asked.begin(), asked.end(), [&](std::int32_t id) {
    if (const auto place = places.find(id); place != places.end())
      return !chosen[place->second].empty() && chosen[place->second].back() == &step;
    return step.identifiers_changed && lists.is_list(id);
  });
}

const Found *Evaluation::State::found(std::int32_t segment_id) const {
  const auto place = places.find(segment_id);
  return place == places.end() ? lists.found(segment_id) : &segments[place->second].found();
}

std::vector<Look> Evaluation::State::looks_of(const std::vector<std::vector<const Step *>> &chosen) const {
  std::vector<Look> looks;
  for (std::size_t i = 0; i < chosen.size(); ++i)
    if (segments[i].judge().uses_timelines())
      for (const auto *step : chosen[i])
        looks.push_back({step->profile_id, &segments[i].judge(), step->from});
  std::sort(looks.begin(), looks.end());
  return looks;
}

void Evaluation::State::follow_traits(const std::vector<std::vector<const Step *>> &chosen) {
  std::vector<const Step *> steps; // they lie in the order in which they came
  for (std::size_t i = 0; i < chosen.size(); ++i)
    if (!segments[i].judge().since().empty())
      steps.insert(steps.end(), chosen[i].begin(), chosen[i].end());
  std::sort(steps.begin(), steps.end());
  steps.erase(std::unique(steps.begin(), steps.end()), steps.end());
  if (!steps.empty())
    runs.follow(steps);
}

// What each segment has of those who are judged, in order of ids.
std::vector<std::vector<const Stored::Row *>>
Evaluation::State::read_stored(const std::vector<std::vector<const Step *>> &chosen) {
  StoredPeople::Parts parts;
  for (std::size_t i = 0; i < chosen.size(); ++i)
    for (const auto *step : chosen[i])
      parts[step->profile_id].add(step->from, segments[i].judge().segment_id());
  kept.read(std::move(parts));
  std::vector<std::vector<const Stored::Row *>> rows(segments.size());
  for (const auto &row : kept.rows().all())
    if (const auto place = places.find(row.segment_id); place != places.end())
      rows[place->second].push_back(&row);
  return rows;
}

// Level by level: what a rule asks about is known when it is judged.
void Evaluation::State::evaluate(const std::vector<std::vector<const Step *>> &chosen,
                                 const Histories &histories, pg::Helper *helper,
                                 const std::function<void()> &finish) {
  std::vector<std::int64_t> asking;
  std::vector<std::int32_t> asked;
  auto from = core::kInfinity;
  for (std::size_t i = 0; i < chosen.size(); ++i)
    for (const auto *step :
         segments[i].judge().segments().empty() ? std::vector<const Step *>() : chosen[i]) {
      const auto of_judge = segments[i].judge().segments();
      asked.insert(asked.end(), of_judge.begin(), of_judge.end());
      asking.push_back(step->profile_id);
      from = std::min(from, step->from);
    }
  const auto stored = stored_of(asking, asked, from);
  Insides insides(stored, [&](std::int32_t id) { return found(id); });
  follow_traits(chosen);
  const auto rows = read_stored(chosen);
  const bool notes_less = !anybody_failed(); // else whoever no longer fails is to be noted
  for (std::size_t i = 0; i < segments.size(); ++i)
    segments[i].know(notes_less ? std::optional(StoredRows(rows[i])) : std::nullopt);
  finish();
  for (std::size_t begin = 0, end = 0; begin < segments.size(); begin = end) {
    std::vector<std::vector<Stint>> stints(segments.size());
    for (; end < segments.size() && segments[end].judge().level() == segments[begin].judge().level(); ++end) {
      for (const auto *step : chosen[end]) {
        const auto history = histories.find(step->profile_id);
        stints[end].push_back({step, history == histories.end() ? nullptr : &history->second, core::kInfinity,
                               insides.of(segments[end].judge(), *step),
                               runs.since(*step, segments[end].judge().since())});
      }
      std::stable_sort(stints[end].begin(), stints[end].end(), [](const Stint &a, const Stint &b) {
        return a.step->profile_id < b.step->profile_id;
      });
    }
    Progress::evaluate(segments, stints, helper);
    pg::write_log_ahead();
  }
}

void Evaluation::evaluate(std::vector<Step> steps) {
  if (!any() || steps.empty())
    return;
  state_->lists.evaluate(steps);
  for (const auto &step : steps) {
    state_->people.insert(step.profile_id);
    state_->latest = std::max(state_->latest, step.from);
  }
  pg::Session session;
  pg::write_log_ahead();
  const auto chosen = state_->choose(steps);
  const auto looks = state_->looks_of(chosen);
  Finishing finishing(looks, state_->timelines);
  const auto helper = looks.size() < kMany ? nullptr : helper_if_any();
  std::optional<pg::Helper::Job> beside; // all that is read
  if (helper)
    beside.emplace(*helper, [&] { finishing.work(); });
  for (std::size_t i = 0; i < chosen.size(); ++i)
    if (state_->segments[i].judge().looks_at_traits())
      for (const auto *step : chosen[i])
        if (auto &traits = steps[static_cast<std::size_t>(step - steps.data())].traits_jsonb; !traits)
          traits = pg::parse_jsonb(step->traits);
  state_->evaluate(chosen, finishing.histories(), helper.get(), [&] {
    finishing.work();
    if (beside)
      beside->wait();
  });
}

namespace {

// The value of an instant; where there is none, until there is one.
core::Computed value_at(const std::vector<Range> &ranges, core::Timestamp at) {
  core::Computed value;
  for (const auto &range : ranges) {
    if (range.from <= at && at < range.to)
      return {range.key.value_or("null"), range.to};
    if (range.from > at)
      value.until = std::min(value.until, range.from);
  }
  return value;
}

} // namespace

std::vector<core::ComputedValues> Evaluation::computed(const std::vector<Step> &steps,
                                                       const std::vector<std::int32_t> &asked) const {
  std::vector<std::int64_t> people;
  auto from = core::kInfinity;
  for (const auto &step : steps) {
    people.push_back(step.profile_id);
    from = std::min(from, step.from);
  }
  const auto stored = stored_of(people, asked, from);
  const Insides insides(stored, [&](std::int32_t id) { return state_->found(id); });
  std::vector<core::ComputedValues> values;
  for (const auto &step : steps) {
    auto &one = values.emplace_back();
    for (auto id : asked)
      one[id] = value_at(insides.ranges_of(id, step), step.from);
  }
  return values;
}

void Evaluation::end(std::int64_t profile_id, core::Timestamp at, std::int64_t) {
  for (auto &segment : state_->segments)
    segment.end(profile_id, at);
  state_->runs.end(profile_id);
  state_->lists.end(profile_id, at);
}

void Evaluation::store() {
  auto found = state_->lists.take();
  std::vector<std::int32_t> broken;
  for (auto &segment : state_->segments) {
    found.push_back(segment.take());
    if (found.back().broken)
      broken.push_back(found.back().segment_id);
  }
  store_found(found, std::move(state_->kept));
  state_->kept = {};
  state_->runs.store();
  // A rule may have asked about a segment before that turned out to be broken, and stays as it was.
  if (!broken.empty())
    evaluate_dependents(broken, {state_->people.begin(), state_->people.end()}, state_->latest);
}

} // namespace cdp::segment
