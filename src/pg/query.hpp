// Queries that people write, as the definition of a segment: checked once, and run as their owner, reading
// only.
#pragma once
#include <string>
#include <vector>

#include "pg/rule_run.hpp"

namespace cdp::pg {

// While this lives, errors do not tell what called: their positions stay those of the text that is read.
class WithoutContext {
public:
  WithoutContext() : callbacks_(error_context_stack) { error_context_stack = nullptr; }
  ~WithoutContext() { error_context_stack = callbacks_; }
  WithoutContext(const WithoutContext &) = delete;
  WithoutContext &operator=(const WithoutContext &) = delete;

private:
  ErrorContextCallback *callbacks_;
};

// The query without what follows it, such as a semicolon. It must be one SELECT of profile_id, and of key if
// it likes, that writes nothing; else an error points at what is wrong. Under the settings in force (see
// AsOwner).
std::string check_query(const std::string &query);

// All rows of profile_id and key, into the result of a set-returning function; under the settings in force.
void run_members(const std::string &query, ReturnSetInfo *result);

// The people of these rows, one a membership, sorted; in the snapshot of the query that called.
std::vector<std::int64_t> people_of(const std::string &query);

// Throws what a caller's mistake raised, without telling of the functions and queries inside that met it;
// what is not the caller's mistake as it is.
[[noreturn]] void throw_to_caller(const PgError &error);

// Runs cdp_internal's function of the same name as the one that is called, with the extension's rights: its
// first argument says who calls, under which settings, and the others are the caller's. Errors: see
// throw_to_caller.
Datum forward(FunctionCallInfo fcinfo);

} // namespace cdp::pg
