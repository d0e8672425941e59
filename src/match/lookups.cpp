#include "match/lookups.hpp"

namespace cdp::match {

Lookups::Lookups(std::int32_t binding)
    : binding_(pg::integer_part(binding)), moment_(),
      records_(moment_, "cdp_internal", "match_records", "match_records_pkey",
               {{"id", TEXTOID},
                {"source", TEXTOID},
                {"features", BYTEAOID},
                {"neighbours", BYTEAOID},
                {"cluster", INT4OID}}),
      ids_(moment_, "cdp_internal", "match_records", "match_records_id",
           {{"id", TEXTOID},
            {"source", TEXTOID},
            {"features", BYTEAOID},
            {"neighbours", BYTEAOID},
            {"cluster", INT4OID},
            {"record", INT4OID}}),
      index_(moment_, "cdp_internal", "match_index", "match_index_pkey", {{"entries", BYTEAOID}}),
      additions_(moment_, "cdp_internal", "match_additions", "match_additions_pkey", kAddition) {
  if (!records_.usable() || !ids_.usable() || !index_.usable() || !additions_.usable())
    throw Error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                "an index of what is kept of followed tables is not there or not valid", {},
                "REINDEX cdp_internal.match_records, match_index and match_additions.");
}

} // namespace cdp::match
