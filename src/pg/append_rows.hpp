// Many new rows of a table with indexes: pages are filled and logged a page at a time, as COPY does, where
// INSERT would form, place and log row by row.
#pragma once
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pg/guard.hpp"

namespace cdp::pg {

// A value, and whether it is null.
using Cell = std::pair<Datum, bool>;

inline Cell null_cell() {
  return {Datum(0), true};
}
inline Cell bigint_cell(std::int64_t value) {
  return {Int64GetDatum(value), false};
}
inline Cell integer_cell(std::int32_t value) {
  return {Int32GetDatum(value), false};
}
inline Cell boolean_cell(bool value) {
  return {BoolGetDatum(value), false};
}
inline Cell pointer_cell(const void *value) { // a varlena or a uuid; nullptr is null
  return {PointerGetDatum(value), value == nullptr};
}
// These are made in the current memory context.
Cell text_cell(std::string_view text);
inline Cell optional_text_cell(const std::optional<std::string> &text) {
  return text ? text_cell(*text) : null_cell();
}
Cell bigints_cell(std::span<const std::int64_t> values);

// Collects rows, and writes them all.
class RowAppend {
public:
  explicit RowAppend(int columns) : columns_(columns) {}

  // One row, a cell for each column; what they point to lives until write().
  void add(std::initializer_list<Cell> row) {
    for (const auto &[value, is_null] : row) {
      values_.push_back(value);
      nulls_.push_back(is_null);
    }
  }
  std::size_t rows() const { return values_.size() / static_cast<std::size_t>(columns_); }

  // False, and nothing is done, where INSERT would have to do more than form rows, check constraints and fill
  // indexes, or where the columns are not of these types. Raises what INSERT raises.
  bool write(const char *schema, const char *table, std::initializer_list<Oid> types);

  // As INSERT … ON CONFLICT (the columns of this unique index) DO NOTHING, row by row: for a few. Says of
  // each row whether it was written. Nothing, and nothing is done, where write() would return false.
  // `looked`: none of them was there just now, so that a row is written before it is looked for.
  enum class Looked { not_yet, just_now };
  std::optional<std::vector<bool>> write_new(const char *schema, const char *table, const char *index,
                                             std::initializer_list<Oid> types, Looked looked);

private:
  int columns_;
  std::vector<Datum> values_;
  std::vector<char> nulls_;
};

} // namespace cdp::pg
