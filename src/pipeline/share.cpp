#include "pipeline/share.hpp"

#include <algorithm>
#include <numeric>
#include <string_view>

#include "identity/identities.hpp"

#include "pg/sequence.hpp"

namespace cdp::pipeline {

namespace {

using collect::Candidate;

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

// As many ids for each line as it has identifiers that are not stored: it may come to name them first.
void reserve_ids(std::vector<collect::Incoming> &lines, const std::vector<Candidate> &candidates,
                 const identity::Identities &identities) {
  std::vector<std::size_t> line_of;
  for (std::size_t i = 0; i < candidates.size(); ++i)
    if (candidates[i].fate == collect::Fate::open)
      for (auto index : identities.of(i).identifiers)
        if (!identities.is_stored(index))
          line_of.push_back(candidates[i].incoming);
  const auto ids = pg::next_values("cdp", "identifiers_identifier_id_seq", line_of.size());
  for (std::size_t i = 0; i < ids.size(); ++i)
    lines[line_of[i]].reserved.push_back(ids[i]);
}

} // namespace

// Lines, and the groups of the window before, that have something in common.
class Sharing::Groups {
public:
  Groups(std::size_t lines, std::size_t before) : above_(lines + before), lines_(lines) {
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
  void join_before(std::size_t line, std::size_t group) { join(line, lines_ + group); }

private:
  std::vector<std::size_t> above_;
  std::size_t lines_;
};

Sharing::Groups Sharing::find_groups(std::vector<collect::Incoming> &lines) {
  const collect::Sources sources(lines);
  auto candidates = collect::read_outlines(lines, sources);
  identity::Identities identities;
  identities.read(candidates);
  identities.meet(candidates);
  reserve_ids(lines, candidates, identities);

  std::size_t groups_before = 0;
  for (const auto &[hash, group] : before_)
    groups_before = std::max(groups_before, group + 1);
  Groups groups(lines.size(), groups_before);
  std::vector<std::uint64_t> name_hash(identities.size()); // 0: not asked yet
  std::unordered_map<std::uint64_t, std::size_t> first_with;
  first_with.reserve(4 * lines.size());
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    const auto &message = candidates[i].message;
    const auto line = candidates[i].incoming;
    if (candidates[i].fate != collect::Fate::open)
      continue;
    lines[line].numbers.push_back(0);
    const auto join = [&](std::uint64_t hash) {
      if (const auto [known, fresh] = first_with.try_emplace(hash, line); !fresh)
        groups.join(line, known->second);
      else if (const auto earlier = before_.find(hash); earlier != before_.end())
        groups.join_before(line, earlier->second);
    };
    for (auto index : identities.of(i).identifiers)
      join(name_hash[index] ? name_hash[index]
                            : name_hash[index] = hash_of(Common::identifier, identities.name_of(index)));
    for (auto person : identities.people_met(i))
      join(hash_of(Common::person, static_cast<std::uint64_t>(person)));
    if (!message.message_id.empty())
      join(hash_of(Common::message_id, message.message_id));
    if (message.type == core::MessageType::group)
      join(hash_of(Common::account, message.group_id));
  }
  for (auto &[hash, line] : first_with)
    line = groups.of(line);
  before_ = std::move(first_with);
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
