// Pieces that statements about one person are made of; `s` is the step, `e` its events.
#pragma once
#include "segment/statements.hpp"

namespace cdp::segment {

namespace parts {
std::string events(const pg::Rule &rule, const char *bound);
std::string events_until_now(const pg::Rule &rule); // in their order, where it matters
std::string key_text(const pg::Rule &rule);         // of a computed trait its value
std::string group_by(const pg::Rule &rule);
std::string quoted(const std::string &text);
std::string array_of(const std::vector<std::string> &texts);
// `, ARRAY[…] AS segments`, as stored at an instant; nothing of a rule that asks about none.
std::string since_column(const std::vector<std::string> &traits, const std::string &profile_id);
// And `, ARRAY[…] AS computed` of the last so many.
std::string segments_column(const std::vector<std::int32_t> &segments, std::size_t computed,
                            const std::string &profile_id, const std::string &at);
} // namespace parts

// What why_member says of each condition.
std::string explain_statement(const pg::Rule &rule);

} // namespace cdp::segment
