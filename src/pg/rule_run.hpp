// Running what a rule's owner wrote: as that role, under the settings the segment keeps, and nothing more.
#pragma once
#include <string>

#include "pg/spi.hpp"

namespace cdp::pg {

struct RuleSettings {
  std::string owner, time_zone, search_path, datestyle, intervalstyle;
  auto operator<=>(const RuleSettings &) const = default;
};

// The settings of this moment; the owner is the role that calls (not the session's).
RuleSettings current_settings();

// Arguments of a function from `first` on: owner, time_zone, search_path, datestyle, intervalstyle.
RuleSettings settings_argument(FunctionCallInfo fcinfo, int first);

// Whose names are looked up first: the rule as it was written needs its own search_path; compiled texts find
// PostgreSQL's own first, and by keys alone unless they read everybody. Temporary objects come last in all,
// or a session could slip in its own.
enum class Names { as_written, compiled, compiled_for_all };

// While this lives, code runs as the owner, restricted, under the settings. After an exception the
// (sub)transaction's abort puts everything back.
class AsOwner {
public:
  AsOwner(const RuleSettings &settings, Names names);
  ~AsOwner();
  AsOwner(const AsOwner &) = delete;
  AsOwner &operator=(const AsOwner &) = delete;

private:
  int exceptions_, guc_level_, security_;
  Oid user_;
};

// Refuse, with 42501, a current user from whom row-level security hides people or events, or who may not read
// them: segments read these for their owners, from what is kept beside the tables. A rule that is kept need
// not ask for the right again: a restore gives it back last, when messages may be coming already.
void need_unhidden_people();
void need_readable_people();

// While this lives, code runs as the owner of our functions, for our own tables.
class AsExtension {
public:
  explicit AsExtension(Oid any_of_our_functions);
  ~AsExtension();
  AsExtension(const AsExtension &) = delete;
  AsExtension &operator=(const AsExtension &) = delete;

private:
  int exceptions_, guc_level_, security_;
  Oid user_;
};

// A text planned once and kept, whatever the parameters, with index lookups.
class KeptPlan {
public:
  explicit KeptPlan(std::string sql) : sql_(std::move(sql)) {}
  ~KeptPlan();
  KeptPlan(const KeptPlan &) = delete;
  KeptPlan &operator=(const KeptPlan &) = delete;
  Rows run(const Params &params);

private:
  std::string sql_;
  SPIPlanPtr plan_ = nullptr;
};

// Whether a rule is running further up the stack: a function that a rule calls must not call back into cdp.
bool inside_rule();

// Whether PostgreSQL knows a time zone of this name.
bool time_zone_exists(const std::string &name);

} // namespace cdp::pg
