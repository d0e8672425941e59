// The rows of a query whose columns are all texts, some thousands at a time, as the query that called us sees
// them: for whole tables. What texts say is copied once, out of the page; no tuples are made. Everything here
// may throw PgError.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "pg/spi.hpp"

namespace cdp::pg {

// What a receiver puts rows into.
struct TextBatch;

class TextRows {
public:
  explicit TextRows(const std::string &sql, const Params &params = {});
  TextRows(const TextRows &) = delete;
  TextRows &operator=(const TextRows &) = delete;

  // The next rows, one after the other; without data where NULL. Nothing when there are no more. They hold
  // until the call after the next, so that another thread may read them while more come.
  const std::vector<std::string_view> &next();
  void close();

private:
  struct Batch {
    TextBatch *rows = nullptr;
    std::vector<std::string_view> cells;
  };
  Portal portal_;
  Batch batches_[2];
  int at_ = 0;
};

} // namespace cdp::pg
