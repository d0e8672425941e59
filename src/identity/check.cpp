// A candidate identifier as an expression: exactly one, or it does not go into a query.
#include "pg/function.hpp"
#include "pg/rule_tree.hpp"

// cdp_internal.check_expression(text): raises where the text is not one expression.
CDP_FUNCTION(cdp_check_expression) {
  using namespace cdp;
  const pg::detail::HandlerScope callbacks; // which would take the error's position for theirs
  error_context_stack = nullptr;
  pg::rule::parse_expression(pg::text_argument(fcinfo, 0), "a candidate identifier");
  PG_RETURN_VOID();
}
