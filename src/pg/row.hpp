// The rows of functions that return a table. May throw PgError; values are copied when a row is put.
#pragma once
#include "core/timestamp.hpp"

#include <algorithm>
#include <span>
#include <string>

#include "pg/function.hpp"
#include "pg/jsonb.hpp"

namespace cdp::pg {

// One row of a materialized result; columns count from 0, and one that is not set is NULL.
template <int columns> class Row {
public:
  explicit Row(FunctionCallInfo fcinfo) : result_(reinterpret_cast<ReturnSetInfo *>(fcinfo->resultinfo)) {
    std::fill_n(nulls_, columns, true);
  }
  Row &bigint(int column, std::int64_t value) { return set(column, Int64GetDatum(value)); }
  Row &integer(int column, std::int32_t value) { return set(column, Int32GetDatum(value)); }
  Row &boolean(int column, bool value) { return set(column, BoolGetDatum(value)); }
  Row &timestamp(int column, core::Timestamp value) { return set(column, TimestampTzGetDatum(value)); }
  Row &text(int column, std::string_view value) { return set(column, text_result(value)); }
  Row &json(int column, const std::string &value) { return set(column, PointerGetDatum(parse_jsonb(value))); }
  Row &bigints(int column, std::span<const std::int64_t> values) {
    return set(column, call([&] {
                 auto *datums = static_cast<Datum *>(palloc(sizeof(Datum) * (values.size() + 1)));
                 for (std::size_t i = 0; i < values.size(); ++i)
                   datums[i] = Int64GetDatum(values[i]);
                 return PointerGetDatum(construct_array(datums, static_cast<int>(values.size()), INT8OID, 8,
                                                        true, TYPALIGN_DOUBLE));
               }));
  }
  Row &bigints(int column, std::initializer_list<std::int64_t> values) {
    return bigints(column, std::span(values.begin(), values.size()));
  }
  Row &null(int column) {
    nulls_[column] = true;
    return *this;
  }
  void put() {
    call([&] { tuplestore_putvalues(result_->setResult, result_->setDesc, values_, nulls_); });
  }

private:
  Row &set(int column, Datum value) {
    values_[column] = value;
    nulls_[column] = false;
    return *this;
  }
  ReturnSetInfo *result_;
  Datum values_[columns] = {};
  bool nulls_[columns];
};

} // namespace cdp::pg
