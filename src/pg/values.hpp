// Values that were kept as bytes, and numbers that were added up, as PostgreSQL has them.
#pragma once
#include <span>
#include <vector>

#include "pg/guard.hpp"

namespace cdp::pg {

// A type whose values are kept as their plain bytes, without a length. May throw PgError.
class ValueType {
public:
  explicit ValueType(Oid type);

  bool is_by_value() const { return by_value_; }
  Datum datum(std::string_view bytes, MemoryContext memory) const;

  // Of the chosen values their places in the type's order, equal ones the same; 0 for the others.
  std::vector<std::int32_t> rank(std::span<const Datum> values, std::vector<std::size_t> chosen) const;

private:
  Oid type_;
  int16 length_;
  bool by_value_;
};

// A numeric of units of 10^-15, spelled with `scale` digits behind the point; and divided by a count. In the
// current memory context, and only inside pg::call.
Datum numeric_of(__int128 units, int scale);
Datum average_of(__int128 units, int scale, std::int64_t count);

} // namespace cdp::pg
