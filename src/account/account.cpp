// What SQL calls to check expressions over accounts; what decides about their definitions is SQL itself.
#include <algorithm>

#include "core/json_text.hpp"
#include "core/nearest.hpp"
#include "pg/account_rule.hpp"
#include "pg/function.hpp"
#include "pg/jsonb.hpp"
#include "pg/pointing.hpp"
#include "pg/query.hpp"
#include "pg/rule.hpp"
#include "pg/spi.hpp"
#include "profile/fold.hpp"

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

// What there is of a kind, by name.
std::vector<std::string> names_of(Kind kind) {
  const auto rows =
      pg::run_once(kind == Kind::account
                       ? "SELECT name FROM cdp.account_definitions WHERE kind = 'trait' ORDER BY 1"
                       : "SELECT name FROM cdp.segments WHERE replaces IS NULL AND (kind = 'trait') = $1 "
                         "ORDER BY 1",
                   kind == Kind::account ? pg::Params() : pg::Params().boolean(kind == Kind::computed), true);
  std::vector<std::string> names;
  for (std::size_t i = 0; i < rows.size(); ++i)
    names.push_back(rows.text(i, 1));
  return names;
}

// An error points at the first name of what is not there.
void need_asked(const pg::AccountExpression &expression, const std::string &written) {
  for (const auto &one : expression.asked) {
    const auto names = names_of(one.kind);
    if (std::find(names.begin(), names.end(), one.name) != names.end())
      continue;
    const auto nearest = core::nearest(one.name, names);
    const std::string what = one.kind == Kind::segment    ? "segment"
                             : one.kind == Kind::computed ? "computed trait"
                                                          : "account trait";
    throw Error(ERRCODE_UNDEFINED_OBJECT, what + " \"" + one.name + "\" does not exist", {},
                nearest ? "The nearest is \"" + *nearest + "\"."
                        : "Create it first: an expression can ask for what is there.")
        .at(written, pg::character_at(written, one.literals.front()));
  }
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
    pg::Session session;
    const auto compiled = [&] {
      pg::AsOwner owner(settings, pg::Names::as_written);
      return pg::compile_account(expression, is_rule);
    }();
    need_asked(compiled, expression);
    result = to_json(compiled);
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

// cdp_internal.account_traits(group_id): what group messages said of an account, by the rules of policy
// accounts.
CDP_FUNCTION(cdp_account_traits) {
  const auto group_id = pg::text_argument(fcinfo, 0);
  std::string folded;
  {
    pg::Session session;
    const auto fold = profile::account_fold_in_force();
    core::Traits traits(fold.rules());
    std::vector<core::Misfit> none; // traits of accounts are not defined
    profile::read_account_assertions(group_id,
                                     [&](const core::Assertion &said) { traits.assert_all(said, none); });
    traits.settle(fold.world, GetCurrentTransactionStartTimestamp());
    folded = traits.traits_json();
  }
  PG_RETURN_POINTER(pg::parse_jsonb(folded));
}
