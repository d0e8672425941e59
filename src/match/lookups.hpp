// What is kept of a followed table, by keys, thousands of them a batch: straight from the indexes, since a
// statement takes several times as long a key, and a plan that was made while a table was empty may read all
// of it for each. Everything here may throw PgError and Error.
#pragma once

#include <cstdint>
#include <optional>

#include "pg/scan.hpp"

namespace cdp::match {

class Lookups {
public:
  explicit Lookups(std::int32_t binding);

  /// visit(cells, place): id, source, features, neighbours, cluster, of each of these records, which are
  /// sorted. Visits must not call the backend.
  template <class Visit> void records(std::span<const std::int32_t> numbers, Visit &&visit) {
    records_.each_of({binding_}, numbers, visit);
  }
  /// visit(cells): the same of one record, and its number.
  template <class Visit> void record_of(std::string_view id, std::string_view source, Visit &&visit) {
    ids_.each({binding_, pg::text_part(id), pg::text_part(source)}, once(visit));
  }
  /// visit(cells, place): entries, of each of these buckets, which are sorted.
  template <class Visit> void buckets(int part, std::span<const std::int32_t> buckets, Visit &&visit) {
    index_.each_of({binding_, pg::integer_part(part)}, buckets, visit);
  }
  /// visit(cells): a record's number, and the key.
  template <class Visit> void additions(int part, std::uint64_t key, Visit &&visit) {
    additions_.each({binding_, pg::integer_part(part), pg::bigint_part(static_cast<std::int64_t>(key))},
                    always(visit));
  }
  /// The same of all that are there.
  template <class Visit> void all_additions(int part, Visit &&visit) {
    if (!parts_)
      parts_.emplace(moment_, "cdp_internal", "match_additions", "match_additions_pkey", kAddition);
    parts_->each({binding_, pg::integer_part(part)}, always(visit));
  }

private:
  static constexpr std::initializer_list<pg::ScannedTable::Column> kAddition{{"record", INT4OID},
                                                                             {"key", INT8OID}};

  template <class Visit> static auto always(Visit &visit) {
    return [&visit](const pg::Cells &row) {
      visit(row);
      return true;
    };
  }

  template <class Visit> static auto once(Visit &visit) { // under a key that is unique
    return [&visit](const pg::Cells &row) {
      visit(row);
      return false;
    };
  }

  const pg::KeyPart binding_;
  const pg::Moment moment_;
  pg::KeyScan records_, ids_, index_, additions_;
  std::optional<pg::KeyScan> parts_; // of additions, by fewer columns of the key
};

} // namespace cdp::match
