#include "match_compare.hpp"
#include "match_wanted.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace cdp::core::match {

namespace {

std::size_t limit_of(const Pair &pair) {
  return pair.limit < 0 ? 0 : pair.limit > 1000 ? kNoLimit : static_cast<std::size_t>(pair.limit);
}

double of_numbers(Measure measure, double a, double b) {
  if (measure == Measure::difference)
    return a - b;
  const double distance = std::abs(a - b);
  return measure == Measure::distance ? distance : distance / std::max(a, b);
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

/// A bit of 64 for each element: lists without a bit in common have no element in common.
std::uint64_t bits_of(const std::vector<Code> &elements) {
  std::uint64_t bits = 0;
  for (const Code code : elements)
    bits |= std::uint64_t{1} << (code * 0x9E3779B97F4A7C15u >> 58);
  return bits;
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
  if (pair.measure >= Measure::difference)
    return stands(
        of_numbers(pair.measure, records_.number(pair.left, left), records_.number(pair.right, right)),
        test.sign, test.bound);
  return stands(measure(test.pair, l, r), test.sign, test.bound);
}

double Evaluator::measure(int number, Code left, Code right) {
  Measured &kept = measured_[static_cast<std::size_t>(number)];
  if (kept.left != left || kept.right != right) {
    kept.value = of_texts(model_.pairs[static_cast<std::size_t>(number)], kept, left, right);
    kept.left = left;
    kept.right = right;
  }
  return kept.value;
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

/// Where in a row what is: of features their values, and of numbers these, too.
struct Comparer::Layout {
  struct Column {
    int feature;
    bool is_text, is_list; // that is measured
  };
  std::vector<Column> values;
  std::vector<int> numbers;

  int value(int feature, bool is_text, bool is_list) {
    for (std::size_t i = 0; i < values.size(); ++i)
      if (values[i].feature == feature) {
        values[i].is_text |= is_text;
        values[i].is_list |= is_list;
        return static_cast<int>(i);
      }
    values.push_back({feature, is_text, is_list});
    return static_cast<int>(values.size()) - 1;
  }
  int number(int feature) {
    auto found = std::find(numbers.begin(), numbers.end(), feature);
    if (found == numbers.end())
      found = numbers.insert(numbers.end(), feature);
    return static_cast<int>(found - numbers.begin());
  }
  std::size_t number_at(std::size_t number) const { return (values.size() + 1) / 2 * 2 + number * 2; }
};

Comparer::Comparer(const Model &model, const Records &records)
    : records_(records), evaluator_(model, records) {
  for (const auto &pair : model.pairs)
    measures_.push_back({pair.measure, limit_of(pair), -1, {}, {}});
  for (const auto &test : model.tests)
    if (test.kind == Test::Kind::measure) {
      auto &least = measures_[static_cast<std::size_t>(test.pair)].least;
      const bool is_floor = test.sign == Sign::at_least || test.sign == Sign::more;
      least = !is_floor || least == -2 ? -2 : least == -1 ? test.bound : std::min(least, test.bound);
    }
  Layout layout;
  for (const auto &comparison : model.comparisons) {
    const auto base = static_cast<int>(turns_.size());
    firsts_.push_back(base);
    const auto steps = steps_of(model, comparison);
    const auto target = [&](int step) {
      const auto &to = steps[static_cast<std::size_t>(step)];
      return to.kind == Step::Kind::end ? -2 - to.yes : base + step;
    };
    for (const auto &step : steps) {
      Turn turn{step.kind, step.sign, step.right, step.wanted, 0, 0, 0, 0, step.pair, 0, 0, step.bound};
      const bool is_text = step.pair >= 0 && step.kind != Step::Kind::apart;
      const bool is_list =
          is_text && measures_[static_cast<std::size_t>(step.pair)].measure == Measure::common_elements;
      if (step.a >= 0)
        turn.a = turn.b = static_cast<std::uint16_t>(layout.value(step.a, is_text, is_list));
      if (step.b >= 0)
        turn.b = static_cast<std::uint16_t>(layout.value(step.b, is_text, is_list));
      if (step.kind == Step::Kind::apart) {
        turn.number_a = static_cast<std::uint16_t>(layout.number(step.a));
        turn.number_b = static_cast<std::uint16_t>(layout.number(step.b));
      } else if (is_text &&
                 std::find(texts_.begin(), texts_.end(), std::pair(turn.a, turn.b)) == texts_.end()) {
        texts_.emplace_back(turn.a, turn.b);
      }
      turn.yes = step.kind == Step::Kind::end ? -2 - step.yes : target(step.yes);
      turn.no = step.kind == Step::Kind::end ? turn.yes : target(step.no);
      turns_.push_back(turn);
    }
  }
  for (auto &turn : turns_)
    if (turn.kind == Step::Kind::apart) {
      turn.number_a = static_cast<std::uint16_t>(layout.number_at(turn.number_a));
      turn.number_b = static_cast<std::uint16_t>(layout.number_at(turn.number_b));
    }
  fill(layout);
}

/// Values are numbered anew as they come, those of texts that are measured first and from 1 on.
void Comparer::fill(const Layout &layout) {
  width_ = layout.number_at(layout.numbers.size());
  width_ = width_ <= 2 ? 2 : width_ <= 4 ? 4 : width_ <= 8 ? 8 : (width_ + kLine - 1) / kLine * kLine;
  auto rows = std::make_shared<RoughArray<Code>>(records_.size() * width_ + kLine);
  std::vector<Code> numbers(records_.dictionary().size()), texts;
  Code last = 0;
  Patience patience;
  auto lists = std::make_shared<std::vector<std::uint64_t>>(1);
  for (const bool of_lists : {true, false}) // then other texts that are measured
    for (const auto &column : layout.values) {
      if (column.is_list != of_lists || !(column.is_list || column.is_text))
        continue;
      for (const Code code : records_.codes(column.feature)) {
        patience.step();
        if (code == 0 || numbers[code] != 0)
          continue;
        numbers[code] = ++last;
        texts.push_back(code);
        if (of_lists)
          lists->push_back(bits_of(records_.elements(code)));
      }
    }
  for (std::size_t first = 0, next; first < records_.size();
       first = next) { // some at a time, near each other
    need_wanted();
    next = std::min(first + 1024, records_.size());
    for (std::size_t column = 0; column < layout.values.size(); ++column) {
      const auto &codes = records_.codes(layout.values[column].feature);
      for (auto record = first; record < next; ++record) {
        const Code code = codes[record];
        if (code != 0 && numbers[code] == 0)
          numbers[code] = ++last; // of what is not measured
        (*rows)[record * width_ + column] = numbers[code];
      }
    }
    for (std::size_t i = 0; i < layout.numbers.size(); ++i)
      for (auto record = first; record < next; ++record) {
        const double number = records_.number(layout.numbers[i], record);
        std::memcpy(rows->data() + record * width_ + layout.number_at(i), &number, sizeof number);
      }
  }
  auto shorts = std::make_shared<RoughArray<ShortText>>();
  shorts->reserve(texts.size() + 1);
  shorts->emplace_back();
  Alphabet alphabet;
  for (const Code code : texts) {
    patience.step();
    shorts->push_back(alphabet.shortened(records_.text(code), code));
  }
  true_ = evaluator_.true_code() ? numbers[evaluator_.true_code()] : 0;
  lists_ = std::move(lists);
  rows_ = std::move(rows);
  shorts_ = std::move(shorts);
}

void Comparer::compare(Place left, Place right, std::int8_t *gammas) {
  const Code *l = row(left), *r = row(right);
  for (const int first : firsts_)
    *gammas++ = level(first, l, r);
}

void Comparer::compare_all(const Candidate *pairs, std::size_t number, std::int8_t *gammas) {
  constexpr std::size_t kNear = 4, kFar = 12;
  for (std::size_t i = 0; i < number; ++i, gammas += firsts_.size()) {
    const auto &far = pairs[std::min(i + kFar, number - 1)], &near = pairs[std::min(i + kNear, number - 1)];
    expect_row(far.left);
    expect_row(far.right);
    expect_texts(row(near.left), row(near.right));
    compare(pairs[i].left, pairs[i].right, gammas);
  }
}

std::int8_t Comparer::level(int at, const Code *left, const Code *right) {
  while (at >= 0) {
    const Turn &turn = turns_[static_cast<std::size_t>(at)];
    at = holds(turn, left, right) ? turn.yes : turn.no;
  }
  return static_cast<std::int8_t>(-2 - at);
}

inline bool Comparer::holds(const Turn &turn, const Code *left, const Code *right) {
  const Code l = left[turn.a], r = right[turn.b];
  switch (turn.kind) {
  case Step::Kind::unknown:
    return (turn.right ? r : l) == 0;
  case Step::Kind::truth: {
    const Code value = turn.right ? r : l;
    return value != 0 && (value == true_) == turn.wanted;
  }
  case Step::Kind::equal:
    return l == r && l != 0;
  case Step::Kind::unequal:
    return l != r && l != 0 && r != 0;
  case Step::Kind::reaches:
    return l != 0 && r != 0 && measured(turn.pair, l, r) >= turn.bound;
  case Step::Kind::within:
    return l != 0 && r != 0 && measured(turn.pair, l, r) <= turn.bound;
  case Step::Kind::measured:
    return l != 0 && r != 0 && stands(measured(turn.pair, l, r), turn.sign, turn.bound);
  case Step::Kind::apart: {
    if (l == 0 || r == 0)
      return false;
    double a, b;
    std::memcpy(&a, left + turn.number_a, sizeof a);
    std::memcpy(&b, right + turn.number_b, sizeof b);
    const auto measure = measures_[static_cast<std::size_t>(turn.pair)].measure;
    return stands(of_numbers(measure, a, b), turn.sign, turn.bound) == turn.wanted;
  }
  case Step::Kind::end:
    break;
  }
  return true;
}

/// The same pair of values is often asked about several times in a row.
double Comparer::measured(int pair, Code left, Code right) {
  Measuring &by = measures_[static_cast<std::size_t>(pair)];
  if (by.last.left == left && by.last.right == right)
    return by.last.value;
  const ShortText &a = (*shorts_)[left], &b = (*shorts_)[right];
  double value;
  if (by.measure == Measure::common_elements && ((*lists_)[left] & (*lists_)[right]) == 0)
    value = 0;
  else if (!a.is_short() || !b.is_short())
    value = slowly(pair, left, right);
  else if (by.measure == Measure::jaro_winkler)
    value = jaro_winkler(a, b, by.least);
  else if (by.measure == Measure::damerau)
    value = static_cast<double>(damerau_levenshtein(a, b, by.limit));
  else if (by.measure == Measure::levenshtein)
    value = static_cast<double>(levenshtein(a, b, by.limit));
  else if (by.measure == Measure::alignment)
    value = static_cast<double>(optimal_alignment(a, b, by.limit));
  else
    value = slowly(pair, left, right);
  by.last = {left, right, value};
  return value;
}

double Comparer::slowly(int pair, Code left, Code right) {
  constexpr int kBits = 12;
  Measuring &by = measures_[static_cast<std::size_t>(pair)];
  if (by.cache.empty())
    by.cache.resize(std::size_t{1} << kBits);
  const std::uint64_t key = static_cast<std::uint64_t>(left) << 32 | right;
  Measured &kept = by.cache[(key * 0x9E3779B97F4A7C15u) >> (64 - kBits)];
  if (kept.left != left || kept.right != right) {
    const Code l = (*shorts_)[left].code, r = (*shorts_)[right].code;
    patience_.step(1 + records_.text(l).size() * records_.text(r).size() / 64);
    kept = {left, right, evaluator_.measure(pair, l, r)};
  }
  return kept.value;
}

std::size_t Comparer::bytes() const {
  return rows_->capacity() * sizeof(Code) + shorts_->capacity() * sizeof(ShortText);
}

} // namespace cdp::core::match
