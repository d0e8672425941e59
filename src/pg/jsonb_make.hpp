// JSON objects to jsonb, for texts that core::json::validate has found nothing wrong with. Results live in
// the current memory context; may throw PgError.
#pragma once
#include <string>
#include <string_view>

namespace cdp::pg {

// As parse_jsonb, but faster, and how jsonb spells it. nullptr: no text, or it holds something rare, which is
// for parse_jsonb.
void *make_jsonb(std::string_view text, std::string &spelling);

} // namespace cdp::pg
