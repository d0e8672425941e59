#include "pipeline/share.hpp"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <numeric>
#include <string_view>

#include "pg/sequence.hpp"

namespace cdp::pipeline {

namespace {

// What lines can have in common. Two whose hashes are equal by accident are of one group, which does no harm.
enum class Common : std::uint64_t { identifier, person, message_id, account };

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

// A few lines after the other, whose memory is at hand still when they are left.
Sharing::Sharing(const std::vector<collect::Incoming> &lines) {
  constexpr std::size_t kTogether = 1000;
  const collect::Sources sources(lines);
  outlines_.reserve(lines.size());
  for (std::size_t from = 0; from < lines.size(); from += kTogether) {
    auto candidates = collect::read_outlines(lines, from, std::min(from + kTogether, lines.size()), sources);
    identities_.read(candidates);
    for (const auto &candidate : candidates) {
      const auto &message = candidate.message;
      auto &outline = outlines_.emplace_back(Outline{candidate.incoming});
      if (!message.message_id.empty())
        outline.message_id = hash_of(Common::message_id, message.message_id);
      names_content_ = names_content_ || message.message_id.starts_with(collect::kContentId);
      if (message.type == core::MessageType::group)
        outline.account = hash_of(Common::account, message.group_id);
    }
  }
}

// As many ids for each line as it has identifiers that are not stored: it may come to name them first.
void Sharing::reserve_ids(std::vector<collect::Incoming> &lines) const {
  std::vector<std::size_t> line_of;
  for (std::size_t i = 0; i < outlines_.size(); ++i)
    for (auto index : identities_.of(i).identifiers)
      if (!identities_.is_stored(index))
        line_of.push_back(outlines_[i].line);
  const auto ids = pg::next_values("cdp", "identifiers_identifier_id_seq", line_of.size());
  for (std::size_t i = 0; i < ids.size(); ++i)
    lines[line_of[i]].reserved.push_back(ids[i]);
}

// Lines and identifiers, by number in this order, that are of one group.
class Sharing::Groups {
public:
  explicit Groups(std::size_t size) : above_(size) {
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

private:
  std::vector<std::size_t> above_;
};

Sharing::Groups Sharing::find_groups(std::vector<collect::Incoming> &lines) {
  const auto first_identifier = lines.size();
  Groups groups(first_identifier + identities_.size());
  const auto accounts = std::count_if(outlines_.begin(), outlines_.end(),
                                      [](const Outline &outline) { return outline.account != 0; });
  // An identifier has a name, a person, and as a device somebody who is on it.
  FirstWith first_with(outlines_.size() + static_cast<std::size_t>(accounts) + 3 * identities_.size());
  const auto join = [&](std::size_t one, std::uint64_t hash) { groups.join(one, first_with.put(hash, one)); };
  std::vector<std::uint64_t> seen(identities_.size()); // 0: not yet
  for (std::size_t i = 0; i < outlines_.size(); ++i) {
    const auto &[line, message_id, account] = outlines_[i];
    if (identities_.of(i).identifiers.empty()) // it goes to quarantine
      continue;
    lines[line].numbers.push_back(0);
    for (auto index : identities_.of(i).identifiers) {
      const auto identifier = first_identifier + index;
      groups.join(line, identifier);
      if (seen[index] == 0) {
        seen[index] = identities_.seen(index);
        join(identifier, hash_of(Common::identifier, identities_.name_of(index)));
        for (auto person : identities_.people_met(index))
          join(identifier, hash_of(Common::person, static_cast<std::uint64_t>(person)));
      }
      lines[line].seen.push_back(seen[index]);
    }
    for (auto hash : {message_id, account})
      if (hash != 0)
        join(line, hash);
  }
  for (std::size_t line = 1; names_content_ && line < lines.size(); ++line) // which one, no outline tells
    groups.join(0, line);
  return groups;
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
                                            const std::vector<double> &weights) {
  identities_.meet();
  reserve_ids(lines);
  auto groups = find_groups(lines);
  std::vector<std::size_t> size(lines.size()), order;
  for (std::size_t line = 0; line < lines.size(); ++line)
    ++size[groups.of(line)];
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
    part[line] = part[groups.of(line)];
  return part;
}

} // namespace cdp::pipeline
