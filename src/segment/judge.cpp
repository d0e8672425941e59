#include "segment/judge.hpp"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>

#include "pg/jsonb.hpp"
#include "pg/spi.hpp"

namespace cdp::segment {

namespace {

constexpr std::size_t kMostKeyBytes = 1000; // an index entry must hold it

std::string name_of(const pg::RuleSettings &settings) {
  std::string name;
  for (const auto *part : {&settings.owner, &settings.time_zone, &settings.search_path, &settings.datestyle,
                           &settings.intervalstyle})
    name += *part + '\n';
  return name;
}

std::unique_ptr<pg::KeptPlan> kept_plan(std::string sql) {
  return sql.empty() ? nullptr : std::make_unique<pg::KeptPlan>(std::move(sql));
}

// The steps as arrays, with the instants that searches found for each.
pg::Params parameters(const std::vector<Stint> &stints, const std::vector<std::vector<Timestamp>> *turns) {
  std::vector<std::int32_t> numbers, low, high;
  std::vector<std::int64_t> profiles, decisions;
  std::vector<Timestamp> from, until, extra;
  std::vector<std::string> traits;
  for (std::size_t i = 0; i < stints.size(); ++i) {
    const auto &step = *stints[i].step;
    numbers.push_back(static_cast<std::int32_t>(i));
    profiles.push_back(step.profile_id);
    decisions.push_back(step.decision_seq);
    from.push_back(step.from);
    until.push_back(stints[i].until);
    traits.emplace_back(step.traits.empty() ? pg::jsonb_text(step.traits_jsonb) : step.traits);
    low.push_back(static_cast<std::int32_t>(extra.size()) + 1);
    if (turns)
      extra.insert(extra.end(), (*turns)[i].begin(), (*turns)[i].end());
    high.push_back(static_cast<std::int32_t>(extra.size()));
  }
  pg::Params params;
  params.integers(numbers).bigints(profiles).bigints(decisions).timestamps(from).timestamps(until).texts(
      traits);
  params.integers(low).integers(high);
  if (turns)
    params.timestamps(extra);
  return params;
}

// When people enter and leave the segments that a rule asks about, and since when their traits are what they
// are; see statements.cpp.
void add_asked(const std::vector<Stint> &stints, pg::Params &params) {
  std::vector<Timestamp> instants;
  std::vector<std::int32_t> ends = {0};
  std::vector<Key> values;
  for (const auto &stint : stints)
    for (const auto &presence : stint.inside ? *stint.inside : Inside()) {
      instants.insert(instants.end(), presence.turns.begin(), presence.turns.end());
      values.insert(values.end(), presence.values.begin(), presence.values.end());
      values.resize(instants.size());
      ends.push_back(static_cast<std::int32_t>(instants.size()));
    }
  std::vector<Timestamp> since;
  for (const auto &stint : stints)
    if (stint.since)
      since.insert(since.end(), stint.since->begin(), stint.since->end());
  params.timestamps(instants).integers(ends).timestamps(since).optional_texts(values);
}

// Those of the segments that a rule asks about.
std::vector<std::vector<Timestamp>> turns_of_segments(const std::vector<Stint> &stints) {
  std::vector<std::vector<Timestamp>> turns(stints.size());
  for (std::size_t i = 0; i < stints.size(); ++i)
    for (const auto &presence : stints[i].inside ? *stints[i].inside : Inside())
      std::copy_if(presence.turns.begin(), presence.turns.end(), std::back_inserter(turns[i]),
                   [&](Timestamp turn) { return turn > stints[i].step->from && turn < stints[i].until; });
  return turns;
}

} // namespace

Judge::Judge(std::int32_t segment_id) : segment_id_(segment_id) {
  static pg::Statement read("SELECT name, owner::text, time_zone, search_path, datestyle, intervalstyle, "
                            "compiled::text FROM cdp.segments WHERE segment_id = $1");
  auto rows = read.run(pg::Params().integer(segment_id));
  if (rows.size() != 1)
    throw Error(ERRCODE_UNDEFINED_OBJECT, "segment " + std::to_string(segment_id) + " does not exist");
  name_ = rows.text(0, 1);
  settings_ = {rows.text(0, 2), rows.text(0, 3), rows.text(0, 4), rows.text(0, 5), rows.text(0, 6)};
  const auto plan = read_plan(rows.text(0, 7));
  judge_ = kept_plan(plan.statements.judge);
  person_inputs_ = kept_plan(plan.statements.person_inputs);
  event_inputs_ = kept_plan(plan.statements.event_inputs);
  group_inputs_ = kept_plan(plan.statements.group_inputs);
  explain_ = kept_plan(plan.statements.explain);
  for (const auto &one : plan.statements.searches) {
    auto &searches = searches_.emplace_back(Searches{one, {}});
    for (const auto &test : one.tests)
      searches.tests.push_back(std::make_unique<pg::Search>(test, one.zones, one.wide));
  }
  relevance_ = plan.relevance;
  segments_ = plan.segments;
  computed_ = plan.computed;
  is_value_ = plan.outline.is_value;
  since_ = plan.since;
  make_sweep(plan);
}

std::vector<std::string> definitions_of(const pg::Decomposition &made, const pg::RuleSettings &settings) {
  std::vector<std::string> definitions;
  for (const auto &one : made.aggregates)
    for (const auto &input : one.inputs)
      definitions.push_back(to_json(input, one.function == "sum" || one.function == "average", settings));
  return definitions;
}

std::vector<std::string> definitions_in_use() {
  static pg::Statement read(
      "SELECT owner::text, time_zone, search_path, datestyle, intervalstyle, compiled::text "
      "FROM cdp.segments WHERE kind IN ('rule', 'trait') AND class = 'exact'");
  std::vector<std::string> definitions;
  auto rows = read.run();
  for (std::size_t i = 0; i < rows.size(); ++i)
    if (const auto plan = read_plan(rows.text(i, 6)); plan.decomposition)
      for (auto &definition :
           definitions_of(*plan.decomposition, {rows.text(i, 1), rows.text(i, 2), rows.text(i, 3),
                                                rows.text(i, 4), rows.text(i, 5)}))
        definitions.push_back(std::move(definition));
  return definitions;
}

// Without one, PostgreSQL judges: the rule is beyond a sweep, or its functions cannot be found any more.
void Judge::make_sweep(const Plan &plan) {
  if (!plan.decomposition)
    return;
  std::vector<std::int32_t> inputs;
  for (const auto &definition : definitions_of(*plan.decomposition, settings_)) {
    inputs.push_back(Inputs::current().find(definition));
    if (inputs.back() == 0)
      return;
  }
  pg::Failure failure;
  pg::subtransaction(
      [&] {
        pg::AsOwner owner(settings_, pg::Names::compiled);
        sweep_ = std::make_unique<Sweep>(*plan.decomposition, inputs, name_of(settings_));
      },
      failure);
  if (sweep_ && !sweep_->usable())
    sweep_.reset();
}

// In the segment's time zone, as all that it asks the clock: bounds are kept as they are said first.
std::optional<Sweep::Need> Judge::need(Timestamp at) const {
  std::optional<Sweep::Need> need;
  pg::Failure failure; // then whoever is judged meets it again
  if (sweep_)
    pg::subtransaction(
        [&] {
          pg::AsOwner owner(settings_, pg::Names::compiled);
          need = sweep_->need(at);
        },
        failure);
  return need;
}

bool Judge::concerns(const Step &step, const Observed *event, const std::string *event_name) const {
  if (step.everything || (step.traits_changed && relevance_.traits))
    return true;
  if (!event)
    return false;
  if (sweep_) {
    const auto &mine = sweep_->inputs();
    return std::any_of(event->inputs.begin(), event->inputs.end(), [&](std::int32_t input) {
      return std::find(mine.begin(), mine.end(), input) != mine.end();
    });
  }
  return relevance_.any_event || (event_name && std::find(relevance_.events.begin(), relevance_.events.end(),
                                                          *event_name) != relevance_.events.end());
}

void Judge::add_turns(const std::string &level, pg::KeptPlan *query, const pg::Params &params,
                      std::vector<std::vector<Timestamp>> &turns) {
  if (!query)
    return;
  auto rows = query->run(params);
  for (std::size_t row = 0; row < rows.size(); ++row) {
    pg::check_for_interrupts();
    const auto step = static_cast<std::size_t>(rows.integer(row, 1));
    const auto from = rows.timestamp(row, 2), until = rows.timestamp(row, 3);
    for (const auto &search : searches_) {
      if (search.plan.level != level)
        continue;
      std::vector<Oid> types;
      std::vector<Datum> inputs;
      std::vector<bool> nulls;
      for (int column = search.plan.first; column < search.plan.first + search.plan.count; ++column) {
        types.push_back(rows.type(column));
        inputs.push_back(rows.datum(row, column));
        nulls.push_back(rows.is_null(row, column));
      }
      for (auto offset : search.plan.offsets)
        if (!nulls[0])
          pg::add_turn(DatumGetTimestampTz(inputs[0]), offset, from, until, turns[step]);
      for (const auto &test : search.tests)
        test->run(types, inputs, nulls, from, until, turns[step]);
    }
  }
}

std::vector<std::vector<Range>> Judge::judge(const std::vector<Stint> &stints) {
  if (!sweep_)
    return judge_by_sql(stints);
  std::vector<std::vector<Range>> result(stints.size());
  std::vector<std::size_t> beyond;
  {
    pg::AsOwner owner(settings_, pg::Names::compiled);
    pg::need_unhidden_people();
    beyond = sweep_all(stints, result);
  }
  if (!beyond.empty()) {
    std::vector<Stint> rest;
    for (auto i : beyond)
      rest.push_back(stints[i]);
    auto found = judge_by_sql(rest);
    for (std::size_t i = 0; i < beyond.size(); ++i)
      result[beyond[i]] = std::move(found[i]);
  }
  return result;
}

// Returns the stints of people whom only PostgreSQL can judge.
std::vector<std::size_t> Judge::sweep_all(const std::vector<Stint> &stints,
                                          std::vector<std::vector<Range>> &result) {
  std::vector<std::size_t> order(stints.size()), beyond;
  std::iota(order.begin(), order.end(), 0);
  const auto person = [&](std::size_t i) { return stints[i].step->profile_id; };
  const auto smaller = [&](std::size_t a, std::size_t b) { return person(a) < person(b); };
  if (!std::is_sorted(order.begin(), order.end(), smaller))
    std::stable_sort(order.begin(), order.end(), smaller);
  std::vector<Stint> theirs;
  std::vector<std::vector<Range> *> ranges;
  for (std::size_t i = 0; i < order.size(); ++i) {
    theirs.push_back(stints[order[i]]);
    ranges.push_back(&result[order[i]]);
    if (i + 1 < order.size() && person(order[i + 1]) == person(order[i]))
      continue;
    if (!sweep_->judge(theirs, ranges))
      for (auto place = i + 1 - theirs.size(); place <= i; ++place) {
        result[order[place]].clear();
        beyond.push_back(order[place]);
      }
    theirs.clear();
    ranges.clear();
  }
  return beyond;
}

std::vector<std::vector<Range>> Judge::judge_by_sql(const std::vector<Stint> &stints) {
  pg::Session session;
  std::vector<std::vector<Range>> result(stints.size());
  {
    pg::AsOwner owner(settings_, pg::Names::compiled);
    pg::need_unhidden_people();
    auto turns = turns_of_segments(stints);
    const auto given = [&](const std::vector<std::vector<Timestamp>> *found) {
      if (segments_.empty() && since_.empty())
        return parameters(stints, found);
      auto params = parameters(stints, found ? found : &turns); // so that numbers are the same everywhere
      add_asked(stints, params);
      return params;
    };
    add_turns("person", person_inputs_.get(), given(nullptr), turns);
    add_turns("event", event_inputs_.get(), given(nullptr), turns);
    if (group_inputs_) {
      const auto found = turns;
      add_turns("group", group_inputs_.get(), given(&found), turns);
    }
    auto rows = judge_->run(given(&turns));
    for (std::size_t row = 0; row < rows.size(); ++row) {
      auto &ranges = result[static_cast<std::size_t>(rows.integer(row, 1))];
      auto key = rows.optional_text(row, 2);
      if (key && !is_value_ && key->size() > kMostKeyBytes)
        throw Error(ERRCODE_PROGRAM_LIMIT_EXCEEDED,
                    "a key has more than " + std::to_string(kMostKeyBytes) + " bytes");
      const auto from = rows.timestamp(row, 3), to = rows.timestamp(row, 4);
      if (!ranges.empty() && ranges.back().to == from && ranges.back().key == key)
        ranges.back().to = to;
      else
        ranges.push_back({std::move(key), from, to, std::nullopt});
    }
  }
  return result;
}

pg::Rows Judge::explain(std::int64_t profile_id, const std::string &traits, Timestamp at,
                        const pg::Session &) {
  pg::AsOwner owner(settings_, pg::Names::compiled);
  return explain_->run(pg::Params().bigint(profile_id).text(traits).timestamp(at));
}

namespace {

// The row as it is: a definition that changes in any way, such as by a new name of what it asks about, is
// another row, and so is one that a rolled back transaction left behind. A segment_id comes again only with
// another table or creation time.
struct Identity {
  std::int64_t table;
  std::int32_t segment_id, version;
  Timestamp created_at;
  TransactionId written_by;
  std::uint64_t place;
  auto operator<=>(const Identity &) const = default;
};

std::uint64_t place_of(Datum tid) {
  const auto *pointer = reinterpret_cast<ItemPointer>(DatumGetPointer(tid));
  return std::uint64_t(ItemPointerGetBlockNumberNoCheck(pointer)) << 16 |
         ItemPointerGetOffsetNumberNoCheck(pointer);
}

// Never destroyed: a backend that exits has no plans left to free.
auto &kept = *new std::map<Identity, std::unique_ptr<Judge>>;

} // namespace

std::vector<Judge *> judges() {
  if (pg::inside_rule()) // it would free the judge that is at work
    throw Error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "a rule cannot ask about segments");
  static pg::Statement read(
      "SELECT tableoid::int8, segment_id, version, created_at, xmin, ctid FROM cdp.segments "
      "WHERE kind IN ('rule', 'trait') AND class = 'exact' AND state <> 'disabled' ORDER BY segment_id");
  auto rows = read.run();
  std::vector<Identity> identities;
  for (std::size_t i = 0; i < rows.size(); ++i)
    identities.push_back({rows.bigint(i, 1), rows.integer(i, 2), rows.integer(i, 3), rows.timestamp(i, 4),
                          DatumGetTransactionId(rows.datum(i, 5)), place_of(rows.datum(i, 6))});
  if (!std::equal(kept.begin(), kept.end(), identities.begin(), identities.end(),
                  [](const auto &one, const auto &other) { return one.first == other; }))
    Inputs::stale();
  std::map<Identity, std::unique_ptr<Judge>> fresh;
  std::vector<Judge *> result;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto &identity = identities[i];
    auto found = kept.find(identity);
    auto one = found != kept.end() ? std::move(found->second) : std::make_unique<Judge>(rows.integer(i, 2));
    if (found != kept.end())
      kept.erase(found);
    result.push_back((fresh[identity] = std::move(one)).get());
  }
  kept = std::move(fresh);
  std::map<std::int32_t, Judge *> by_id;
  for (Judge *judge : result) {
    by_id[judge->segment_id()] = judge;
    judge->level_ = 0;
  }
  // Nobody asks in a circle, so this comes to rest.
  for (bool higher = true; std::exchange(higher, false);)
    for (Judge *judge : result)
      for (auto id : judge->segments_)
        if (const auto asked = by_id.find(id);
            asked != by_id.end() && asked->second->level_ >= judge->level_) {
          judge->level_ = asked->second->level_ + 1;
          higher = true;
        }
  return result;
}

std::vector<Judge *> dependents(const std::vector<std::int32_t> &segments) {
  auto ordered = judges();
  std::stable_sort(ordered.begin(), ordered.end(),
                   [](const Judge *a, const Judge *b) { return a->level() < b->level(); });
  std::set<std::int32_t> asked(segments.begin(), segments.end());
  std::vector<Judge *> found;
  for (Judge *judge : ordered)
    if (!asked.contains(judge->segment_id()) &&
        std::any_of(judge->segments().begin(), judge->segments().end(),
                    [&](std::int32_t id) { return asked.contains(id); })) {
      asked.insert(judge->segment_id());
      found.push_back(judge);
    }
  return found;
}

Judge &judge_of(std::int32_t segment_id) {
  for (Judge *judge : judges())
    if (judge->segment_id() == segment_id)
      return *judge;
  throw Error(ERRCODE_UNDEFINED_OBJECT, "segment " + std::to_string(segment_id) + " does not exist");
}

} // namespace cdp::segment
