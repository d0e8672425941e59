// A matcher that follows a table: what is kept of its records, so that those that change are matched against
// the others without reading them. Everything here may throw PgError and Error.
#pragma once

#include <unordered_map>

#include "match/judge.hpp"

namespace cdp::match {

/// A row of cdp_internal.match_bindings.
struct Binding {
  std::int32_t id = 0;
  std::string matcher;
  Oid relation = InvalidOid;
  pg::RuleSettings settings; // as whom and how rows are read
  Thresholds thresholds;
  std::vector<std::size_t> rules;    // that a full run chose, and goes on with
  std::unordered_map<int, int> bits; // a part of the index
  std::vector<std::int64_t> known;   // values that were known, a feature
  std::int32_t next_record = 0;
  std::int64_t changed = 0; // records since the last full run
};
Binding load_binding(std::int32_t id);

/// Parts of the index: two a rule, of records on the left (or wherever, where the sides are alike) and on the
/// right; and one a feature, of how often its values occurred.
inline int part_of_rule(std::size_t rule, bool right) {
  return static_cast<int>(rule) * 2 + right;
}
inline int part_of_values(std::size_t feature) {
  return 10000 + static_cast<int>(feature);
}

/// Columns of a table's rows, to be written some thousand at a time.
class RowWriter {
public:
  RowWriter(std::int32_t binding, const char *sql) : binding_(binding), sql_(sql) {}
  RowWriter &integer(std::int32_t value);
  RowWriter &bigint(std::int64_t value);
  RowWriter &text(std::string_view value);
  RowWriter &bytes(std::string value);
  void end_row();
  void finish();

private:
  struct Column {
    char kind = 0;
    std::vector<std::int32_t> integers;
    std::vector<std::int64_t> bigints;
    std::vector<std::string> texts;
  };
  Column &column(char kind);

  std::int32_t binding_;
  const char *sql_;
  std::vector<Column> columns_;
  std::size_t at_ = 0, rows_ = 0;
};

extern const char *const kPutRecords; // for a RowWriter: record, id, source, features, neighbours, cluster

} // namespace cdp::match
