#include "match_compare.hpp"
#include "match_wanted.hpp"

#include <algorithm>
#include <cmath>

namespace cdp::core::match {

namespace {

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

std::size_t limit_of(const Pair &pair) {
  return pair.limit < 0 ? 0 : pair.limit > 1000 ? kNoLimit : static_cast<std::size_t>(pair.limit);
}

std::size_t count_common(const std::vector<Code> &a, const std::vector<Code> &b) {
  std::size_t common = 0;
  for (auto i = a.begin(), j = b.begin(); i != a.end() && j != b.end();)
    if (*i < *j)
      ++i;
    else if (*j < *i)
      ++j;
    else
      ++common, ++i, ++j;
  return common;
}

} // namespace

Evaluator::Evaluator(const Model &model, const Records &records)
    : model_(model), records_(records), measured_(model.pairs.size()) {
  // Codes are those of texts; what PostgreSQL writes for true may be there or not.
  for (Code code = 1; code < records.dictionary().size(); ++code)
    if (records.text(code) == "true") {
      true_ = code;
      break;
    }
}

int Evaluator::test(int number, Place left, Place right) {
  const Test &test = model_.tests[static_cast<std::size_t>(number)];
  switch (test.kind) {
  case Test::Kind::always:
    return 1;
  case Test::Kind::all:
  case Test::Kind::any: {
    const int decisive = test.kind == Test::Kind::any;
    int result = !decisive;
    for (int part : test.parts) {
      const int one = this->test(part, left, right);
      if (one == decisive)
        return decisive;
      if (one < 0)
        result = -1;
    }
    return result;
  }
  case Test::Kind::negation: {
    const int one = this->test(test.parts[0], left, right);
    return one < 0 ? -1 : !one;
  }
  case Test::Kind::unknown:
    return records_.code(test.feature, test.left ? left : right) == 0;
  case Test::Kind::truth: {
    const Code code = records_.code(test.feature, test.left ? left : right);
    return code == 0 ? -1 : code == true_;
  }
  case Test::Kind::measure:
    return held_against(test, left, right);
  }
  return 0;
}

int Evaluator::held_against(const Test &test, Place left, Place right) {
  const Pair &pair = model_.pairs[static_cast<std::size_t>(test.pair)];
  const Code l = records_.code(pair.left, left), r = records_.code(pair.right, right);
  if (l == 0 || r == 0)
    return -1;
  if (pair.measure == Measure::equal)
    return stands(l == r, test.sign, test.bound);
  Measured &kept = measured_[static_cast<std::size_t>(test.pair)];
  if (kept.left != l || kept.right != r) {
    kept.value =
        pair.measure >= Measure::difference ? of_numbers(pair, left, right) : of_texts(pair, kept, l, r);
    kept.left = l;
    kept.right = r;
  }
  return stands(kept.value, test.sign, test.bound);
}

double Evaluator::of_texts(const Pair &pair, Measured &kept, Code left, Code right) {
  if (pair.measure == Measure::jaro_winkler) {
    if (kept.prepared != left) {
      kept.winkler.set(records_.text(left));
      kept.prepared = left;
    }
    return kept.winkler.similarity(records_.text(right));
  }
  if (pair.measure == Measure::common_elements)
    return static_cast<double>(count_common(records_.elements(left), records_.elements(right)));
  const auto a = records_.text(left), b = records_.text(right);
  switch (pair.measure) {
  case Measure::jaro:
    return jaro(a, b);
  case Measure::levenshtein:
    return static_cast<double>(levenshtein(a, b, limit_of(pair)));
  case Measure::damerau:
    return static_cast<double>(damerau_levenshtein(a, b, limit_of(pair)));
  case Measure::alignment:
    return static_cast<double>(optimal_alignment(a, b, limit_of(pair)));
  case Measure::jaccard:
    return jaccard(a, b);
  default:
    return static_cast<double>(qgram_distance(a, b));
  }
}

double Evaluator::of_numbers(const Pair &pair, Place left, Place right) const {
  const double a = records_.number(pair.left, left), b = records_.number(pair.right, right);
  if (pair.measure == Measure::difference)
    return a - b;
  const double distance = std::abs(a - b);
  return pair.measure == Measure::distance ? distance : distance / std::max(a, b);
}

Comparer::Comparer(const Model &model, const Records &records)
    : records_(records), evaluator_(model, records) {
  const auto width = model.comparisons.size();
  auto all = std::make_shared<LargeArray<Code>>(records.size() * width);
  Patience patience;
  for (std::size_t c = 0; c < width; ++c) {
    auto &of = compared_.emplace_back();
    of.comparison = &model.comparisons[c];
    of.cache.resize(std::size_t{1} << kCacheBits);
    see_shortcuts(model, of);
    const auto &features = of.comparison->features;
    PairCodes together;
    for (Place record = 0; record < records.size(); ++record) {
      patience.step();
      Code value = features.empty() ? 0 : records.code(features[0], record);
      for (std::size_t f = 1; f < features.size(); ++f)
        value = together.code(value, records.code(features[f], record), static_cast<Code>(f));
      (*all)[record * width + c] = value;
    }
  }
  values_ = std::move(all);
}

void Comparer::see_shortcuts(const Model &model, Compared &of) const {
  const auto &levels = of.comparison->levels;
  if (of.comparison->features.size() != 1 || levels.size() < 3 || !levels[0].is_null)
    return;
  const auto test = [&](int number) -> const Test & { return model.tests[static_cast<std::size_t>(number)]; };
  const Test &null = test(levels[0].test);
  of.null_first = null.kind == Test::Kind::any && null.parts.size() == 2 &&
                  test(null.parts[0]).kind == Test::Kind::unknown &&
                  test(null.parts[1]).kind == Test::Kind::unknown &&
                  test(null.parts[0]).left != test(null.parts[1]).left;
  const Test &equal = test(levels[1].test);
  of.equal_next = of.null_first && !levels[1].is_null && equal.kind == Test::Kind::measure &&
                  equal.sign == Sign::at_least &&
                  model.pairs[static_cast<std::size_t>(equal.pair)].measure == Measure::equal;
  of.equal_gamma = static_cast<std::int8_t>(of.comparison->others() - 1);
  of.else_next = of.equal_next && levels.size() == 3 && test(levels[2].test).kind == Test::Kind::always;
}

int Comparer::decide(const Compared &of, Place left, Place right) {
  int gamma = of.comparison->others();
  for (const auto &level : of.comparison->levels) {
    gamma -= !level.is_null;
    if (evaluator_.test(level.test, left, right) == 1)
      return level.is_null ? -1 : gamma;
  }
  return 0; // without an ELSE: the last level, as nothing else is left
}

std::size_t Comparer::bytes() const {
  return values_->capacity() * sizeof(Code) + compared_.size() * (std::size_t{8} << kCacheBits);
}

} // namespace cdp::core::match
