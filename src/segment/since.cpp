#include "segment/since.hpp"

#include "core/json.hpp"

#include <algorithm>

#include "pg/jsonb.hpp"

namespace cdp::segment {

namespace {

pg_uuid_t hash_of(std::string_view value) {
  pg::ContentHash hash;
  return hash.add(value).finish();
}

bool same(const pg_uuid_t &one, const pg_uuid_t &other) {
  return std::equal(std::begin(one.data), std::end(one.data), std::begin(other.data));
}

Since values_of(const std::map<std::string, Run> *runs, const std::vector<std::string> &traits) {
  Since values;
  for (const auto &trait : traits) {
    const auto found = runs ? runs->find(trait) : std::map<std::string, Run>::const_iterator();
    values.push_back(runs && found != runs->end() ? found->second.since : core::kMinusInfinity);
  }
  return values;
}

} // namespace

void Run::say(Timestamp at, std::int64_t by, const pg_uuid_t &said) {
  if (since == core::kMinusInfinity || !same(value, said))
    since = at;
  latest = at;
  decision = by;
  value = said;
}

Said said_at(const Step &step, const std::set<std::string> &traits) {
  Said said;
  if (!step.said || traits.empty())
    return said;
  for (core::json::Cursor each(pg::jsonb_text(step.said)); each.next();)
    if (auto name = core::json::unescape(each.raw_key()); traits.contains(name))
      said.emplace(std::move(name), each.value());
  return said;
}

RunsOf::RunsOf(const std::vector<std::int64_t> &people, const std::vector<std::int64_t> &decisions,
               const std::set<std::string> &traits, Timestamp until) {
  static pg::Statement read(
      "SELECT p.place::int4, t.name, a.asserted_at, a.decision_seq, (a.traits -> t.name)::text "
      "FROM unnest($1::int8[], $2::int8[]) WITH ORDINALITY AS p (id, seq, place) "
      "JOIN cdp.identifiers AS i ON i.profile_id = p.id JOIN cdp.assertions AS a ON a.identifier_id = "
      "i.identifier_id AND a.decision_seq <= p.seq AND a.asserted_at <= $4 AND a.type = 'identify' "
      "LEFT JOIN unnest($3::text[]) AS t (name) ON a.traits ? t.name "
      "ORDER BY p.place, a.asserted_at, a.decision_seq",
      pg::few_keys);
  if (people.empty() || traits.empty())
    return;
  const std::vector<std::string> names(traits.begin(), traits.end());
  read.each(pg::Params().bigints(people).bigints(decisions).texts(names).timestamp(until),
            [&](const pg::Rows &rows) {
              for (std::size_t i = 0; i < rows.size(); ++i) {
                auto &runs = runs_[static_cast<std::size_t>(rows.integer(i, 1)) - 1];
                if (!rows.is_null(i, 2))
                  runs[rows.text(i, 2)].say(rows.timestamp(i, 3), rows.bigint(i, 4),
                                            hash_of(rows.text(i, 5)));
              }
            });
}

const std::map<std::string, Run> *RunsOf::find(std::size_t place) const {
  const auto found = runs_.find(place);
  return found == runs_.end() ? nullptr : &found->second;
}

const Since *RunsOf::since(std::size_t place, const std::vector<std::string> &traits) {
  return traits.empty() ? nullptr : &made_.emplace_back(values_of(find(place), traits));
}

// A row for each trait, or it is not known.
void KeptRuns::load(const std::vector<const Step *> &steps) {
  static pg::Statement read("SELECT profile_id, trait, since, latest_at, latest_seq, value FROM "
                            "cdp_internal.trait_runs WHERE profile_id = ANY ($1) AND trait = ANY ($2)",
                            pg::few_keys);
  std::vector<std::int64_t> people;
  for (const auto *step : steps)
    people.push_back(step->profile_id);
  auto rows =
      read.run(pg::Params().bigints(people).texts(std::vector<std::string>(traits_.begin(), traits_.end())));
  for (std::size_t i = 0; i < rows.size(); ++i)
    people_[rows.bigint(i, 1)][rows.text(i, 2)] = {rows.timestamp(i, 3), rows.timestamp(i, 4),
                                                   rows.bigint(i, 5), rows.uuid(i, 6)};
}

void KeptRuns::read_again(const std::vector<const Step *> &steps) {
  std::vector<std::int64_t> people, decisions;
  for (const auto *step : steps) {
    people.push_back(step->profile_id);
    decisions.push_back(step->decision_seq);
  }
  const RunsOf found(people, decisions, traits_, core::kInfinity);
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const auto id = steps[i]->profile_id;
    auto &runs = people_[id] = {};
    const auto *said = found.find(i);
    for (const auto &trait : traits_)
      runs[trait] = said && said->contains(trait) ? said->at(trait) : Run();
    changed_.insert(id);
    if (said)
      silent_.erase(id);
    else
      silent_.insert(id);
  }
}

void KeptRuns::follow(const std::vector<const Step *> &steps) {
  at_.clear();
  std::vector<const Step *> first, unknown;
  std::set<std::int64_t> met;
  for (const auto *step : steps)
    if (met.insert(step->profile_id).second && !people_.contains(step->profile_id))
      (step->everything ? unknown : first).push_back(step);
  if (!first.empty())
    load(first);
  for (const auto *step : first)
    if (const auto known = people_.find(step->profile_id);
        known == people_.end() || known->second.size() < traits_.size())
      unknown.push_back(step);
  if (!unknown.empty())
    read_again(unknown);
  for (const auto *step : steps) {
    const bool is_new = std::find(unknown.begin(), unknown.end(), step) != unknown.end();
    const auto said = is_new ? Said() : said_at(*step, traits_);
    auto &runs = people_[step->profile_id];
    const bool late = std::any_of(said.begin(), said.end(), [&](const auto &one) {
      const auto &run = runs.at(one.first);
      return std::pair(step->said_at, step->decision_seq) < std::pair(run.latest, run.decision);
    });
    if (!is_new && (step->everything || late))
      read_again({step});
    else
      for (const auto &[trait, value] : said) {
        runs.at(trait).say(step->said_at, step->decision_seq, hash_of(value));
        changed_.insert(step->profile_id);
        silent_.erase(step->profile_id);
      }
    at_[step] = people_[step->profile_id];
  }
}

const Since *KeptRuns::since(const Step &step, const std::vector<std::string> &traits) {
  const auto found = at_.find(&step);
  return traits.empty()
             ? nullptr
             : &made_.emplace_back(values_of(found == at_.end() ? nullptr : &found->second, traits));
}

void KeptRuns::store() {
  static pg::Statement erase("DELETE FROM cdp_internal.trait_runs WHERE profile_id = ANY ($1)", pg::few_keys);
  static pg::Statement write(
      "INSERT INTO cdp_internal.trait_runs AS r (profile_id, trait, since, latest_at, latest_seq, value) "
      "SELECT unnest($1), unnest($2), unnest($3), unnest($4), unnest($5), unnest($6) ON CONFLICT "
      "(profile_id, trait) DO "
      "UPDATE SET since = excluded.since, latest_at = excluded.latest_at, latest_seq = excluded.latest_seq, "
      "value = "
      "excluded.value");
  if (traits_.empty())
    return;
  std::vector<std::int64_t> gone(ended_.begin(), ended_.end()), people, decisions;
  gone.insert(gone.end(), silent_.begin(), silent_.end());
  std::vector<std::string> traits;
  std::vector<Timestamp> since, latest;
  std::vector<pg_uuid_t> values;
  for (auto id : changed_)
    for (const auto &[trait, run] : ended_.contains(id) || silent_.contains(id) ? Runs() : people_.at(id)) {
      people.push_back(id);
      traits.push_back(trait);
      since.push_back(run.since);
      latest.push_back(run.latest);
      decisions.push_back(run.decision);
      values.push_back(run.value);
    }
  pg::Session session;
  if (!gone.empty())
    erase.run(pg::Params().bigints(gone));
  if (!people.empty())
    write.run(pg::Params()
                  .bigints(people)
                  .texts(traits)
                  .timestamps(since)
                  .timestamps(latest)
                  .bigints(decisions)
                  .uuids(values));
}

} // namespace cdp::segment
