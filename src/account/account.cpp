// What SQL calls to check expressions over accounts; what decides about their definitions is SQL itself.
#include "core/json_text.hpp"
#include "pg/account_rule.hpp"
#include "pg/function.hpp"
#include "pg/query.hpp"

namespace {

using namespace cdp;
using Kind = pg::AskedByAccount::Kind;

// Members of the document, and what SQL calls the kinds.
constexpr std::pair<const char *, Kind> kKinds[] = {
    {"segments", Kind::segment}, {"computed", Kind::computed}, {"account", Kind::account}};

Kind kind_argument(FunctionCallInfo fcinfo, int number) {
  const auto name = pg::text_argument(fcinfo, number);
  for (const auto &[member, kind] : kKinds)
    if (name == member)
      return kind;
  throw Error(ERRCODE_INVALID_PARAMETER_VALUE, "unknown kind \"" + name + "\"");
}

std::string to_json(const pg::AccountExpression &expression) {
  core::json::Text out;
  out.open('{').add("sql", expression.sql).add("traits", expression.asks_traits);
  for (const auto &[member, kind] : kKinds) {
    std::vector<std::string> names;
    for (const auto &one : expression.asked)
      if (one.kind == kind)
        names.push_back(one.name);
    out.add(member, names);
  }
  return out.close().str();
}

} // namespace

// cdp_internal.compile_account(owner, time_zone, search_path, datestyle, intervalstyle, expression, is_rule)
CDP_FUNCTION(cdp_compile_account) {
  const auto settings = pg::settings_argument(fcinfo, 0);
  const auto expression = pg::text_argument(fcinfo, 5);
  const bool is_rule = PG_GETARG_BOOL(6);
  pg::WithoutContext context;
  std::string result;
  {
    pg::AsOwner owner(settings, pg::Names::as_written);
    result = to_json(pg::compile_account(expression, is_rule));
  }
  return pg::text_result(result);
}

// cdp_internal.rename_in_account(owner, time_zone, search_path, datestyle, intervalstyle, expression,
// is_rule, kind, name, new_name)
CDP_FUNCTION(cdp_rename_in_account) {
  const auto settings = pg::settings_argument(fcinfo, 0);
  const auto expression = pg::text_argument(fcinfo, 5);
  const bool is_rule = PG_GETARG_BOOL(6);
  const auto kind = kind_argument(fcinfo, 7);
  const auto name = pg::text_argument(fcinfo, 8), new_name = pg::text_argument(fcinfo, 9);
  std::string renamed;
  {
    pg::AsOwner owner(settings, pg::Names::as_written);
    renamed = pg::rename_in_account(expression, is_rule, kind, name, new_name);
  }
  return pg::text_result(renamed);
}
