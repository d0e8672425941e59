#include "pipeline/computed.hpp"

#include <algorithm>
#include <deque>

namespace cdp::pipeline {

namespace {

// The same decision, once more: nothing is new but traits.
segment::Step again(const segment::Step &step) {
  return {step.profile_id, step.decision_seq, step.from, step.traits, false, true, nullptr, false, false};
}

} // namespace

void Computed::evaluate(std::vector<segment::Step> steps) {
  std::vector<core::OpenTraits> open;
  if (followed())
    for (const auto &step : steps)
      open.push_back(people_.at(step.profile_id).open());
  evaluate(std::move(steps), std::move(open));
}

// Each round takes the next step of everybody, or the instant before it at which time alone changed a value.
void Computed::evaluate(std::vector<segment::Step> steps, std::vector<core::OpenTraits> open) {
  if (!followed()) {
    evaluation_.evaluate(std::move(steps));
    return;
  }
  std::map<std::int64_t, std::deque<std::size_t>> waiting;
  for (std::size_t i = 0; i < steps.size(); ++i)
    waiting[steps[i].profile_id].push_back(i);
  while (!waiting.empty()) {
    std::vector<segment::Step> now;
    std::vector<core::OpenTraits> folded;
    for (auto place = waiting.begin(); place != waiting.end();) {
      auto &[id, left] = *place;
      const auto &next = steps[left.front()];
      if (const auto last = last_.find(id); last != last_.end() && last->second.until < next.from) {
        now.push_back(again(next));
        now.back().from = last->second.until;
        folded.push_back(last->second.open);
      } else {
        now.push_back(next);
        folded.push_back(std::move(open[left.front()]));
        left.pop_front();
      }
      place = left.empty() ? waiting.erase(place) : std::next(place);
    }
    judge(std::move(now), std::move(folded));
  }
}

// A computed trait may look at a golden one that falls back on another, so until nothing changes; rules never
// ask in a circle.
void Computed::judge(std::vector<segment::Step> steps, std::vector<core::OpenTraits> open) {
  const auto ids = profile::asked_computed(people_.fold().rules());
  std::vector<core::Timestamp> until(steps.size());
  auto values = evaluation_.computed(steps, ids);
  for (std::size_t i = 0; i < steps.size(); ++i)
    steps[i].traits = open[i].traits_json(values[i], until[i]);
  auto chosen = steps;
  for (std::size_t round = 0; !chosen.empty(); ++round) {
    pg::check_for_interrupts();
    if (round > ids.size() + 1)
      throw Error(ERRCODE_INTERNAL_ERROR, "computed traits ask for golden traits in a circle");
    evaluation_.evaluate(std::move(chosen));
    chosen.clear();
    values = evaluation_.computed(steps, ids);
    for (std::size_t i = 0; i < steps.size(); ++i) {
      auto traits = open[i].traits_json(values[i], until[i]);
      if (traits != steps[i].traits) {
        steps[i].traits = std::move(traits);
        chosen.push_back(again(steps[i]));
      }
    }
  }
  for (std::size_t i = 0; i < steps.size(); ++i)
    last_.insert_or_assign(steps[i].profile_id, Last{std::move(open[i]), until[i], std::move(values[i])});
}

void Computed::finish() {
  if (!followed())
    return;
  for (auto id : people_.touched())
    if (auto last = last_.find(id); last != last_.end())
      people_.at(id).answer(std::move(last->second.values));
}

} // namespace cdp::pipeline
