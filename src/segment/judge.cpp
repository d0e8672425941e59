#include "segment/judge.hpp"

#include <algorithm>
#include <map>
#include <tuple>

#include "pg/spi.hpp"

namespace cdp::segment {

namespace {

constexpr std::size_t kMostKeyBytes = 1000; // an index entry must hold it

std::unique_ptr<pg::KeptPlan> plan(const pg::Rows &rows, int column) {
  auto sql = rows.text(0, column);
  return sql.empty() ? nullptr : std::make_unique<pg::KeptPlan>(std::move(sql));
}

std::vector<std::string> texts(const std::string &joined) {
  std::vector<std::string> result;
  for (std::size_t start = 0; start < joined.size();) {
    const auto end = std::min(joined.find('\x01', start), joined.size());
    result.push_back(joined.substr(start, end - start));
    start = end + 1;
  }
  return result;
}

// The steps as arrays, with the instants that searches found for each.
pg::Params parameters(const std::vector<Step> &steps, const std::vector<std::vector<Timestamp>> *turns) {
  std::vector<std::int32_t> numbers, low, high;
  std::vector<std::int64_t> profiles, decisions;
  std::vector<Timestamp> from, until, extra;
  std::vector<std::string> traits;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    numbers.push_back(static_cast<std::int32_t>(i));
    profiles.push_back(steps[i].profile_id);
    decisions.push_back(steps[i].decision_seq);
    from.push_back(steps[i].from);
    until.push_back(steps[i].until);
    traits.push_back(steps[i].traits);
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

} // namespace

Judge::Judge(std::int32_t segment_id) : segment_id_(segment_id) {
  static pg::Statement read(
      "SELECT name, owner::text, time_zone, search_path, datestyle, intervalstyle, "
      "compiled->>'judge', compiled->>'person_inputs', compiled->>'event_inputs', "
      "compiled->>'group_inputs', compiled->>'explain' FROM cdp.segments WHERE segment_id = $1");
  auto rows = read.run(pg::Params().integer(segment_id));
  if (rows.size() != 1)
    throw Error(ERRCODE_UNDEFINED_OBJECT, "segment " + std::to_string(segment_id) + " does not exist");
  name_ = rows.text(0, 1);
  settings_ = {rows.text(0, 2), rows.text(0, 3), rows.text(0, 4), rows.text(0, 5), rows.text(0, 6)};
  judge_ = plan(rows, 7);
  person_inputs_ = plan(rows, 8);
  event_inputs_ = plan(rows, 9);
  group_inputs_ = plan(rows, 10);
  explain_ = plan(rows, 11);
  read_searches();
}

void Judge::read_searches() {
  static pg::Statement read(
      "SELECT x->>'level', (x->>'first')::int4, (x->>'count')::int4, (x->>'wide')::bool, "
      "array_to_string(ARRAY(SELECT jsonb_array_elements_text(x->'tests')), E'\\x01'), "
      "array_to_string(ARRAY(SELECT jsonb_array_elements_text(x->'zones')), E'\\x01'), "
      "array_to_string(ARRAY(SELECT jsonb_array_elements_text(x->'offsets')), E'\\x01') "
      "FROM cdp.segments, jsonb_array_elements(compiled->'searches') WITH ORDINALITY AS a (x, n) "
      "WHERE segment_id = $1 ORDER BY n");
  auto rows = read.run(pg::Params().integer(segment_id_));
  for (std::size_t i = 0; i < rows.size(); ++i) {
    Searches one{{rows.text(i, 1),
                  rows.integer(i, 2),
                  rows.integer(i, 3),
                  texts(rows.text(i, 5)),
                  texts(rows.text(i, 6)),
                  rows.boolean(i, 4),
                  {}},
                 {}};
    for (const auto &offset : texts(rows.text(i, 7)))
      one.plan.offsets.push_back(std::stoll(offset));
    for (const auto &test : one.plan.tests)
      one.tests.push_back(std::make_unique<pg::Search>(test, one.plan.zones, one.plan.wide));
    searches_.push_back(std::move(one));
  }
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
      for (auto offset : search.plan.offsets) {
        Timestamp at;
        if (!nulls[0] && !__builtin_add_overflow(DatumGetTimestampTz(inputs[0]), offset, &at) && at > from &&
            at < until)
          turns[step].push_back(at);
      }
      for (const auto &test : search.tests)
        test->run(types, inputs, nulls, from, until, turns[step]);
    }
  }
}

std::vector<std::vector<Range>> Judge::judge(const std::vector<Step> &steps) {
  pg::Session session;
  std::vector<std::vector<Range>> result(steps.size());
  {
    pg::AsOwner owner(settings_, pg::Names::compiled);
    std::vector<std::vector<Timestamp>> turns(steps.size());
    add_turns("person", person_inputs_.get(), parameters(steps, nullptr), turns);
    add_turns("event", event_inputs_.get(), parameters(steps, nullptr), turns);
    if (group_inputs_) {
      const auto found = turns;
      add_turns("group", group_inputs_.get(), parameters(steps, &found), turns);
    }
    auto rows = judge_->run(parameters(steps, &turns));
    for (std::size_t row = 0; row < rows.size(); ++row) {
      auto &ranges = result[static_cast<std::size_t>(rows.integer(row, 1))];
      auto key = rows.optional_text(row, 2);
      if (key && key->size() > kMostKeyBytes)
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

// A segment_id comes again only with another table or creation time.
using Identity = std::tuple<std::int64_t, std::int32_t, std::int32_t, Timestamp>;
// Never destroyed: a backend that exits has no plans left to free.
auto &kept = *new std::map<Identity, std::unique_ptr<Judge>>;

} // namespace

std::vector<Judge *> judges() {
  if (pg::inside_rule()) // it would free the judge that is at work
    throw Error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "a rule cannot ask about segments");
  static pg::Statement read("SELECT tableoid::int8, segment_id, version, created_at FROM cdp.segments "
                            "ORDER BY segment_id");
  auto rows = read.run();
  std::map<Identity, std::unique_ptr<Judge>> fresh;
  std::vector<Judge *> result;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const Identity identity{rows.bigint(i, 1), rows.integer(i, 2), rows.integer(i, 3), rows.timestamp(i, 4)};
    auto found = kept.find(identity);
    auto one = found != kept.end() ? std::move(found->second) : std::make_unique<Judge>(rows.integer(i, 2));
    if (found != kept.end())
      kept.erase(found);
    result.push_back((fresh[identity] = std::move(one)).get());
  }
  kept = std::move(fresh);
  return result;
}

Judge &judge_of(std::int32_t segment_id) {
  for (Judge *judge : judges())
    if (judge->segment_id() == segment_id)
      return *judge;
  throw Error(ERRCODE_UNDEFINED_OBJECT, "segment " + std::to_string(segment_id) + " does not exist");
}

} // namespace cdp::segment
