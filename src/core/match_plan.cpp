#include "match_plan.hpp"

namespace cdp::core::match {

bool stands(double value, Sign sign, double bound) {
  switch (sign) {
  case Sign::equal:
    return value == bound;
  case Sign::unequal:
    return value != bound;
  case Sign::less:
    return value < bound;
  case Sign::at_most:
    return value <= bound;
  case Sign::more:
    return value > bound;
  case Sign::at_least:
    return value >= bound;
  }
  return false;
}

namespace {

Sign opposite(Sign sign) {
  switch (sign) {
  case Sign::equal:
    return Sign::unequal;
  case Sign::unequal:
    return Sign::equal;
  case Sign::less:
    return Sign::at_least;
  case Sign::at_most:
    return Sign::more;
  case Sign::more:
    return Sign::at_most;
  case Sign::at_least:
    return Sign::less;
  }
  return sign;
}

/// Steps are made from the last to the first, since each must know where it leads.
class Planner {
public:
  explicit Planner(const Model &model) : model_(model) {}

  int end(int gamma) {
    Step step;
    step.yes = gamma;
    return add(step);
  }

  /// Where to begin so that it ends at `yes` if the test is true (or false, as wanted), and else at `no`,
  /// also if it is unknown.
  int ask(int number, bool wanted, int yes, int no) {
    const Test &test = model_.tests[static_cast<std::size_t>(number)];
    Step step;
    step.yes = yes;
    step.no = no;
    switch (test.kind) {
    case Test::Kind::always:
      return wanted ? yes : no;
    case Test::Kind::negation:
      return ask(test.parts[0], !wanted, yes, no);
    case Test::Kind::all:
    case Test::Kind::any: {
      const bool together = (test.kind == Test::Kind::all) == wanted; // every part must be as wanted
      int next = together ? yes : no;
      for (auto part = test.parts.rbegin(); part != test.parts.rend(); ++part)
        next = together ? ask(*part, wanted, next, no) : ask(*part, wanted, yes, next);
      return next;
    }
    case Test::Kind::unknown:
      step.kind = Step::Kind::unknown;
      if (!wanted)
        std::swap(step.yes, step.no); // that is never unknown
      break;
    case Test::Kind::truth:
      step.kind = Step::Kind::truth;
      step.wanted = wanted;
      break;
    case Test::Kind::measure:
      return measure(test, wanted, step);
    }
    step.a = test.feature;
    step.right = !test.left;
    return add(step);
  }

  std::vector<Step> finish(int first) {
    std::vector<Step> steps(made_.rbegin(), made_.rend());
    const int last = static_cast<int>(made_.size()) - 1;
    for (auto &step : steps)
      if (step.kind != Step::Kind::end) {
        step.yes = last - step.yes;
        step.no = last - step.no;
      }
    // What is asked first was made last, but for a comparison that asks nothing.
    steps.erase(steps.begin(), steps.begin() + (last - first));
    for (auto &step : steps)
      if (step.kind != Step::Kind::end) {
        step.yes -= last - first;
        step.no -= last - first;
      }
    return steps;
  }

private:
  int add(const Step &step) {
    made_.push_back(step);
    return static_cast<int>(made_.size()) - 1;
  }

  int measure(const Test &test, bool wanted, Step step) {
    const Pair &pair = model_.pairs[static_cast<std::size_t>(test.pair)];
    step.a = pair.left;
    step.b = pair.right;
    step.bound = test.bound;
    step.sign = test.sign;
    if (pair.measure == Measure::equal) { // 1 or 0
      const bool same = stands(1, test.sign, test.bound), other = stands(0, test.sign, test.bound);
      step.kind = same == wanted ? Step::Kind::equal : Step::Kind::unequal;
      if (same != other)
        return add(step);
      if (same != wanted)
        return step.no;
      const int unequal =
          (step.kind = Step::Kind::unequal, add(step)); // whatever they are, if they are known
      step.kind = Step::Kind::equal;
      step.no = unequal;
      return add(step);
    }
    step.pair = test.pair;
    if (pair.measure >= Measure::difference) {
      step.kind = Step::Kind::apart;
      step.wanted = wanted; // no opposite sign: what is no number stands to nothing
      return add(step);
    }
    if (!wanted)
      step.sign = opposite(step.sign);
    step.kind = step.sign == Sign::at_least  ? Step::Kind::reaches
                : step.sign == Sign::at_most ? Step::Kind::within
                                             : Step::Kind::measured;
    return add(step);
  }

  const Model &model_;
  std::vector<Step> made_;
};

} // namespace

std::vector<Step> steps_of(const Model &model, const Comparison &comparison) {
  Planner planner(model);
  int next = planner.end(0), gamma = 0; // without an ELSE: the last level, as nothing else is left
  for (auto level = comparison.levels.rbegin(); level != comparison.levels.rend(); ++level)
    next = planner.ask(level->test, true, planner.end(level->is_null ? -1 : gamma++), next);
  return planner.finish(next);
}

} // namespace cdp::core::match
