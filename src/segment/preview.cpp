// Looking at a rule before it is saved, and at a segment that is: cdp.preview_segment and
// cdp.explain_segment.
#include <algorithm>

#include "core/json_text.hpp"

#include "segment/asked.hpp"
#include "segment/describe.hpp"
#include "segment/judge.hpp"
#include "segment/survey.hpp"
#include "segment/unseen.hpp"

#include "pg/function.hpp"
#include "pg/jsonb.hpp"
#include "pg/query.hpp"

namespace cdp::segment {

namespace {

constexpr std::int32_t kMostSampled = 10'000;

std::int64_t count_people() {
  return pg::run_once("SELECT count(*) FROM cdp.profiles", {}, true).bigint(0, 1);
}

std::vector<std::string> warnings_of(const pg::Mentions &mentions, const Survey &found) {
  std::vector<std::string> warnings;
  for (const auto &some :
       {unseen_events(mentions), unseen_traits(mentions), unseen_properties(mentions, found.seen)})
    for (const auto &one : some)
      warnings.push_back(one.text());
  if (found.failed)
    warnings.push_back("the rule failed for " + std::to_string(found.failed) +
                       (found.failed == 1 ? " person" : " people") + ", who are left out: " + found.failure);
  return warnings;
}

std::vector<std::int64_t> each_once(std::vector<std::int64_t> sorted) {
  sorted.erase(std::unique(sorted.begin(), sorted.end()), sorted.end());
  return sorted;
}

// The same people every time, from all over the ids.
std::vector<std::int64_t> sample_of(std::vector<std::int64_t> people, std::size_t count) {
  const auto scattered = [](std::int64_t id) {
    auto x = static_cast<std::uint64_t>(id) + 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
  };
  if (people.size() > count) {
    std::nth_element(people.begin(), people.begin() + static_cast<std::ptrdiff_t>(count), people.end(),
                     [&](auto a, auto b) { return scattered(a) < scattered(b); });
    people.resize(count);
    std::sort(people.begin(), people.end());
  }
  return people;
}

std::vector<std::int64_t> members_now(const std::string &name) {
  const auto known =
      pg::run_once("SELECT segment_id FROM cdp.segments WHERE name = $1", pg::Params().text(name), true);
  if (known.size() == 0)
    pg::run_once("SELECT cdp_internal.refuse_segment($1)", pg::Params().text(name), true);
  const auto rows =
      pg::run_once("SELECT array_agg(DISTINCT m.profile_id) FROM cdp.memberships AS m WHERE m.segment_id "
                   "= $1 AND m.entered_at <= now() AND m.left_at > now()",
                   pg::Params().integer(known.integer(0, 1)), true);
  return rows.is_null(0, 1) ? std::vector<std::int64_t>() : rows.bigints(0, 1);
}

std::string overlaps(const std::vector<std::int64_t> &people, const std::vector<std::string> &names) {
  core::json::Text out;
  out.open('{');
  for (const auto &name : names) {
    auto others = members_now(name);
    std::sort(others.begin(), others.end());
    std::vector<std::int64_t> both;
    std::set_intersection(people.begin(), people.end(), others.begin(), others.end(),
                          std::back_inserter(both));
    const auto count = [](std::size_t size) { return static_cast<std::int64_t>(size); };
    out.key(name).open('{').add("in_both", count(both.size()));
    out.add("only_preview", count(people.size() - both.size()));
    out.add("only_segment", count(others.size() - both.size())).close();
  }
  return out.close().str();
}

// One row, as SQL makes it of these.
void put(FunctionCallInfo fcinfo, const std::string &sql, const pg::Params &params) {
  auto *result = reinterpret_cast<ReturnSetInfo *>(fcinfo->resultinfo);
  const auto rows = pg::run_once(sql, params, true);
  std::vector<Datum> values;
  const auto nulls = std::make_unique<bool[]>(static_cast<std::size_t>(result->setDesc->natts));
  for (int column = 1; column <= result->setDesc->natts; ++column) {
    values.push_back(rows.datum(0, column));
    nulls[static_cast<std::size_t>(column) - 1] = rows.is_null(0, column);
  }
  pg::call([&] { tuplestore_putvalues(result->setResult, result->setDesc, values.data(), nulls.get()); });
}

void put(FunctionCallInfo fcinfo, const Line &line) {
  const auto number = [](const auto &value) {
    return value ? std::optional(std::to_string(*value)) : std::nullopt;
  };
  put(fcinfo, "SELECT $1, $2::integer, $3, $4::jsonb, $5::bigint, $6::bigint",
      pg::Params()
          .text(line.part)
          .optional_text(number(line.number))
          .text(line.text)
          .text(line.details)
          .optional_text(number(line.people))
          .optional_text(number(line.kept)));
}

std::string because(const std::string &why) {
  core::json::Text out;
  return out.open('{').add("because", why).close().str();
}

// All that was found out of a segment at this instant.
void put_lines(FunctionCallInfo fcinfo, const Plan &plan, const Survey &found, bool by_timelines) {
  const auto people = static_cast<std::int64_t>(each_once(found.members).size());
  put(fcinfo, {"rule",
               {},
               plan.outline.key.empty() ? "per person" : "per key",
               "{}",
               people,
               static_cast<std::int64_t>(found.members.size())});
  int number = 0;
  for (const auto &one : found.conditions) {
    put(fcinfo, {"condition", number + 1, plan.outline.conditions[static_cast<std::size_t>(number)].text,
                 "{}", one.people, one.kept});
    ++number;
  }
  for (const auto &line : describe_aggregates(plan))
    put(fcinfo, line);
  const auto judged = why_judged(plan, by_timelines);
  const auto colon = judged.find(": ");
  put(fcinfo, {"judged by", {}, judged.substr(0, colon), because(judged.substr(colon + 2)), {}, {}});
  for (const auto &line : describe_dependencies(plan))
    put(fcinfo, line);
  put(fcinfo, {"freshness", {}, "exact", because(why_exact(plan)), {}, {}});
  number = 0;
  for (const auto &warning : warnings_of(plan.outline.mentions, found))
    put(fcinfo, {"warning", ++number, warning, "{}", {}, {}});
}

// Of a rule that is not exact.
void put_mentions(FunctionCallInfo fcinfo, const pg::Mentions &mentions) {
  Plan plan{};
  plan.relevance = {false, {}, false};
  plan.outline.mentions = mentions;
  for (const auto &line : describe_dependencies(plan))
    put(fcinfo, line);
  Survey found;
  found.seen = seen_properties(mentions);
  int number = 0;
  for (const auto &warning : warnings_of(mentions, found))
    put(fcinfo, {"warning", ++number, warning, "{}", {}, {}});
}

pg::Rule compile_as(const pg::RuleSettings &settings, const std::string &rule,
                    const std::optional<std::string> &per) {
  pg::AsOwner owner(settings, pg::Names::as_written);
  return pg::compile_rule(rule, per, settings.time_zone);
}

// As a judge would decide it.
bool would_use_timelines(const Plan &plan, const pg::RuleSettings &settings) {
  bool usable = false;
  pg::Failure failure;
  if (plan.decomposition)
    pg::subtransaction(
        [&] {
          pg::AsOwner owner(settings, pg::Names::compiled);
          const auto inputs = definitions_of(*plan.decomposition, settings).size();
          usable = Sweep(*plan.decomposition, std::vector<std::int32_t>(inputs), {}).usable();
        },
        failure);
  return usable;
}

constexpr const char *kJudgedByQuery = "PostgreSQL: a query over everybody, at each refresh";

std::string why_interval(const pg::Rule &rule) {
  std::string text = "it cannot be kept exact: ";
  for (const auto &reason : rule.reasons)
    text += (&reason == &rule.reasons.front() ? "" : "; ") + reason;
  return text;
}

// What a preview found out of a rule.
struct Look {
  Survey found;
  std::string freshness, because, judged_by;
};

Look look_at_exact(const pg::Rule &rule, const pg::RuleSettings &settings) {
  const auto plan = make_plan(rule);
  return {survey(plan, settings, GetCurrentTransactionStartTimestamp(), false), "exact", why_exact(plan),
          why_judged(plan, would_use_timelines(plan, settings))};
}

// As a refresh would run it: it works for everybody, or not at all.
Look look_at_query(const pg::Rule &rule, const pg::RuleSettings &settings) {
  if (pg::inside_rule())
    throw Error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "a rule cannot ask about segments");
  Look look{{}, "interval", why_interval(rule), kJudgedByQuery};
  {
    pg::AsOwner owner(settings, pg::Names::as_written);
    try {
      look.found.members = pg::people_of(rule.query);
    } catch (const pg::PgError &error) {
      pg::throw_to_caller(error);
    }
  }
  pg::AsOwner owner(settings, pg::Names::compiled_for_all);
  look.found.seen = seen_properties(rule.mentions);
  return look;
}

pg::RuleSettings caller(FunctionCallInfo fcinfo, int argument) {
  auto settings = pg::current_settings();
  settings.time_zone = PG_ARGISNULL(argument) ? "UTC" : pg::text_argument(fcinfo, argument);
  if (!pg::time_zone_exists(settings.time_zone))
    throw Error(ERRCODE_INVALID_PARAMETER_VALUE, "time zone \"" + settings.time_zone + "\" not recognized",
                {}, "Use a full name, such as Europe/Amsterdam; see pg_timezone_names.");
  return settings;
}

std::size_t sample_size(FunctionCallInfo fcinfo, int argument) {
  const std::int32_t wanted = PG_ARGISNULL(argument) ? 10 : PG_GETARG_INT32(argument);
  if (wanted < 0 || wanted > kMostSampled)
    throw Error(ERRCODE_INVALID_PARAMETER_VALUE,
                "sample is a number from 0 to " + std::to_string(kMostSampled), {},
                "cdp.create_segment and cdp.members give all of them.");
  return static_cast<std::size_t>(wanted);
}

} // namespace

} // namespace cdp::segment

using namespace cdp;
using namespace cdp::segment;

// With its caller's rights throughout, over the snapshot of the query that calls; it locks and writes
// nothing.
CDP_FUNCTION(cdp_preview_segment) {
  if (PG_ARGISNULL(0))
    throw Error(ERRCODE_NULL_VALUE_NOT_ALLOWED, "rule must not be null");
  pg::call([&] { InitMaterializedSRF(fcinfo, 0); });
  const auto begin = GetCurrentTimestamp();
  const auto rule = pg::text_argument(fcinfo, 0);
  const auto per = PG_ARGISNULL(1) ? std::nullopt : std::optional(pg::text_argument(fcinfo, 1));
  const auto settings = caller(fcinfo, 2);
  const auto count = sample_size(fcinfo, 4);
  pg::Session session;
  auto compiled = compile_as(settings, rule, per);
  find_asked(compiled, rule);
  const auto looked =
      compiled.reasons.empty() ? look_at_exact(compiled, settings) : look_at_query(compiled, settings);
  const auto &found = looked.found;
  const auto people = each_once(found.members);
  pg::AsOwner owner(settings, pg::Names::compiled_for_all);
  const auto overlap = overlaps(people, pg::texts_argument(fcinfo, 3));
  const auto warnings = warnings_of(compiled.mentions, found);
  const auto everybody = count_people();
  put(fcinfo,
      "SELECT $1, $2, $3, $4::jsonb, $5, $6, $7, $8, round($9 / 1000.0, 1), $10, CASE WHEN $5 = 'exact' "
      "THEN $11 END",
      pg::Params()
          .bigint(static_cast<std::int64_t>(people.size()))
          .bigint(static_cast<std::int64_t>(found.members.size()))
          .bigints(sample_of(people, count))
          .text(overlap)
          .text(looked.freshness)
          .text(looked.because)
          .text(looked.judged_by)
          .texts(warnings)
          .bigint(GetCurrentTimestamp() - begin)
          .bigint(everybody)
          .bigint(found.events));
  return 0;
}

// cdp_internal.describe_segment(segment_id): all of an exact rule, and of another one what it names.
CDP_FUNCTION(cdp_describe_segment) {
  const auto segment_id = PG_GETARG_INT32(0);
  pg::call([&] { InitMaterializedSRF(fcinfo, 0); });
  pg::Session session;
  static pg::Statement read("SELECT owner::text, time_zone, search_path, datestyle, intervalstyle, "
                            "compiled::text, rule, per, class = 'exact', state = 'disabled' "
                            "FROM cdp.segments WHERE segment_id = $1");
  const auto row = read.run(pg::Params().integer(segment_id));
  const pg::RuleSettings settings{row.text(0, 1), row.text(0, 2), row.text(0, 3), row.text(0, 4),
                                  row.text(0, 5)};
  if (!row.boolean(0, 9)) {
    put_mentions(fcinfo, compile_as(settings, row.text(0, 7), row.optional_text(0, 8)).mentions);
    return 0;
  }
  const auto plan = read_plan(row.text(0, 6));
  const bool by_timelines =
      row.boolean(0, 10) ? would_use_timelines(plan, settings) : judge_of(segment_id).uses_timelines();
  const auto now = GetCurrentTransactionStartTimestamp();
  auto found = survey(plan, settings, now, true);
  if (found.failed) { // a condition alone may fail where the rule does not ask it
    auto whole = survey(plan, settings, now, false);
    whole.conditions = std::move(found.conditions);
    found = std::move(whole);
  }
  put_lines(fcinfo, plan, found, by_timelines);
  return 0;
}
