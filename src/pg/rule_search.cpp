#include <algorithm>

#include "pg/rule_search.hpp"

extern "C" {
#include "executor/executor.h"
#include "optimizer/optimizer.h"
#include "parser/analyze.h"
#include "parser/parse_node.h"
#include "parser/parse_param.h"
#include "parser/parser.h"
#include "pgtime.h"
#include "utils/date.h"
}
#undef printf
#undef snprintf

namespace cdp::pg {

namespace {

constexpr Timestamp kDay = core::kMicrosPerDay;
constexpr Timestamp kQuarter = kDay / 96;
constexpr Timestamp kAround = 5 * kDay;            // clamped months and skipped days reach less far
constexpr Timestamp kEndOfTime = 2'921'575 * kDay; // year 9999
constexpr Timestamp kUnixEpoch = -30 * 365 * kDay - 7 * kDay; // 1970-01-01, seen from 2000-01-01

Timestamp floor_to(Timestamp at, Timestamp unit) {
  const auto rest = at % unit;
  return at - (rest < 0 ? rest + unit : rest);
}

pg_time_t unix_time(Timestamp at) {
  return floor_to(at - kUnixEpoch, core::kMicrosPerSecond) / core::kMicrosPerSecond;
}

Timestamp zone_offset(pg_tz *zone, Timestamp at) {
  const pg_time_t time = unix_time(at);
  const pg_tm *local = pg_localtime(&time, zone);
  return local ? local->tm_gmtoff * core::kMicrosPerSecond : 0;
}

bool transition_between(pg_tz *zone, Timestamp low, Timestamp high) {
  const pg_time_t from = unix_time(low);
  long before, after;
  int before_dst, after_dst;
  pg_time_t boundary;
  return pg_next_dst_boundary(&from, &before, &before_dst, &boundary, &after, &after_dst, zone) == 1 &&
         boundary <= unix_time(high);
}

} // namespace

void add_turn(Timestamp stands, std::int64_t offset, Timestamp from, Timestamp until,
              std::vector<Timestamp> &turns) {
  Timestamp at;
  if (!__builtin_add_overflow(stands, offset, &at) && at > from && at < std::min(until, kEndOfTime))
    turns.push_back(at);
}

bool clock_jumps(const std::vector<std::string> &zones, Timestamp low, Timestamp high) {
  for (const auto &name : zones)
    if (pg_tz *zone = call([&] { return pg_tzset(name.c_str()); });
        zone && transition_between(zone, low, high))
      return true;
  return false;
}

struct Search::Compiled {
  MemoryContext memory = nullptr;
  ExprState *state = nullptr;
  ExprContext *context = nullptr;
  ParamListInfo params = nullptr;
  std::vector<Oid> types;
  std::vector<pg_tz *> zones;
};

Search::~Search() {
  if (!compiled_)
    return;
  if (compiled_->memory)
    MemoryContextDelete(compiled_->memory);
  delete compiled_;
}

void Search::compile(const std::vector<Oid> &types) {
  if (compiled_)
    return;
  auto made = std::make_unique<Compiled>();
  made->types = {TIMESTAMPTZOID};
  made->types.insert(made->types.end(), types.begin(), types.end());
  for (const auto &zone : zones_)
    if (pg_tz *found = call([&] { return pg_tzset(zone.c_str()); }))
      made->zones.push_back(found);
  const std::string sql = "SELECT " + test_;
  const int count = static_cast<int>(made->types.size());
  made->memory = AllocSetContextCreate(CurrentMemoryContext, "cdp rule search", ALLOCSET_SMALL_SIZES);
  call([&] {
    MemoryContext before = MemoryContextSwitchTo(made->memory);
    ParseState *parse = make_parsestate(nullptr);
    parse->p_sourcetext = pstrdup(sql.c_str());
    setup_parse_fixed_parameters(parse, made->types.data(), count);
    auto *raw = linitial_node(RawStmt, raw_parser(sql.c_str(), RAW_PARSE_DEFAULT));
    Query *query = transformTopLevelStmt(parse, raw);
    Expr *test = expression_planner(linitial_node(TargetEntry, query->targetList)->expr);
    made->params = makeParamList(count);
    made->context = CreateStandaloneExprContext();
    made->context->ecxt_param_list_info = made->params;
    for (int i = 0; i < count; ++i) {
      made->params->params[i].ptype = made->types[i];
      made->params->params[i].pflags = 0;
    }
    made->state = ExecInitExprWithParams(test, made->params);
    MemoryContextSwitchTo(before);
    MemoryContextSetParent(made->memory, TopMemoryContext);
  });
  compiled_ = made.release();
}

// 1 true, 0 false, -1 null.
int Search::truth(Timestamp at) {
  compiled_->params->params[0].value = TimestampTzGetDatum(at);
  compiled_->params->params[0].isnull = false;
  return call([&] {
    bool is_null;
    ResetExprContext(compiled_->context);
    const Datum value = ExecEvalExprSwitchContext(compiled_->state, compiled_->context, &is_null);
    return is_null ? -1 : static_cast<int>(DatumGetBool(value));
  });
}

// The first instant after low whose truth differs; low and high differ.
Timestamp Search::turn_between(Timestamp low, Timestamp high, int truth_low) {
  while (high - low > 1) {
    const auto middle = low + (high - low) / 2;
    (truth(middle) == truth_low ? low : high) = middle;
  }
  return high;
}

void Search::run(const std::vector<Oid> &types, const std::vector<Datum> &inputs,
                 const std::vector<bool> &nulls, Timestamp from, Timestamp until,
                 std::vector<Timestamp> &turns) {
  compile(types);
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    compiled_->params->params[i + 1].value = inputs[i];
    compiled_->params->params[i + 1].isnull = nulls[i];
  }
  const auto low = from - kAround;
  const auto high = until > kEndOfTime - kAround ? kEndOfTime : until + kAround;
  if (low >= high)
    return;
  const int first = truth(low);
  if (first >= 0 && first != truth(high))
    look_around(turn_between(low, high, first), from, std::min(until, kEndOfTime), turns);
}

// Time runs back, jumps and clamps near midnights and changes of the offset; between those seams it only runs
// on.
void Search::look_around(Timestamp main, Timestamp from, Timestamp until, std::vector<Timestamp> &turns) {
  const auto keep = [&](Timestamp at) {
    if (at > from && at < until)
      turns.push_back(at);
  };
  const auto points = seams(std::max(main - kAround, from), std::min(main + kAround, until));
  for (std::size_t i = 0; i + 1 < points.size(); ++i) {
    const auto low = points[i], high = points[i + 1] - 1;
    const int truth_low = truth(low), truth_high = high > low ? truth(high) : truth_low;
    if (truth_low != truth_high)
      keep(turn_between(low, high, truth_low));
    if (truth(points[i + 1]) != truth_high)
      keep(points[i + 1]);
  }
}

// Sorted instants from low to high between which every local clock runs evenly.
std::vector<Timestamp> Search::seams(Timestamp low, Timestamp high) {
  if (low >= high)
    return {};
  std::vector<Timestamp> points = {low, high};
  const bool grid =
      std::any_of(compiled_->zones.begin(), compiled_->zones.end(),
                  [&](pg_tz *zone) { return transition_between(zone, low - kDay, high + kDay); }) ||
      (wide_ && std::any_of(compiled_->zones.begin(), compiled_->zones.end(),
                            [](pg_tz *zone) {
                              return transition_between(zone, 0, 400 * kDay) ||
                                     transition_between(zone, 9'000 * kDay, 9'400 * kDay);
                            })) ||
      input_near_transition();
  if (grid) {
    for (auto at = floor_to(low, kQuarter) + kQuarter; at < high; at += kQuarter)
      points.push_back(at);
  } else {
    for (pg_tz *zone : compiled_->zones) {
      const auto offset = zone_offset(zone, low);
      for (auto at = floor_to(low + offset, kDay) + kDay - offset; at < high; at += kDay)
        points.push_back(at);
    }
  }
  std::sort(points.begin(), points.end());
  points.erase(std::unique(points.begin(), points.end()), points.end());
  return points;
}

// On the other side of an interval lies another time of the year.
bool Search::input_near_transition() const {
  for (std::size_t i = 1; i < compiled_->types.size(); ++i) {
    const auto &input = compiled_->params->params[i];
    if (input.isnull)
      continue;
    Timestamp at = 0;
    switch (compiled_->types[i]) {
    case TIMESTAMPTZOID:
    case TIMESTAMPOID:
      at = DatumGetTimestamp(input.value);
      break;
    case DATEOID:
      at = DatumGetDateADT(input.value) * kDay;
      break;
    default:
      continue;
    }
    if (at < -INT64_C(1'000'000) * kDay || at > INT64_C(3'000'000) * kDay)
      continue;
    for (pg_tz *zone : compiled_->zones)
      if (transition_between(zone, at - kAround - kDay, at + kAround + kDay))
        return true;
  }
  return false;
}

} // namespace cdp::pg
