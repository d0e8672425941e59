// What is kept of a followed table, by keys, thousands of them a batch: straight from the indexes, since a
// statement takes several times as long a key, and a plan that was made while a table was empty may read all
// of it for each. Everything here may throw PgError and Error.
#pragma once

#include <cstdint>

#include "pg/scan.hpp"

namespace cdp::match {

class Lookups {
public:
  explicit Lookups(std::int32_t binding);

  /// visit(cells): id, source, features, neighbours, cluster. Visits must not call the backend.
  template <class Visit> void record(std::uint32_t number, Visit &&visit) {
    records_.each({binding_, pg::integer_part(static_cast<std::int32_t>(number))}, always(visit));
  }
  /// visit(cells): entries.
  template <class Visit> void bucket(int part, std::int32_t bucket, Visit &&visit) {
    index_.each({binding_, pg::integer_part(part), pg::integer_part(bucket)}, always(visit));
  }
  /// visit(cells): a record's number.
  template <class Visit> void additions(int part, std::uint64_t key, Visit &&visit) {
    additions_.each({binding_, pg::integer_part(part), pg::bigint_part(static_cast<std::int64_t>(key))},
                    always(visit));
  }

private:
  template <class Visit> static auto always(Visit &visit) {
    return [&visit](const pg::Cells &row) {
      visit(row);
      return true;
    };
  }

  const pg::KeyPart binding_;
  const pg::Moment moment_;
  pg::KeyScan records_, index_, additions_;
};

} // namespace cdp::match
