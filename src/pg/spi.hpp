// SQL from C++: a session, statements prepared once a backend, array parameters and typed rows.
// Everything here may throw PgError. Values read from Rows are copies, safe after the session ends.
#pragma once
#include "core/timestamp.hpp"

#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "pg/guard.hpp"

namespace cdp::pg {

using core::Timestamp;

// An SPI connection. On an exception it is left open on purpose: the error still lives in its memory, and
// abort closes it.
class Session {
public:
  Session();
  ~Session();
  Session(const Session &) = delete;
  Session &operator=(const Session &) = delete;

private:
  int exceptions_;
};

// While this lives, names are looked up as in functions with SET search_path = pg_catalog, pg_temp: for one
// that is called too often to carry that itself. After an exception, abort puts the search_path back.
class OwnNames {
public:
  OwnNames();
  ~OwnNames();
  OwnNames(const OwnNames &) = delete;
  OwnNames &operator=(const OwnNames &) = delete;

private:
  int exceptions_, guc_level_;
};

// Compiling a statement that reads a table once costs more than it saves.
class WithoutJit {
public:
  WithoutJit() { jit_enabled = false; }
  ~WithoutJit() { jit_enabled = before_; }
  WithoutJit(const WithoutJit &) = delete;
  WithoutJit &operator=(const WithoutJit &) = delete;

private:
  const bool before_ = jit_enabled;
};

// The parameters of one execution, in order. Arrays are copied into the current (SPI) memory context.
class Params {
public:
  Params &bigint(std::int64_t value);
  Params &integer(std::int32_t value);
  Params &boolean(bool value);
  Params &text(std::string_view value);
  Params &optional_text(const std::optional<std::string> &value);
  Params &timestamp(Timestamp value);
  Params &bigints(std::span<const std::int64_t> values);
  Params &integers(std::span<const std::int32_t> values);
  Params &timestamps(std::span<const Timestamp> values);
  Params &texts(std::span<const std::string> values);
  Params &byteas(std::span<const std::string> values);
  Params &optional_texts(std::span<const std::optional<std::string>> values);
  Params &places(std::span<const ItemPointerData> values); // tid[]
  Params &uuids(std::span<const pg_uuid_t> values);
  Params &datum(Oid type, Datum value) { return add(type, value); }
  // jsonb values that were made by Jsonb::parse; nullptr is SQL NULL.
  Params &jsonbs(std::span<void *const> values);

  const std::vector<Oid> &types() const { return types_; }
  const std::vector<Datum> &values() const { return values_; }
  const std::vector<char> &nulls() const { return nulls_; }

private:
  Params &add(Oid type, Datum value, bool is_null = false);
  Params &add_array(Oid element, std::vector<Datum> &values, const bool *nulls, int length, bool by_value,
                    char align);

  std::vector<Oid> types_;
  std::vector<Datum> values_;
  std::vector<char> nulls_;
};

// The rows of one execution. Owns the tuple table; frees it when it goes, unless an error is on its way.
class Rows {
public:
  explicit Rows(SPITupleTable *table, std::uint64_t count) : table_(table), count_(count) {}
  Rows(Rows &&other) noexcept : table_(other.table_), count_(other.count_) { other.table_ = nullptr; }
  Rows(const Rows &) = delete;
  Rows &operator=(const Rows &) = delete;
  ~Rows();

  std::size_t size() const { return count_; }
  bool is_null(std::size_t row, int column) const; // columns count from 1, as in SPI
  std::int64_t bigint(std::size_t row, int column) const;
  std::int32_t integer(std::size_t row, int column) const;
  bool boolean(std::size_t row, int column) const;
  Timestamp timestamp(std::size_t row, int column) const;
  std::string text(std::size_t row, int column) const; // any type, by its output function unless text
  std::optional<std::string> optional_text(std::size_t row, int column) const;
  std::string bytes(std::size_t row, int column) const; // of a bytea
  // Of a bytea or text that is not null; may live no longer than these rows.
  std::string_view view(std::size_t row, int column) const;
  // All columns of a row, which must be texts: as view(), and without data where NULL.
  void views(std::size_t row, std::vector<std::string_view> &texts) const;
  ItemPointerData place(std::size_t row, int column) const; // a ctid
  pg_uuid_t uuid(std::size_t row, int column) const;
  std::vector<std::int64_t> bigints(std::size_t row, int column) const; // a bigint[] without nulls
  Datum datum(std::size_t row, int column) const;                       // lives as long as these rows
  Oid type(int column) const;

private:
  SPITupleTable *table_;
  std::uint64_t count_;
};

// A statement with a plan kept for the life of the backend. Make it a function-local static.
class Statement {
public:
  // few_keys: finds rows by their keys in tables that may be large; whatever a table looks like when the plan
  // is made, it is never read whole. The plan outlives the first messages, and statistics come late.
  enum class Reads { whatever, few_keys };
  // callers: sees what the query that called us sees, whatever is committed meanwhile; for functions that
  // only read.
  enum class Sees { newest, callers };

  explicit constexpr Statement(const char *sql, Reads reads = Reads::whatever, Sees sees = Sees::newest)
      : sql_(sql), reads_(reads), read_only_(sees == Sees::callers) {}
  Rows run(const Params &params = {});
  // Some rows at a time, for what is too much to hold at once.
  void each(const Params &params, const std::function<void(const Rows &)> &take);

private:
  void prepare(const Params &params);

  const char *sql_;
  Reads reads_;
  bool read_only_;
  SPIPlanPtr plan_ = nullptr;
};

inline constexpr auto few_keys = Statement::Reads::few_keys;
inline constexpr auto callers = Statement::Sees::callers;

// Run a text once, without keeping a plan.
Rows run_once(const std::string &sql, const Params &params = {}, bool read_only = false);

// Refuses isolation above READ COMMITTED, with a hint. Whoever writes waits for locks and must then see what
// was committed meanwhile.
void need_read_committed();

// Refuses to begin in a transaction block what commits between its batches, with a hint.
void need_own_transactions(const std::string &procedure);

} // namespace cdp::pg
