#include "match_compare.hpp"

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
  values_.resize(records.size() * width);
  for (std::size_t c = 0; c < width; ++c) {
    auto &of = compared_.emplace_back();
    of.comparison = &model.comparisons[c];
    of.cache.resize(std::size_t{1} << kCacheBits);
    see_shortcuts(model, of);
    const auto &features = of.comparison->features;
    Composite composite;
    std::vector<Code> values(features.size());
    for (Place record = 0; record < records.size(); ++record) {
      for (std::size_t f = 0; f < values.size(); ++f)
        values[f] = records.code(features[f], record);
      values_[record * width + c] = values.size() == 1 ? values[0] : composite.code(values);
    }
  }
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
  return values_.capacity() * sizeof(Code) + compared_.size() * (std::size_t{8} << kCacheBits);
}

Blocking::Blocking(const Model &model, const Records &records, Link link, Evaluator &evaluator)
    : model_(model), records_(records), link_(link), evaluator_(evaluator) {
  keyed_.reserve(model.rules.size());
  for (const auto &rule : model.rules)
    key(rule, keyed_.emplace_back());
}

/// A key a record and side, and the records of each key on the right, in order.
void Blocking::key(const Rule &rule, Keyed &keyed) {
  const auto count = records_.size();
  if (rule.keys.size() == 1) {
    keyed.left = &records_.codes(rule.keys[0].left);
    keyed.right = &records_.codes(rule.keys[0].right);
    keyed.keys = static_cast<Code>(records_.dictionary().size());
  } else {
    Composite composite;
    std::vector<Code> values(rule.keys.size());
    const auto keys_of = [&](std::vector<Code> &own, bool left) {
      own.reserve(count);
      for (Place record = 0; record < count; ++record) {
        bool known = true;
        for (std::size_t k = 0; k < values.size(); ++k) {
          values[k] = records_.code(left ? rule.keys[k].left : rule.keys[k].right, record);
          known = known && values[k];
        }
        own.push_back(known ? composite.code(values) : 0);
      }
    };
    keys_of(keyed.own_right, false);
    if (!rule.symmetric())
      keys_of(keyed.own_left, true);
    keyed.right = &keyed.own_right;
    keyed.left = rule.symmetric() ? &keyed.own_right : &keyed.own_left;
    keyed.keys = static_cast<Code>(composite.size());
  }
  keyed.starts.assign(std::size_t{keyed.keys} + 1, 0);
  for (const Code code : *keyed.right)
    ++keyed.starts[code ? std::size_t{code} + 1 : 0]; // those without a key stand nowhere
  keyed.starts[0] = 0;
  for (std::size_t k = 1; k < keyed.starts.size(); ++k)
    keyed.starts[k] += keyed.starts[k - 1];
  keyed.members.resize(keyed.starts.back());
  auto next = keyed.starts;
  for (Place record = 0; record < count; ++record)
    if (const Code code = (*keyed.right)[record])
      keyed.members[next[code]++] = record;
}

/// Of records on the left and on the right, in order: those of which the left comes first.
std::uint64_t Blocking::pairs_of(const std::vector<Place> &left, const Place *right, const Place *end) const {
  std::unordered_map<Code, std::uint64_t> of_source; // of what is left on the right
  std::uint64_t pairs = 0, rest = static_cast<std::uint64_t>(end - right);
  if (link_ == Link::sources)
    for (const auto *member = right; member < end; ++member)
      ++of_source[records_.source(*member)];
  for (const Place l : left) {
    for (; right < end && *right <= l; ++right, --rest)
      if (link_ == Link::sources)
        --of_source[records_.source(*right)];
    pairs += rest;
    if (link_ == Link::sources)
      if (const auto same = of_source.find(records_.source(l)); same != of_source.end())
        pairs -= same->second;
  }
  return pairs;
}

Blocking::Size Blocking::size(std::size_t rule) const {
  const Keyed &keyed = keyed_[rule];
  Size size;
  std::vector<std::vector<Place>> lefts;
  if (keyed.left != keyed.right) {
    lefts.resize(keyed.keys);
    for (Place record = 0; record < records_.size(); ++record)
      if (const Code code = (*keyed.left)[record])
        lefts[code].push_back(record);
  }
  std::vector<Place> same;
  for (Code code = 1; code < keyed.keys; ++code) {
    const auto *first = keyed.members.data() + keyed.starts[code],
               *end = keyed.members.data() + keyed.starts[code + 1];
    if (first == end)
      continue;
    if (keyed.left == keyed.right)
      same.assign(first, end);
    const auto pairs = pairs_of(keyed.left == keyed.right ? same : lefts[code], first, end);
    size.pairs += pairs;
    if (pairs > size.largest)
      size = {size.pairs, pairs, *first, static_cast<std::uint64_t>(end - first)};
  }
  return size;
}

std::uint64_t Blocking::all_pairs() const {
  const std::uint64_t all = records_.size();
  std::uint64_t pairs = all * (all - (all > 0)) / 2;
  if (link_ == Link::sources) {
    std::unordered_map<Code, std::uint64_t> of_source;
    for (Place record = 0; record < records_.size(); ++record)
      ++of_source[records_.source(record)];
    for (const auto &[source, count] : of_source)
      pairs -= count * (count - 1) / 2;
  }
  return pairs;
}

bool Blocking::holds(std::size_t rule, Place left, Place right) {
  const Keyed &keyed = keyed_[rule];
  const Code key = (*keyed.left)[left];
  if (!key || key != (*keyed.right)[right])
    return false;
  const auto &tests = model_.rules[rule].tests;
  return std::all_of(tests.begin(), tests.end(),
                     [&](int test) { return evaluator_.test(test, left, right) == 1; });
}

void Blocking::each(const std::vector<std::size_t> &rules, const Take &take, const Part &part) {
  constexpr std::size_t kBatch = 4096, kQuiet = 1 << 20; // looked at since something was given
  std::vector<Candidate> batch;
  std::size_t looked_at = 0;
  for (std::size_t k = 0; k < rules.size(); ++k) {
    const Keyed &keyed = keyed_[rules[k]];
    const bool plain = model_.rules[rules[k]].tests.empty();
    for (Place left = 0; left < records_.size(); ++left) {
      const Code code = (*keyed.left)[left];
      if (!code)
        continue;
      const auto *end = keyed.members.data() + keyed.starts[code + 1];
      const auto *member = std::upper_bound(keyed.members.data() + keyed.starts[code], end, left);
      for (; member < end; ++member) {
        if (++looked_at > kQuiet || batch.size() == kBatch) {
          take(batch);
          batch.clear();
          looked_at = 0;
        }
        if (!part.has(left, *member) || !wanted(left, *member) || (!plain && !holds(rules[k], left, *member)))
          continue;
        bool earlier = false;
        for (std::size_t e = 0; e < k && !earlier; ++e)
          earlier = holds(rules[e], left, *member);
        if (!earlier)
          batch.push_back({left, *member, static_cast<std::int32_t>(rules[k])});
      }
    }
  }
  take(batch);
}

} // namespace cdp::core::match
