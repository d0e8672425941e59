#include "pipeline/share.hpp"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <numeric>
#include <set>
#include <string_view>

#include "pg/scan.hpp"
#include "pg/sequence.hpp"

namespace cdp::pipeline {

namespace {

// What lines can have in common. Two whose hashes are equal by accident are of one group, which does no harm.
enum class Common : std::uint64_t { person, message_id, account };

std::uint64_t mix(std::uint64_t hash) {
  hash = (hash ^ (hash >> 30)) * 0xbf58476d1ce4e5b9;
  hash = (hash ^ (hash >> 27)) * 0x94d049bb133111eb;
  return hash ^ (hash >> 31);
}
std::uint64_t hash_of(Common kind, std::uint64_t value) {
  return mix(value * 4 + static_cast<std::uint64_t>(kind));
}
std::uint64_t hash_of(Common kind, std::string_view text) {
  return hash_of(kind, std::hash<std::string_view>()(text));
}

// By the hash of what lines have in common, the first who has it.
class FirstWith {
public:
  explicit FirstWith(std::size_t most) : entries_(std::bit_ceil(2 * most + 1)) {} // so many hashes

  // The first who has it: `number`, unless somebody had it before. Hashes are well mixed.
  std::size_t put(std::uint64_t hash, std::size_t number) {
    const auto last = entries_.size() - 1;
    auto at = hash & last;
    while (entries_[at].is_taken && entries_[at].hash != hash)
      at = (at + 1) & last;
    if (!entries_[at].is_taken)
      entries_[at] = {hash, static_cast<std::uint32_t>(number), true};
    return entries_[at].number;
  }

private:
  struct Entry {
    std::uint64_t hash = 0;
    std::uint32_t number = 0;
    bool is_taken = false;
  };
  std::vector<Entry> entries_; // more than are ever taken, a power of two
};

} // namespace

// Lines and identifiers, by number in this order, that are of one group.
class Sharing::Groups {
public:
  // Of so many; with at most so many hashes of what they have in common.
  Groups(std::size_t size, std::size_t most) : above_(size), first_with_(most) {
    std::iota(above_.begin(), above_.end(), std::size_t{0});
  }

  std::size_t of(std::size_t one) {
    while (above_[one] != one)
      one = above_[one] = above_[above_[one]];
    return one;
  }
  // A group is named by its first line.
  void join(std::size_t one, std::size_t other) {
    one = of(one);
    other = of(other);
    above_[std::max(one, other)] = std::min(one, other);
  }
  // One with all that have what this is the hash of.
  void join_by(std::size_t one, std::uint64_t hash) { join(one, first_with_.put(hash, one)); }

private:
  std::vector<std::size_t> above_;
  FirstWith first_with_;
};

Sharing::Sharing(std::vector<collect::Incoming> &lines) {
  read_outlines(lines);
  met_at_ = pg::transactions_ended();
  std::vector<std::size_t> all(identities_.size());
  std::iota(all.begin(), all.end(), std::size_t{0});
  identities_.meet(all);
  reserve_ids(lines);
  find_groups(lines.size());
}

Sharing::~Sharing() = default;

void Sharing::read_outlines(const std::vector<collect::Incoming> &lines) {
  const collect::Sources sources(lines);
  const auto now = GetCurrentTimestamp();
  outlines_.reserve(lines.size());
  named_.reserve(3 * lines.size());
  identities_.expect(lines.size());
  std::vector<std::size_t> others;
  core::Outline outline;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const auto first = named_.size();
    if (collect::read_outline(lines[i], *sources.of(lines[i].source).rules, now, outline) &&
        identities_.read(outline, named_))
      note(i, first, outline.type, outline.message_id, outline.group_id);
    else
      others.push_back(i);
  }
  if (others.empty())
    return;
  read_wholly(lines, others, sources);
  std::stable_sort(outlines_.begin(), outlines_.end(),
                   [](const Outline &a, const Outline &b) { return a.line < b.line; });
}

// A few lines after the other, whose memory is at hand still when they are left.
void Sharing::read_wholly(const std::vector<collect::Incoming> &lines, std::span<const std::size_t> which,
                          const collect::Sources &sources) {
  constexpr std::size_t kTogether = 1000;
  for (std::size_t from = 0, read = 0; from < which.size(); from += kTogether) {
    const auto together = which.subspan(from, std::min(kTogether, which.size() - from));
    auto candidates = collect::read_outlines(lines, together, sources);
    identities_.read(candidates);
    for (const auto &candidate : candidates) {
      const auto first = named_.size();
      const auto &identifiers = identities_.of(read++).identifiers;
      named_.insert(named_.end(), identifiers.begin(), identifiers.end());
      const auto &message = candidate.message;
      note(candidate.incoming, first, message.type, message.message_id, message.group_id);
    }
  }
}

void Sharing::note(std::size_t line, std::size_t first, core::MessageType type, std::string_view message_id,
                   std::string_view group_id) {
  const bool is_group = type == core::MessageType::group;
  outlines_.push_back({line, first, named_.size(),
                       message_id.empty() ? 0 : hash_of(Common::message_id, message_id),
                       is_group ? hash_of(Common::account, group_id) : 0});
  names_content_ = names_content_ || message_id.starts_with(collect::kContentId);
}

// As many ids for each line as it has identifiers that are not stored: it may come to name them first.
void Sharing::reserve_ids(std::vector<collect::Incoming> &lines) const {
  std::vector<std::size_t> line_of;
  for (const auto &outline : outlines_)
    for (auto index : named_by(outline))
      if (!identities_.is_stored(index))
        line_of.push_back(outline.line);
  const auto ids = pg::next_values("cdp", "identifiers_identifier_id_seq", line_of.size());
  for (std::size_t i = 0; i < ids.size(); ++i)
    lines[line_of[i]].reserved.push_back(ids[i]);
}

void Sharing::find_groups(std::size_t lines) {
  const auto accounts = std::count_if(outlines_.begin(), outlines_.end(),
                                      [](const Outline &outline) { return outline.account != 0; });
  // An identifier has a person, and as a device somebody who is on it; both may be others a second time.
  const auto most = outlines_.size() + static_cast<std::size_t>(accounts) + 4 * identities_.size();
  groups_ = std::make_unique<Groups>(lines + identities_.size(), most);
  for (const auto &outline : outlines_) {
    if (named_by(outline).empty())
      continue;
    for (auto index : named_by(outline))
      groups_->join(outline.line, lines + index);
    for (auto hash : {outline.message_id, outline.account})
      if (hash != 0)
        groups_->join_by(outline.line, hash);
  }
  for (std::size_t index = 0; index < identities_.size(); ++index)
    join_people(lines, index);
  for (std::size_t line = 1; names_content_ && line < lines; ++line) // which one, no outline tells
    groups_->join(0, line);
}

void Sharing::join_people(std::size_t lines, std::size_t index) {
  for (auto person : identities_.people_met(index))
    groups_->join_by(lines + index, hash_of(Common::person, static_cast<std::uint64_t>(person)));
}

// What has changed since people were read: what was in other hands; all, when others have changed something.
// Who were of one group stay so, which does no harm.
void Sharing::meet_again(std::size_t lines, const InOtherHands &theirs) {
  const auto ended = pg::transactions_ended() - met_at_;
  if (ended == 0)
    return;
  std::vector<std::size_t> changed;
  for (std::size_t index = 0; index < identities_.size(); ++index) {
    const auto people = identities_.people_met(index);
    if (ended > theirs.parts || theirs.identifiers.contains(identities_.name_hash(index)) ||
        std::any_of(people.begin(), people.end(), [&](auto id) { return theirs.people.contains(id); }))
      changed.push_back(index);
  }
  identities_.meet(changed);
  for (auto index : changed)
    join_people(lines, index);
}

void Sharing::note_seen(std::vector<collect::Incoming> &lines) const {
  std::vector<std::uint64_t> seen(identities_.size());
  for (std::size_t index = 0; index < seen.size(); ++index)
    seen[index] = identities_.seen(index);
  for (const auto &outline : outlines_) {
    const auto named = named_by(outline);
    if (named.empty())
      continue;
    auto &line = lines[outline.line];
    line.numbers.push_back(0);
    line.seen.reserve(line.seen.size() + named.size());
    for (auto index : named)
      line.seen.push_back(seen[index]);
  }
}

// Where a group has several people, a line may join them, and all that is theirs.
InOtherHands Sharing::given(const std::vector<std::size_t> &part_of) {
  InOtherHands given;
  std::set others(part_of.begin(), part_of.end());
  others.erase(0);
  given.parts = others.size();
  std::vector<std::int64_t> first(part_of.size());
  std::vector<bool> several(part_of.size());
  const auto each = [&](const auto &visit) {
    for (std::size_t index = 0; index < identities_.size(); ++index)
      if (const auto group = groups_->of(part_of.size() + index);
          group < part_of.size() && part_of[group] > 0)
        visit(index, group);
  };
  each([&](std::size_t index, std::size_t group) {
    given.identifiers.insert(identities_.name_hash(index));
    for (auto person : identities_.people_met(index)) {
      several[group] = several[group] || (first[group] != 0 && first[group] != person);
      first[group] = person;
    }
  });
  each([&](std::size_t index, std::size_t group) {
    if (several[group])
      for (auto person : identities_.people_met(index))
        given.people.insert(person);
  });
  return given;
}

void reserve_numbers(std::vector<collect::Incoming> &lines) {
  std::size_t count = 0;
  for (const auto &line : lines)
    count += line.numbers.size();
  pg::have_transaction_id();
  const auto drawn = pg::next_values("cdp", "decision_seq", count);
  std::size_t next = 0;
  for (auto &line : lines) {
    for (auto &number : line.numbers)
      number = drawn[next++];
    line.last_number = drawn.empty() ? 0 : drawn.back();
  }
}

// Large groups first, each to the part that is furthest from its share.
std::vector<std::size_t> Sharing::share_out(std::vector<collect::Incoming> &lines,
                                            const std::vector<double> &weights, InOtherHands &theirs) {
  meet_again(lines.size(), theirs);
  std::vector<std::size_t> size(lines.size()), order;
  for (std::size_t line = 0; line < lines.size(); ++line)
    ++size[groups_->of(line)];
  for (std::size_t line = 0; line < lines.size(); ++line)
    if (size[line] > 0)
      order.push_back(line);
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return size[a] > size[b]; });

  std::vector<double> filled(weights.size());
  std::vector<std::size_t> part(lines.size());
  for (auto group : order) {
    const auto place = std::min_element(filled.begin(), filled.end()) - filled.begin();
    part[group] = static_cast<std::size_t>(place);
    filled[part[group]] += static_cast<double>(size[group]) / weights[part[group]];
  }
  for (std::size_t line = 0; line < lines.size(); ++line)
    part[line] = part[groups_->of(line)];
  note_seen(lines);
  theirs = given(part);
  return part;
}

} // namespace cdp::pipeline
