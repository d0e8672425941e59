#include "pg/sequence.hpp"

#include "pg/names.hpp"

extern "C" {
#include "commands/sequence.h"
}

namespace cdp::pg {

std::vector<std::int64_t> next_values(const char *schema, const char *sequence, std::size_t count) {
  std::vector<std::int64_t> values(count);
  call([&] {
    const Oid id = relation_named(schema, sequence);
    if (!OidIsValid(id))
      ereport(ERROR, errcode(ERRCODE_UNDEFINED_TABLE),
              errmsg("relation \"%s.%s\" does not exist", schema, sequence));
    for (auto &value : values)
      value = nextval_internal(id, true);
  });
  return values;
}

void have_transaction_id() {
  call([] { (void)GetTopTransactionId(); });
}

} // namespace cdp::pg
