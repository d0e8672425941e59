#include "match_blocking.hpp"
#include "match_wanted.hpp"
#include "radix.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <numeric>

namespace cdp::core::match {

namespace {

/// Numbers the keys of sorted entries anew, densely; returns the largest.
template <class Entries> std::uint64_t number_anew(Entries &entries, int low_bits) {
  std::uint64_t number = 0, before = entries.empty() ? 0 : entries[0].key >> low_bits;
  const std::uint64_t low = (std::uint64_t{1} << low_bits) - 1;
  for (auto &entry : entries) {
    number += entry.key >> low_bits != before;
    before = entry.key >> low_bits;
    entry.key = number << low_bits | (entry.key & low);
  }
  return number;
}

} // namespace

Blocking::Blocking(const Model &model, const Records &records, Link link, Evaluator &evaluator)
    : model_(model), records_(records), link_(link), evaluator_(evaluator), masks_(model.rules.size()),
      blocks_(model.rules.size()), groups_(model.features.size()) {
  lay_out_values();
}

void Blocking::lay_out_values() {
  std::vector<int> features;
  for (std::size_t r = 0; r < model_.rules.size(); ++r) {
    const Rule &rule = model_.rules[r];
    if (!rule.symmetric() || !rule.tests.empty())
      continue;
    Mask mask = 0;
    bool fits = true;
    for (const auto &key : rule.keys) {
      auto found = std::find(features.begin(), features.end(), key.left);
      fits = fits && (found != features.end() || features.size() < 64);
      if (!fits)
        break;
      if (found == features.end())
        found = features.insert(features.end(), key.left);
      mask |= Mask{1} << (found - features.begin());
    }
    masks_[r] = fits ? mask : 0;
  }
  width_ = features.size();
  values_.resize(records_.size() * width_);
  for (std::size_t first = 0, next; first < records_.size();
       first = next) { // some at a time, near each other
    need_wanted();
    next = std::min(first + 1024, records_.size());
    for (std::size_t f = 0; f < width_; ++f) {
      const auto &codes = records_.codes(features[f]);
      for (auto record = first; record < next; ++record)
        values_[record * width_ + f] = codes[record];
    }
  }
}

Blocking::Mask Blocking::equal_values(Place left, Place right) const {
  const Code *l = values_.data() + left * width_, *r = values_.data() + right * width_;
  Mask equal = 0;
  for (std::size_t f = 0; f < width_; ++f)
    equal |= static_cast<Mask>((l[f] == r[f]) & (l[f] != 0)) << f;
  return equal;
}

const Blocking::Groups &Blocking::groups(int feature) const {
  auto &kept = groups_[static_cast<std::size_t>(feature)];
  if (kept)
    return *kept;
  Groups groups;
  const auto &codes = records_.codes(feature);
  std::vector<Code> numbers(records_.dictionary().size());
  Patience patience;
  for (const Code code : codes) {
    patience.step();
    ++numbers[code];
  }
  numbers[0] = 0;
  for (auto &number : numbers) {
    patience.step();
    number = number > 1 ? ++groups.number : 0;
  }
  groups.of_records.resize(codes.size());
  for (std::size_t i = 0; i < codes.size(); ++i, patience.step())
    groups.of_records[i] = numbers[codes[i]];
  kept = std::move(groups);
  return *kept;
}

/// Records that share each of the keys with some other, by all keys. Both sides are alike.
void Blocking::sort_by_groups(const Rule &rule) const {
  std::vector<const Groups *> keys;
  for (const auto &key : rule.keys)
    keys.push_back(&groups(key.left));
  entries_.resize(records_.size()); // no more than these
  std::size_t kept = 0;
  const auto *first = keys[0]->of_records.data(), *second = keys[keys.size() > 1]->of_records.data();
  Patience patience;
  for (Place record = 0; record < records_.size(); ++record, patience.step()) {
    entries_[kept] = {first[record], record};
    kept += (first[record] != 0) & (second[record] != 0);
  }
  entries_.resize(kept);
  std::uint64_t largest = keys[0]->number;
  for (std::size_t k = 1; k < keys.size(); ++k) {
    const std::uint64_t number = keys[k]->number;
    if (largest >> 31) {
      sort_by_key(entries_, other_, largest);
      largest = number_anew(entries_, 0);
    }
    kept = 0;
    for (const auto &entry : entries_) {
      patience.step();
      const auto group = keys[k]->of_records[entry.record];
      entries_[kept] = {entry.key * (number + 1) + group, entry.record};
      kept += group != 0;
    }
    entries_.resize(kept);
    largest = largest * (number + 1) + number;
  }
  sort_by_key(entries_, other_, largest);
  for (auto &entry : entries_) // as sides have it
    entry.key <<= 1;
}

/// Records that have all keys of the rule on either side, and some other has on the other side; by these,
/// those on the left first.
void Blocking::sort_by_sides(const Rule &rule) const {
  std::vector<std::vector<bool>> there; // codes: of a key, on the left and on the right
  Patience patience;
  for (const auto &key : rule.keys)
    for (const int feature : {key.left, key.right}) {
      auto &of = there.emplace_back(records_.dictionary().size());
      for (const Code code : records_.codes(feature)) {
        patience.step();
        of[code] = true;
      }
      of[0] = false;
    }
  entries_.clear();
  for (Place record = 0; record < records_.size(); ++record, patience.step())
    for (std::size_t side = 0; side < 2; ++side) {
      bool kept = true;
      for (std::size_t k = 0; k < rule.keys.size() && kept; ++k)
        kept = there[2 * k + 1 - side][records_.code(side ? rule.keys[k].right : rule.keys[k].left, record)];
      if (kept)
        entries_.push_back({side, record});
    }
  const std::uint64_t codes = records_.dictionary().size();
  std::uint64_t largest = 0; // of what the keys so far came to
  for (const auto &key : rule.keys) {
    for (auto &entry : entries_) {
      patience.step();
      const auto side = entry.key & 1;
      entry.key =
          ((entry.key >> 1) * codes + records_.code(side ? key.right : key.left, entry.record)) << 1 | side;
    }
    sort_by_key(entries_, other_, ((largest + 1) * codes) << 1 | 1);
    if (&key != &rule.keys.back())
      largest = number_anew(entries_, 1);
  }
}

/// Of records on the left and on the right, in order: those of which the left comes first.
std::uint64_t Blocking::pairs_of(const Entry *left, const Entry *left_end, const Entry *right,
                                 const Entry *end) const {
  std::unordered_map<Code, std::uint64_t> of_source; // of what is left on the right
  std::uint64_t pairs = 0, rest = static_cast<std::uint64_t>(end - right);
  if (link_ == Link::sources)
    for (const auto *member = right; member < end; ++member)
      ++of_source[records_.source(member->record)];
  for (; left < left_end; ++left) {
    for (; right < end && right->record <= left->record; ++right, --rest)
      if (link_ == Link::sources)
        --of_source[records_.source(right->record)];
    pairs += rest;
    if (link_ == Link::sources)
      if (const auto same = of_source.find(records_.source(left->record)); same != of_source.end())
        pairs -= same->second;
  }
  return pairs;
}

void Blocking::add_block(Blocks &blocks, const Entry *first, const Entry *end, bool sides) const {
  if (end - first < 2)
    return;
  const auto *middle = first;
  while (sides && middle < end && !(middle->key & 1))
    ++middle;
  const auto members = static_cast<std::uint64_t>(end - (sides ? middle : first));
  const auto pairs = !sides && link_ != Link::sources
                         ? members * (members - 1) / 2
                         : pairs_of(first, sides ? middle : end, sides ? middle : first, end);
  if (pairs == 0)
    return;
  for (const auto *member = first; member < end; ++member) {
    if (sides && member == middle)
      blocks.middles.push_back(static_cast<std::uint32_t>(blocks.members.size()));
    blocks.members.push_back(member->record);
  }
  blocks.ends.push_back(static_cast<std::uint32_t>(blocks.members.size()));
  blocks.size.pairs += pairs;
  if (pairs > blocks.size.largest) {
    blocks.size.largest = pairs;
    blocks.size.example = (sides ? middle : first)->record;
    blocks.size.members = members;
  }
}

Blocking::Blocks Blocking::make_blocks(const Rule &rule) const {
  Blocks blocks;
  const bool sides = !rule.symmetric();
  if (sides)
    sort_by_sides(rule);
  else
    sort_by_groups(rule);
  const auto &entries = entries_;
  Patience patience;
  for (std::size_t first = 0, next; first < entries.size(); first = next) {
    patience.step();
    for (next = first + 1; next < entries.size() && entries[next].key >> 1 == entries[first].key >> 1;)
      ++next;
    add_block(blocks, entries.data() + first, entries.data() + next, sides);
  }
  blocks.members.shrink_to_fit();
  blocks.ends.shrink_to_fit();
  return blocks;
}

const Blocking::Blocks &Blocking::blocks(std::size_t rule) const {
  if (!blocks_[rule])
    blocks_[rule] = make_blocks(model_.rules[rule]);
  return *blocks_[rule];
}

std::uint64_t Blocking::all_pairs() const {
  const std::uint64_t all = records_.size();
  std::uint64_t pairs = all * (all - (all > 0)) / 2;
  if (link_ == Link::sources) {
    std::unordered_map<Code, std::uint64_t> of_source;
    Patience patience;
    for (Place record = 0; record < records_.size(); ++record, patience.step())
      ++of_source[records_.source(record)];
    for (const auto &[source, count] : of_source)
      pairs -= count * (count - 1) / 2;
  }
  return pairs;
}

std::vector<std::size_t> Blocking::within(std::vector<std::size_t> rules, double most_each,
                                          double most_together) const {
  std::erase_if(rules, [&](std::size_t rule) { return static_cast<double>(size(rule).pairs) > most_each; });
  auto by_size = rules;
  std::stable_sort(by_size.begin(), by_size.end(),
                   [&](std::size_t a, std::size_t b) { return size(a).pairs < size(b).pairs; });
  std::vector<std::size_t> chosen;
  const auto contains = [&](std::size_t wide, std::size_t narrow) { // all pairs of narrow are pairs of wide
    return wide != narrow && masks_[wide] && (masks_[wide] & ~masks_[narrow]) == 0;
  };
  for (const auto rule : by_size) {
    chosen.push_back(rule);
    double together = 0;
    for (const auto one : chosen)
      if (std::none_of(chosen.begin(), chosen.end(), [&](std::size_t other) { return contains(other, one); }))
        together += static_cast<double>(size(one).pairs);
    if (together > most_together)
      chosen.pop_back();
  }
  std::erase_if(
      rules, [&](std::size_t rule) { return std::find(chosen.begin(), chosen.end(), rule) == chosen.end(); });
  return rules;
}

std::vector<std::size_t> Blocking::widest(std::vector<std::size_t> rules) const {
  const auto all = rules;
  std::erase_if(rules, [&](std::size_t rule) {
    return std::any_of(all.begin(), all.end(), [&](std::size_t other) {
      const bool wider = masks_[other] && masks_[rule] && (masks_[other] & ~masks_[rule]) == 0;
      return other != rule && wider && (masks_[other] != masks_[rule] || other < rule);
    });
  });
  return rules;
}

bool Blocking::holds(std::size_t rule, Place left, Place right) const {
  for (const auto &key : model_.rules[rule].keys) {
    const Code code = records_.code(key.left, left);
    if (!code || code != records_.code(key.right, right))
      return false;
  }
  const auto &tests = model_.rules[rule].tests;
  return std::all_of(tests.begin(), tests.end(),
                     [&](int test) { return evaluator_.test(test, left, right) == 1; });
}

/// Gives the pairs of one rule that no earlier one gives.
struct Blocking::Giver {
  static constexpr std::size_t kBatch = 4096, kQuiet = 1 << 14; // looked at since something was given

  const Blocking &blocking;
  const Take &take;
  const Part &part;
  std::size_t rule = 0;
  std::vector<Mask> masks;         // of earlier rules
  std::vector<std::size_t> others; // earlier rules that have none
  std::vector<Candidate> batch;
  std::size_t looked_at = 0;
  Patience patience;

  void look_at(Place left, Place right) {
    if (++looked_at > kQuiet || batch.size() == kBatch)
      flush();
    if (!part.has(left, right) || !blocking.wanted(left, right))
      return;
    if (!blocking.model_.rules[rule].tests.empty() && !blocking.holds(rule, left, right))
      return;
    if (!masks.empty()) {
      const Mask equal = blocking.equal_values(left, right);
      for (const Mask mask : masks)
        if ((equal & mask) == mask)
          return;
    }
    for (const auto other : others)
      if (blocking.holds(other, left, right))
        return;
    batch.push_back({left, right, static_cast<std::int32_t>(rule)});
  }
  void flush() {
    take(batch);
    batch.clear();
    looked_at = 0;
  }
  void run(const Blocks &blocks) {
    for (std::size_t b = 0, first = 0; b < blocks.ends.size(); first = blocks.ends[b++]) {
      const auto *members = blocks.members.data();
      const std::size_t end = blocks.ends[b], middle = blocks.middles.empty() ? end : blocks.middles[b];
      for (std::size_t l = first; l < middle; ++l)
        for (std::size_t r = blocks.middles.empty() ? l + 1 : middle; r < end; ++r) {
          patience.step();
          if (members[l] < members[r])
            look_at(members[l], members[r]);
        }
    }
  }
};

void Blocking::each(const std::vector<std::size_t> &rules, const Take &take, const Part &part) {
  Giver giver{*this, take, part, 0, {}, {}, {}, 0, {}};
  for (const auto rule : rules) {
    giver.rule = rule;
    const Mask own = masks_[rule];
    const bool repeats = own && std::any_of(giver.masks.begin(), giver.masks.end(),
                                            [&](Mask mask) { return (mask & ~own) == 0; });
    if (repeats)
      continue; // whoever has these values in common has those of an earlier rule
    giver.run(blocks(rule));
    if (own)
      giver.masks.push_back(own);
    else
      giver.others.push_back(rule);
  }
  giver.flush();
}

} // namespace cdp::core::match
