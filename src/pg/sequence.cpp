#include "pg/sequence.hpp"

extern "C" {
#include "catalog/namespace.h"
#include "commands/sequence.h"
}

namespace cdp::pg {

std::vector<std::int64_t> next_values(const char *schema, const char *sequence, std::size_t count) {
  std::vector<std::int64_t> values(count);
  call([&] {
    const Oid id = get_relname_relid(sequence, get_namespace_oid(schema, false));
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
