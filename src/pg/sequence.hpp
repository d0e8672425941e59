// The next numbers of a sequence, without a statement.
#pragma once
#include <vector>

#include "pg/guard.hpp"

namespace cdp::pg {

// As so many calls of nextval(): it asks for the privilege.
std::vector<std::int64_t> next_values(const char *schema, const char *sequence, std::size_t count);

// Gives this transaction its id, if it has none: so whoever asks what is on its way knows of it before it
// draws numbers.
void have_transaction_id();

} // namespace cdp::pg
