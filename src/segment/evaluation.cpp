// How a batch stays invisible: a step is judged up to the person's next step, the last of a wave for all the
// future, and the joined pieces replace what is stored from the person's first step on. A step at the same
// instant as the next one leaves no trace, as it would leave none if they came alone.
#include "segment/evaluation.hpp"

#include <algorithm>
#include <map>
#include <unordered_map>

#include "segment/judge.hpp"
#include "segment/store.hpp"

#include "pg/jsonb.hpp"
#include "pg/spi.hpp"

namespace cdp::segment {

namespace {

constexpr std::size_t kBatch = 1000;

// Errors that say the rule cannot run at all, whoever it is about.
bool is_general(int sqlstate) {
  switch (sqlstate) { // others of their classes can come from one person's data, such as NaN::int (0A000)
  case ERRCODE_INSUFFICIENT_PRIVILEGE:
  case ERRCODE_UNDEFINED_FUNCTION:
  case ERRCODE_UNDEFINED_TABLE:
  case ERRCODE_UNDEFINED_COLUMN:
  case ERRCODE_UNDEFINED_OBJECT:
  case ERRCODE_UNDEFINED_SCHEMA:
    return true;
  default:
    return false;
  }
}

// One segment during one Evaluation.
class Progress {
public:
  explicit Progress(Judge &judge) : judge_(judge) { found_.segment_id = judge.segment_id(); }

  Judge &judge() const { return judge_; }

  // Of people whose histories are there.
  void evaluate(const std::vector<Step> &steps, const Histories &histories) {
    histories_ = &histories;
    if (found_.broken)
      return;
    for (std::size_t start = 0; start < steps.size() && !found_.broken; start += kBatch) {
      pg::check_for_interrupts();
      const auto begin = steps.begin() + static_cast<std::ptrdiff_t>(start);
      auto some =
          bounded({begin, begin + static_cast<std::ptrdiff_t>(std::min(steps.size() - start, kBatch))});
      std::vector<std::size_t> all;
      for (std::size_t i = 0; i < some.size(); ++i)
        if (some[i].from < some[i].until) // the others leave no trace, unless what follows fails
          all.push_back(i);
      try_all(some, all);
    }
  }

  void end(std::int64_t profile_id, core::Timestamp at) { found_.people[profile_id].end(at); }
  Found take() { return std::move(found_); }

private:
  // Each up to the person's next; the last for all the future: what comes later may fail for somebody, and
  // then it stands on.
  static std::vector<Step> bounded(std::vector<Step> steps) {
    std::unordered_map<std::int64_t, std::size_t> last;
    for (std::size_t i = 0; i < steps.size(); ++i) {
      const auto [before, first] = last.try_emplace(steps[i].profile_id, i);
      if (!first)
        steps[std::exchange(before->second, i)].until = steps[i].from;
      steps[i].until = core::kInfinity;
    }
    return steps;
  }

  void try_all(const std::vector<Step> &steps, const std::vector<std::size_t> &chosen) {
    std::vector<Step> some;
    for (auto i : chosen)
      some.push_back(steps[i]);
    std::vector<std::vector<Range>> ranges;
    pg::Failure failure;
    if (pg::subtransaction([&] { ranges = judge_.judge(some, *histories_); }, failure)) {
      for (std::size_t i = 0; i < some.size(); ++i)
        add(some[i], std::move(ranges[i]));
    } else if (is_general(failure.sqlstate)) {
      found_.broken = std::move(failure);
      found_.failed_at = some.front().from;
    } else {
      halve(steps, chosen, failure);
    }
  }

  void add(const Step &step, std::vector<Range> ranges) {
    auto &person = found_.people[step.profile_id];
    person.add(step.from, step.decision_seq, std::move(ranges));
  }

  // Down to the people, and with a person down to the step; what is known of them before a failing step
  // stands on, so their other steps are judged for all the future.
  void halve(const std::vector<Step> &steps, const std::vector<std::size_t> &chosen,
             const pg::Failure &failure) {
    std::map<std::int64_t, std::vector<std::size_t>> people;
    for (auto i : chosen)
      people[steps[i].profile_id].push_back(i);
    if (people.size() == 1)
      return one_by_one(steps, people.begin()->first, failure);
    std::vector<std::size_t> first, second;
    std::size_t number = 0;
    for (auto &[person, indexes] : people) {
      auto &half = number++ < people.size() / 2 ? first : second;
      half.insert(half.end(), indexes.begin(), indexes.end());
    }
    for (auto *half : {&first, &second}) {
      std::sort(half->begin(), half->end());
      if (!found_.broken)
        try_all(steps, *half);
    }
  }

  void one_by_one(const std::vector<Step> &steps, std::int64_t profile_id, pg::Failure failure) {
    for (auto step : steps) {
      if (step.profile_id != profile_id)
        continue;
      step.until = core::kInfinity;
      std::vector<std::vector<Range>> ranges;
      if (pg::subtransaction([&] { ranges = judge_.judge({step}, *histories_); }, failure))
        add(step, std::move(ranges[0]));
      else
        found_.people[step.profile_id].fail(step.from, failure);
    }
  }

  Judge &judge_;
  const Histories *histories_ = nullptr;
  Found found_;
};

void parse_traits(std::vector<Step> &steps) {
  for (auto &step : steps)
    step.traits_jsonb = pg::parse_jsonb(step.traits);
}

std::vector<std::int64_t> people_of(const std::vector<Step> &steps) {
  std::vector<std::int64_t> people;
  for (const auto &step : steps)
    people.push_back(step.profile_id);
  std::sort(people.begin(), people.end());
  people.erase(std::unique(people.begin(), people.end()), people.end());
  return people;
}

} // namespace

struct Evaluation::State {
  // What is new with an event: what inputs said, and its name.
  struct Event {
    Observed observed;
    std::optional<std::string> name;
  };
  std::vector<Progress> segments;
  std::unordered_map<std::int64_t, Event> events;

  // The steps at which something is new that a segment looks at, a segment each.
  std::vector<std::vector<Step>> choose(const std::vector<Step> &steps) const;
};

Evaluation::Evaluation() : state_(std::make_unique<State>()) {
  for (Judge *judge : judges())
    state_->segments.emplace_back(*judge);
}

Evaluation::~Evaluation() = default;

bool Evaluation::any() const {
  return !state_->segments.empty();
}

void Evaluation::add_events(std::vector<NewEvent> events, std::int64_t first) {
  if (!any())
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

std::vector<std::vector<Step>> Evaluation::State::choose(const std::vector<Step> &steps) const {
  std::vector<std::vector<Step>> chosen(segments.size());
  for (const auto &step : steps) {
    const auto found = events.find(step.decision_seq);
    const auto *event = found == events.end() ? nullptr : &found->second;
    for (std::size_t i = 0; i < segments.size(); ++i)
      if (segments[i].judge().concerns(step, event ? &event->observed : nullptr,
                                       event && event->name ? &*event->name : nullptr))
        chosen[i].push_back(step);
  }
  return chosen;
}

void Evaluation::evaluate(std::vector<Step> steps) {
  if (!any() || steps.empty())
    return;
  pg::Session session;
  parse_traits(steps);
  const auto chosen = state_->choose(steps);
  std::vector<Step> by_timeline;
  for (std::size_t i = 0; i < chosen.size(); ++i)
    if (state_->segments[i].judge().uses_timelines())
      by_timeline.insert(by_timeline.end(), chosen[i].begin(), chosen[i].end());
  const auto histories = read_histories(people_of(by_timeline));
  for (std::size_t i = 0; i < chosen.size(); ++i)
    state_->segments[i].evaluate(chosen[i], histories);
}

void Evaluation::end(std::int64_t profile_id, core::Timestamp at, std::int64_t) {
  for (auto &segment : state_->segments)
    segment.end(profile_id, at);
}

void Evaluation::store() {
  std::vector<Found> found;
  for (auto &segment : state_->segments)
    found.push_back(segment.take());
  store_found(found);
}

// A rule that fails for some people at creation is likely a mistake: say so at once.
static void warn_of_failures(std::int32_t segment_id) {
  static pg::Statement count("SELECT count(*), min(message) FROM cdp.segment_errors WHERE segment_id = $1");
  auto rows = count.run(pg::Params().integer(segment_id));
  const auto people = rows.bigint(0, 1);
  if (people == 0)
    return;
  const auto message = rows.text(0, 2);
  pg::call([&] {
    ereport(WARNING,
            (errmsg("the rule failed for %lld people: %s", static_cast<long long>(people), message.c_str()),
             errhint("They are in cdp.segment_errors, and in no segment until the rule works for them.")));
  });
}

void evaluate_everybody(std::int32_t segment_id, Timestamp at) {
  static pg::Statement read("SELECT profile_id, traits::text FROM cdp.profiles WHERE profile_id > $1 "
                            "ORDER BY profile_id LIMIT 2000");
  Judge &judge = judge_of(segment_id);
  for (std::int64_t last = INT64_MIN;;) {
    pg::check_for_interrupts();
    pg::Session session;
    std::vector<Step> steps;
    {
      auto rows = read.run(pg::Params().bigint(last));
      for (std::size_t i = 0; i < rows.size(); ++i)
        steps.push_back({rows.bigint(i, 1), kAllEvents, at, core::kInfinity, rows.text(i, 2)});
    }
    if (steps.empty())
      return warn_of_failures(segment_id);
    last = steps.back().profile_id;
    parse_traits(steps);
    Progress progress(judge);
    progress.evaluate(steps, judge.uses_timelines() ? read_histories(people_of(steps)) : Histories());
    auto found = progress.take();
    if (found.broken)
      throw Error(found.broken->sqlstate, found.broken->message, found.broken->detail);
    store_found({std::move(found)});
  }
}

} // namespace cdp::segment
