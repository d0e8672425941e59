#include "pg/spi.hpp"

#include "pg/rule_run.hpp"

namespace cdp::pg {

Session::Session() : exceptions_(std::uncaught_exceptions()) {
  call([] {
    if (SPI_connect() != SPI_OK_CONNECT)
      elog(ERROR, "SPI_connect failed");
  });
}

Session::~Session() {
  if (std::uncaught_exceptions() == exceptions_)
    SPI_finish();
}

OwnNames::OwnNames()
    : exceptions_(std::uncaught_exceptions()), guc_level_(call([] {
        const int level = NewGUCNestLevel();
        set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
                          true, 0, false);
        return level;
      })) {}

OwnNames::~OwnNames() {
  if (std::uncaught_exceptions() == exceptions_)
    AtEOXact_GUC(true, guc_level_);
}

Params &Params::add(Oid type, Datum value, bool is_null) {
  types_.push_back(type);
  values_.push_back(value);
  nulls_.push_back(is_null ? 'n' : ' ');
  return *this;
}

Params &Params::bigint(std::int64_t value) {
  return add(INT8OID, Int64GetDatum(value));
}
Params &Params::integer(std::int32_t value) {
  return add(INT4OID, Int32GetDatum(value));
}
Params &Params::boolean(bool value) {
  return add(BOOLOID, BoolGetDatum(value));
}
Params &Params::timestamp(Timestamp value) {
  return add(TIMESTAMPTZOID, TimestampTzGetDatum(value));
}

static Datum text_datum(std::string_view value) {
  return call([&] {
    return PointerGetDatum(cstring_to_text_with_len(value.data(), static_cast<int>(value.size())));
  });
}

Params &Params::text(std::string_view value) {
  return add(TEXTOID, text_datum(value));
}

Params &Params::optional_text(const std::optional<std::string> &value) {
  return value ? text(*value) : add(TEXTOID, 0, true);
}

Params &Params::add_array(Oid element, std::vector<Datum> &values, const bool *nulls, int length,
                          bool by_value, char align) {
  return add(get_array_type(element), call([&] {
               int dims[1] = {static_cast<int>(values.size())};
               int lower[1] = {1};
               return PointerGetDatum(construct_md_array(values.data(), const_cast<bool *>(nulls), 1, dims,
                                                         lower, element, length, by_value, align));
             }));
}

Params &Params::bigints(std::span<const std::int64_t> values) {
  std::vector<Datum> datums(values.size());
  for (std::size_t i = 0; i < values.size(); ++i)
    datums[i] = Int64GetDatum(values[i]);
  return add_array(INT8OID, datums, nullptr, 8, true, TYPALIGN_DOUBLE);
}

Params &Params::integers(std::span<const std::int32_t> values) {
  std::vector<Datum> datums(values.size());
  for (std::size_t i = 0; i < values.size(); ++i)
    datums[i] = Int32GetDatum(values[i]);
  return add_array(INT4OID, datums, nullptr, 4, true, TYPALIGN_INT);
}

Params &Params::timestamps(std::span<const Timestamp> values) {
  std::vector<Datum> datums(values.size());
  for (std::size_t i = 0; i < values.size(); ++i)
    datums[i] = TimestampTzGetDatum(values[i]);
  return add_array(TIMESTAMPTZOID, datums, nullptr, 8, true, TYPALIGN_DOUBLE);
}

Params &Params::texts(std::span<const std::string> values) {
  std::vector<Datum> datums(values.size());
  for (std::size_t i = 0; i < values.size(); ++i)
    datums[i] = text_datum(values[i]);
  return add_array(TEXTOID, datums, nullptr, -1, false, TYPALIGN_INT);
}

Params &Params::byteas(std::span<const std::string> values) {
  std::vector<Datum> datums;
  for (const auto &value : values)
    datums.push_back(call([&] {
      return PointerGetDatum(cstring_to_text_with_len(value.data(), static_cast<int>(value.size())));
    }));
  return add_array(BYTEAOID, datums, nullptr, -1, false, TYPALIGN_INT);
}

Params &Params::optional_texts(std::span<const std::optional<std::string>> values) {
  std::vector<Datum> datums(values.size());
  auto nulls = std::make_unique<bool[]>(values.size() + 1);
  for (std::size_t i = 0; i < values.size(); ++i) {
    nulls[i] = !values[i];
    datums[i] = values[i] ? text_datum(*values[i]) : 0;
  }
  return add_array(TEXTOID, datums, nulls.get(), -1, false, TYPALIGN_INT);
}

Params &Params::places(std::span<const ItemPointerData> values) {
  std::vector<Datum> datums(values.size());
  for (std::size_t i = 0; i < values.size(); ++i)
    datums[i] = PointerGetDatum(&values[i]);
  return add_array(TIDOID, datums, nullptr, sizeof(ItemPointerData), false, TYPALIGN_SHORT);
}

Params &Params::uuids(std::span<const pg_uuid_t> values) {
  std::vector<Datum> datums(values.size());
  for (std::size_t i = 0; i < values.size(); ++i)
    datums[i] = PointerGetDatum(&values[i]);
  return add_array(UUIDOID, datums, nullptr, UUID_LEN, false, TYPALIGN_CHAR);
}

Params &Params::jsonbs(std::span<void *const> values) {
  std::vector<Datum> datums(values.size());
  auto nulls = std::make_unique<bool[]>(values.size() + 1);
  for (std::size_t i = 0; i < values.size(); ++i) {
    nulls[i] = values[i] == nullptr;
    datums[i] = PointerGetDatum(values[i]);
  }
  return add_array(JSONBOID, datums, nulls.get(), -1, false, TYPALIGN_INT);
}

Rows::~Rows() {
  if (table_ && std::uncaught_exceptions() == 0)
    SPI_freetuptable(table_);
}

// SPI_getbinval() raises no errors, so it needs no wall, which would cost more than it does.
Datum Rows::datum(std::size_t row, int column) const {
  bool is_null;
  return SPI_getbinval(table_->vals[row], table_->tupdesc, column, &is_null);
}

bool Rows::is_null(std::size_t row, int column) const {
  bool is_null;
  (void)SPI_getbinval(table_->vals[row], table_->tupdesc, column, &is_null);
  return is_null;
}

std::int64_t Rows::bigint(std::size_t row, int column) const {
  return DatumGetInt64(datum(row, column));
}
std::int32_t Rows::integer(std::size_t row, int column) const {
  return DatumGetInt32(datum(row, column));
}
bool Rows::boolean(std::size_t row, int column) const {
  return DatumGetBool(datum(row, column));
}
Timestamp Rows::timestamp(std::size_t row, int column) const {
  return DatumGetTimestampTz(datum(row, column));
}

ItemPointerData Rows::place(std::size_t row, int column) const {
  return *reinterpret_cast<ItemPointer>(DatumGetPointer(datum(row, column)));
}

pg_uuid_t Rows::uuid(std::size_t row, int column) const {
  return *DatumGetUUIDP(datum(row, column));
}

std::vector<std::int64_t> Rows::bigints(std::size_t row, int column) const {
  const Datum stored = datum(row, column);
  ArrayType *array = call([&] {
    ArrayType *plain = DatumGetArrayTypeP(stored);
    if (ARR_ELEMTYPE(plain) != INT8OID || array_contains_nulls(plain))
      elog(ERROR, "a bigint[] without nulls was expected");
    return plain;
  });
  const auto *first = reinterpret_cast<const std::int64_t *>(ARR_DATA_PTR(array));
  std::vector<std::int64_t> values(first, first + ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array)));
  if (reinterpret_cast<Pointer>(array) != DatumGetPointer(stored))
    call([&] { pfree(array); });
  return values;
}

Oid Rows::type(int column) const {
  return SPI_gettypeid(table_->tupdesc, column);
}

namespace {

std::string_view view_of(Datum value) {
  auto *plain = reinterpret_cast<struct varlena *>(DatumGetPointer(value));
  if (VARATT_IS_EXTERNAL(plain) || VARATT_IS_COMPRESSED(plain)) // "short" is said of a pointer elsewhere, too
    plain = call([&] { return pg_detoast_datum_packed(plain); });
  return {VARDATA_ANY(plain), static_cast<std::size_t>(VARSIZE_ANY_EXHDR(plain))};
}

} // namespace

std::string_view Rows::view(std::size_t row, int column) const {
  const Datum value = datum(row, column);
  return DatumGetPointer(value) ? view_of(value) : std::string_view(); // NULL, as text() has it
}

// A row is taken apart once: to find a column by itself, all texts before it are gone over.
void Rows::views(std::size_t row, std::vector<std::string_view> &texts) const {
  Datum values[MaxTupleAttributeNumber];
  bool nulls[MaxTupleAttributeNumber];
  heap_deform_tuple(table_->vals[row], table_->tupdesc, values, nulls);
  texts.resize(static_cast<std::size_t>(table_->tupdesc->natts));
  for (std::size_t i = 0; i < texts.size(); ++i)
    texts[i] = nulls[i] ? std::string_view() : view_of(values[i]);
}

std::string Rows::bytes(std::size_t row, int column) const {
  return std::string(view(row, column));
}

std::string Rows::text(std::size_t row, int column) const {
  const Oid type_id = type(column);
  if (type_id == TEXTOID || type_id == VARCHAROID)
    return bytes(row, column);
  char *out = call([&] { return SPI_getvalue(table_->vals[row], table_->tupdesc, column); });
  return out ? std::string(out) : std::string();
}

std::optional<std::string> Rows::optional_text(std::size_t row, int column) const {
  if (is_null(row, column))
    return std::nullopt;
  return text(row, column);
}

namespace {

Rows finish(int code, const char *sql) {
  if (code < 0)
    throw Error(ERRCODE_INTERNAL_ERROR, std::string("SPI failed: ") + SPI_result_code_string(code), sql);
  return Rows(SPI_tuptable, SPI_processed);
}

} // namespace

// While a statement runs that must not read tables whole: plans are made at a first run, and anew when
// statistics change.
class PlannerScope {
public:
  explicit PlannerScope(bool by_keys) {
    if (by_keys)
      enable_seqscan = enable_hashjoin = enable_mergejoin = false;
    jit_enabled =
        false; // the costs of what is disabled would call for it, and it takes longer than the statement
  }
  ~PlannerScope() {
    enable_seqscan = seqscan_;
    enable_hashjoin = hashjoin_;
    enable_mergejoin = mergejoin_;
    jit_enabled = jit_;
  }
  PlannerScope(const PlannerScope &) = delete;
  PlannerScope &operator=(const PlannerScope &) = delete;

private:
  const bool seqscan_ = enable_seqscan, hashjoin_ = enable_hashjoin, mergejoin_ = enable_mergejoin,
             jit_ = jit_enabled;
};

void Statement::prepare(const Params &params) {
  if (plan_)
    return;
  plan_ = call([&] {
    // By keys there is one way, however many they are: it is not planned again for each array.
    SPIPlanPtr plan = SPI_prepare_cursor(sql_, static_cast<int>(params.types().size()),
                                         const_cast<Oid *>(params.types().data()),
                                         reads_ == Reads::few_keys ? CURSOR_OPT_GENERIC_PLAN : 0);
    if (!plan)
      elog(ERROR, "could not prepare: %s", SPI_result_code_string(SPI_result));
    SPI_keepplan(plan);
    return plan;
  });
}

Rows Statement::run(const Params &params) {
  prepare(params);
  const PlannerScope scope(reads_ == Reads::few_keys);
  const int code = call([&] {
    return SPI_execute_plan(plan_, const_cast<Datum *>(params.values().data()), params.nulls().data(),
                            read_only_, 0);
  });
  return finish(code, sql_);
}

void Statement::each(const Params &params, const std::function<void(const Rows &)> &take) {
  constexpr long kRows = 10000;
  prepare(params);
  const PlannerScope scope(reads_ == Reads::few_keys);
  Portal portal = call([&] {
    return SPI_cursor_open(nullptr, plan_, const_cast<Datum *>(params.values().data()), params.nulls().data(),
                           read_only_);
  });
  for (bool more = true; more;) {
    check_for_interrupts();
    call([&] { SPI_cursor_fetch(portal, true, kRows); });
    const Rows rows(SPI_tuptable, SPI_processed);
    more = rows.size() > 0;
    if (more)
      take(rows);
  }
  call([&] { SPI_cursor_close(portal); });
}

void need_read_committed() {
  if (inside_rule())
    throw Error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "a rule cannot write with cdp");
  if (IsolationUsesXactSnapshot())
    throw Error(
        ERRCODE_ACTIVE_SQL_TRANSACTION, "cdp writes only at isolation level READ COMMITTED",
        "After waiting for a lock, REPEATABLE READ and SERIALIZABLE read people as they were before, and "
        "merges would be lost.",
        "Use BEGIN ISOLATION LEVEL READ COMMITTED for transactions that write with cdp.");
}

void need_own_transactions(const std::string &procedure) {
  if (IsTransactionBlock())
    throw Error(ERRCODE_ACTIVE_SQL_TRANSACTION, procedure + " commits as it goes on",
                "So it cannot be part of a transaction that somebody else ends.",
                "CALL it outside BEGIN and COMMIT; in psql with AUTOCOMMIT on.");
}

Rows run_once(const std::string &sql, const Params &params, bool read_only) {
  const int code = call([&] {
    return SPI_execute_with_args(
        sql.c_str(), static_cast<int>(params.types().size()), const_cast<Oid *>(params.types().data()),
        const_cast<Datum *>(params.values().data()), params.nulls().data(), read_only, 0);
  });
  return finish(code, sql.c_str());
}

} // namespace cdp::pg
