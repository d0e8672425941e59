// What the generator's messages say about who is who, as COPY files for cdp.identifiers, cdp.evidence and
// cdp.evidence_members, without ingesting them; and union-find in memory over links, the floor for any way of
// doing it.
//   identity_links make DIR < events.csv     reads DIR/crm.csv, too; writes DIR/identifiers, evidence,
//   members identity_links decide < sets             sets: a line each, "type:id type:id …" by priority, in
//   order of decision identity_links components < links > ids  links: "a,b" a line; ids: "id,component",
//   named by the smallest id
#include "core/identity_fold.hpp"
#include "core/junk.hpp"
#include "core/normalize.hpp"

#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iostream>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>

using namespace cdp::core;
using Clock = std::chrono::steady_clock;

namespace {

struct Type {
  const char *name;
  Normalizer normalizer;
  TypeRule rule;
};
// By priority: those of cdp_internal.make_identifier_types() that the generator knows, and the key of its
// CRM.
const std::vector<Type> kTypes{
    {"user_id", Normalizer::text, {Sharing::personal, true, 0, 0}},
    {"email", Normalizer::mailbox, {Sharing::personal, false, 5, 0}},
    {"phone", Normalizer::phone, {Sharing::personal, false, 3, 0}},
    {"loyalty_id", Normalizer::text, {Sharing::personal, true, 0, 0}},
    {"crm_id", Normalizer::text, {}},
    {"anonymous_id", Normalizer::text, {Sharing::first, false, 0, 0}},
};

std::vector<TypeRule> rules() {
  std::vector<TypeRule> rules;
  for (const auto &type : kTypes)
    rules.push_back(type.rule);
  return rules;
}

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::vector<std::string> csv_fields(const std::string &line) {
  std::vector<std::string> fields(1);
  bool quoted = false;
  for (char c : line)
    if (c == '"')
      quoted = !quoted;
    else if (c == ',' && !quoted)
      fields.emplace_back();
    else
      fields.back() += c;
  return fields;
}

struct Hash {
  std::size_t operator()(const std::vector<std::int64_t> &ids) const {
    std::size_t hash = ids.size();
    for (auto id : ids)
      hash = (hash ^ static_cast<std::size_t>(id)) * 0x9E3779B97F4A7C15ull;
    return hash;
  }
};

std::string array_text(const std::vector<std::int64_t> &ids) {
  std::string text;
  for (auto id : ids)
    text.append(text.empty() ? "{" : ",").append(std::to_string(id));
  return text + "}";
}

const char *text_of(Rule rule) {
  switch (rule) {
  case Rule::unique:
    return "unique";
  case Rule::limit:
    return "limit";
  case Rule::sharing:
    return "sharing";
  default:
    return "\\N";
  }
}

class Maker {
public:
  // message_id, type, event, anonymous_id, user_id, email, phone, loyalty_id, ts, received_at, …, country
  // (14)
  void take_event(const std::vector<std::string> &fields) {
    add(0, fields[4], "");
    add(1, fields[5], "");
    add(2, fields[6], fields[14]);
    add(3, fields[7], "");
    add(5, fields[3], "");
    decide(fields[0], fields[9]);
  }

  // crm_id, email, phone, first_name, last_name, loyalty_id, country, …, updated_at (12)
  void take_customer(const std::vector<std::string> &fields) {
    add(1, fields[1], "");
    add(2, fields[2], fields[6]);
    add(3, fields[5], "");
    add(4, fields[0], "");
    decide(fields[0], fields[12]);
  }

  void open(const std::string &dir) {
    dir_ = dir;
    evidence_.open(dir + "/evidence");
    members_.open(dir + "/members");
  }

  void close() {
    std::ofstream out(dir_ + "/identifiers");
    std::size_t people = 0;
    for (std::size_t i = 0; i < names_.size(); ++i) {
      const auto person = fold_.key(fold_.find(i));
      people += person == static_cast<std::int64_t>(i + 1);
      out << i + 1 << '\t' << person << '\t' << seen_at_[i] << '\t' << names_[i].first << '\t'
          << names_[i].second << '\n';
    }
    std::cout << names_.size() << " identifiers, " << decision_ << " messages of evidence, " << people
              << " people\n";
  }

private:
  void decide(const std::string &message_id, const std::string &at) {
    const auto carried = std::exchange(carried_, {});
    seen_at_.resize(names_.size(), at);
    if (carried.size() < 2)
      return;
    std::vector<std::int64_t> ids;
    for (const auto &one : carried)
      ids.push_back(one.id);
    if (kept_.contains(ids))
      return;
    const auto verdict = fold_.decide(carried, 0, false);
    std::vector<std::int64_t> refused;
    auto rule = Rule::none;
    for (const auto &one : verdict) {
      refused.push_back(ids[one.index]);
      if (rule == Rule::none || rule == Rule::sharing)
        rule = one.rule;
    }
    evidence_ << ++decision_ << '\t' << array_text(ids) << '\t'
              << (refused.empty() ? "\\N" : array_text(refused)) << '\t' << text_of(rule) << "\tf\t1\t" << at
              << '\t' << message_id << '\n';
    for (auto id : ids)
      members_ << id << '\t' << decision_ << '\n';
    if (rule == Rule::none || rule == Rule::sharing)
      kept_.insert(std::move(ids));
  }

  const std::optional<std::string> &normal(std::uint32_t type, const std::string &raw,
                                           const std::string &region) {
    auto [place, fresh] = normal_.try_emplace(std::to_string(type) + region + ' ' + raw);
    if (fresh && !junk_reason(kTypes[type].name, raw)) {
      auto result = normalize(kTypes[type].normalizer, raw, region);
      if (auto *good = std::get_if<Normalized>(&result); good && !junk_reason(kTypes[type].name, good->value))
        place->second = good->value;
    }
    return place->second;
  }

  void add(std::uint32_t type, const std::string &raw, const std::string &region) {
    if (raw.empty())
      return;
    const auto &value = normal(type, raw, region);
    if (!value)
      return;
    auto [place, fresh] = ids_.try_emplace(std::to_string(type) + *value, names_.size() + 1);
    const auto node = static_cast<std::size_t>(place->second - 1);
    if (fresh) {
      names_.emplace_back(kTypes[type].name, *value);
      fold_.add(place->second);
      fold_.hold(node, place->second, type, 0);
    }
    carried_.push_back({place->second, node, type});
  }

  IdentityFold fold_{rules()};
  std::unordered_map<std::string, std::optional<std::string>> normal_;
  std::unordered_map<std::string, std::int64_t> ids_;
  std::vector<std::pair<const char *, std::string>> names_;
  std::vector<std::string> seen_at_;
  std::vector<IdentityFold::Carried> carried_;
  std::unordered_set<std::vector<std::int64_t>, Hash> kept_;
  std::int64_t decision_ = 0;
  std::string dir_;
  std::ofstream evidence_, members_;
};

int make(const std::string &dir) {
  Maker maker;
  maker.open(dir);
  std::string line;
  std::getline(std::cin, line); // the header
  while (std::getline(std::cin, line))
    maker.take_event(csv_fields(line));
  std::ifstream crm(dir + "/crm.csv");
  std::getline(crm, line);
  while (std::getline(crm, line))
    maker.take_customer(csv_fields(line));
  maker.close();
  return 0;
}

// The identifiers of a message are new, or belong to whom earlier messages made them belong.
int decide() {
  std::vector<std::vector<std::pair<std::uint32_t, std::int64_t>>> sets;
  for (std::string line; std::getline(std::cin, line);) {
    auto &set = sets.emplace_back();
    std::size_t at = 0;
    while (at < line.size()) {
      const auto end = std::min(line.find(' ', at), line.size()), colon = line.find(':', at);
      const auto name = line.substr(at, colon - at);
      for (std::uint32_t type = 0; type < kTypes.size(); ++type)
        if (name == kTypes[type].name)
          set.emplace_back(type, std::stoll(line.substr(colon + 1, end - colon - 1)));
      at = end + 1;
    }
  }
  const auto start = Clock::now();
  IdentityFold fold(rules());
  std::unordered_map<std::int64_t, std::size_t> nodes;
  std::vector<IdentityFold::Carried> carried;
  std::size_t refused = 0;
  for (const auto &set : sets) {
    carried.clear();
    for (const auto &[type, id] : set) {
      auto [place, fresh] = nodes.try_emplace(id, nodes.size());
      if (fresh) {
        fold.add(id);
        fold.hold(place->second, id, type, 0);
      }
      carried.push_back({id, place->second, type});
    }
    refused += fold.decide(carried, 0, false).size();
  }
  std::printf("%.3f\n",
              seconds_since(start) * 1e6 / static_cast<double>(std::max<std::size_t>(sets.size(), 1)));
  std::fprintf(stderr, "%zu messages, %zu identifiers refused\n", sets.size(), refused);
  return 0;
}

int components() {
  std::vector<std::pair<std::int64_t, std::int64_t>> links;
  std::int64_t largest = 0;
  for (std::string line; std::getline(std::cin, line);) {
    char *rest = nullptr;
    const std::int64_t a = std::strtoll(line.c_str(), &rest, 10), b = std::strtoll(rest + 1, nullptr, 10);
    links.emplace_back(a, b);
    largest = std::max({largest, a, b});
  }
  const auto start = Clock::now();
  UnionFind people;
  for (std::int64_t id = 0; id <= largest; ++id)
    people.add(id);
  for (const auto &[a, b] : links)
    people.unite(static_cast<std::size_t>(a), static_cast<std::size_t>(b));
  for (std::size_t id = 0; id < people.size(); ++id)
    people.find(id);
  std::fprintf(stderr, "%.4f\n", seconds_since(start));
  std::string out;
  for (std::int64_t id = 1; id <= largest; ++id)
    out += std::to_string(id) + ',' + std::to_string(people.key(people.find(static_cast<std::size_t>(id)))) +
           '\n';
  std::fwrite(out.data(), 1, out.size(), stdout);
  return 0;
}

} // namespace

int main(int argc, char **argv) {
  std::ios::sync_with_stdio(false);
  const std::string mode = argc > 1 ? argv[1] : "";
  if (mode == "make" && argc == 3)
    return make(argv[2]);
  if (mode == "decide")
    return decide();
  if (mode == "components")
    return components();
  std::fputs("usage: identity_links make DIR | decide | components\n", stderr);
  return 2;
}
