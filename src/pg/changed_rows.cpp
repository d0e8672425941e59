#include "pg/changed_rows.hpp"

extern "C" {
#include "access/attnum.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "executor/tuptable.h"
#include "utils/datum.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"
}
#undef printf
#undef fprintf
#undef sprintf
#undef snprintf

namespace cdp::pg {

namespace {

const TriggerData *trigger(FunctionCallInfo fcinfo) {
  if (!CALLED_AS_TRIGGER(fcinfo))
    throw Error(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED, "this function is a trigger");
  return reinterpret_cast<const TriggerData *>(fcinfo->context);
}

// Numbers of columns; empty when one is not there.
std::vector<int> numbers_of(TupleDesc row, const std::vector<std::string> &names) {
  std::vector<int> numbers;
  for (const auto &name : names)
    for (int i = 0; i < row->natts; ++i)
      if (const auto *column = TupleDescAttr(row, i);
          !column->attisdropped && name == NameStr(column->attname))
        numbers.push_back(i);
  return numbers.size() == names.size() ? numbers : std::vector<int>();
}

// Equal bytes are equal values, without bringing long ones from where they are kept.
bool same(const FormData_pg_attribute *column, Datum a, Datum b) {
  if (column->attbyval)
    return a == b;
  if (column->attlen == -1) {
    const auto *one = DatumGetPointer(a), *other = DatumGetPointer(b);
    if (VARSIZE_ANY(one) == VARSIZE_ANY(other) && memcmp(one, other, VARSIZE_ANY(one)) == 0)
      return true;
    if (!VARATT_IS_EXTENDED(one) && !VARATT_IS_EXTENDED(other))
      return false;
  }
  return datum_image_eq(a, b, column->attbyval, column->attlen);
}

bool same(TupleTableSlot *old, TupleTableSlot *now, const int *columns, int count) {
  for (int i = 0; i < count; ++i) {
    const int n = columns[i];
    if (old->tts_isnull[n] != now->tts_isnull[n])
      return false;
    if (!old->tts_isnull[n] &&
        !same(TupleDescAttr(now->tts_tupleDescriptor, n), old->tts_values[n], now->tts_values[n]))
      return false;
  }
  return true;
}

// A transition table, read beside others that read it.
struct Reader {
  Tuplestorestate *store;
  TupleTableSlot *slot;
  int pointer;

  void open(Tuplestorestate *from, TupleDesc row) {
    store = from;
    slot = MakeSingleTupleTableSlot(row, &TTSOpsMinimalTuple);
    pointer = tuplestore_alloc_read_pointer(store, EXEC_FLAG_REWIND);
    tuplestore_select_read_pointer(store, pointer);
    tuplestore_rescan(store);
  }
  bool next() {
    tuplestore_select_read_pointer(store, pointer);
    if (!tuplestore_gettupleslot(store, true, false, slot))
      return false;
    slot_getallattrs(slot);
    return true;
  }
};

struct Keys { // of a chunk, in memory of its own: the rows' belongs to their readers
  MemoryContext memory;
  const int *columns;
  FmgrInfo *outputs;
  int width, count;
  Datum *values;
  bool *nulls;

  void add(const TupleTableSlot *slot) {
    MemoryContext before = MemoryContextSwitchTo(memory);
    for (int i = 0; i < width; ++i, ++count) {
      const int n = columns[i];
      nulls[count] = slot->tts_isnull[n];
      if (!nulls[count])
        values[count] = CStringGetTextDatum(OutputFunctionCall(&outputs[i], slot->tts_values[n]));
    }
    MemoryContextSwitchTo(before);
  }
  Datum array() {
    int sizes[1] = {count}, from[1] = {1};
    MemoryContext before = MemoryContextSwitchTo(memory);
    ArrayType *made = construct_md_array(values, nulls, 1, sizes, from, TEXTOID, -1, false, TYPALIGN_INT);
    MemoryContextSwitchTo(before);
    return PointerGetDatum(made);
  }
};

// Keys read back as they were whatever the session's formats are.
void set_formats() {
  for (const auto &[name, value] : {std::pair("datestyle", "ISO"), std::pair("intervalstyle", "postgres"),
                                    std::pair("timezone", "UTC"), std::pair("extra_float_digits", "1"),
                                    std::pair("bytea_output", "hex"), std::pair("lc_monetary", "C")})
    (void)set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

bool has_formats(TupleDesc row, const std::vector<int> &columns) {
  for (int n : columns)
    switch (TupleDescAttr(row, n)->atttypid) {
    case INT2OID:
    case INT4OID:
    case INT8OID:
    case TEXTOID:
    case VARCHAROID:
    case BPCHAROID:
    case UUIDOID:
    case NUMERICOID:
      continue;
    default:
      return true;
    }
  return false;
}

} // namespace

std::vector<std::string> trigger_arguments(FunctionCallInfo fcinfo) {
  const auto *data = trigger(fcinfo)->tg_trigger;
  return {data->tgargs, data->tgargs + data->tgnargs};
}

std::int64_t count_changed(FunctionCallInfo fcinfo) {
  const auto *data = trigger(fcinfo);
  auto *written = data->tg_newtable ? data->tg_newtable : data->tg_oldtable;
  return written ? tuplestore_tuple_count(written) : 0;
}

Changed each_changed_key(FunctionCallInfo fcinfo, const std::vector<std::string> &key,
                         const std::vector<std::string> &watched, int most,
                         const std::function<void(Datum, int)> &take) {
  const auto *data = trigger(fcinfo);
  if (TRIGGER_FIRED_BY_TRUNCATE(data->tg_event))
    return Changed::everything;
  TupleDesc row = RelationGetDescr(data->tg_relation);
  const auto key_columns = numbers_of(row, key), columns = numbers_of(row, watched);
  if (key_columns.empty())
    return Changed::unknown;
  const bool may_compare = columns.size() == watched.size(); // else every row may say something else
  Reader old{}, now{};
  Keys keys{};
  int level = 0;
  call([&] {
    keys.memory = AllocSetContextCreate(CurrentMemoryContext, "cdp keys", ALLOCSET_DEFAULT_SIZES);
    keys.columns = key_columns.data();
    keys.width = static_cast<int>(key_columns.size());
    const auto room = static_cast<std::size_t>(most + 1) * key_columns.size();
    keys.outputs = static_cast<FmgrInfo *>(palloc(sizeof(FmgrInfo) * key_columns.size()));
    keys.values = static_cast<Datum *>(palloc(sizeof(Datum) * room));
    keys.nulls = static_cast<bool *>(palloc(sizeof(bool) * room));
    for (int i = 0; i < keys.width; ++i) {
      Oid output;
      bool is_varlena;
      getTypeOutputInfo(TupleDescAttr(row, keys.columns[i])->atttypid, &output, &is_varlena);
      fmgr_info(output, &keys.outputs[i]);
    }
    if (data->tg_oldtable)
      old.open(data->tg_oldtable, row);
    if (data->tg_newtable)
      now.open(data->tg_newtable, row);
    if (has_formats(row, key_columns)) {
      level = NewGUCNestLevel();
      set_formats();
    }
  });
  for (bool more = true; more;) {
    check_for_interrupts();
    const Datum array = call([&] {
      MemoryContextReset(keys.memory);
      keys.count = 0;
      while (keys.count < most * keys.width) {
        const bool has_old = old.store && old.next(), has_new = now.store && now.next();
        more = has_old || has_new;
        if (!more)
          break;
        if (!has_old || !has_new) {
          keys.add(has_new ? now.slot : old.slot);
          continue;
        }
        // Both tables are in the order in which rows were updated; were they not, all their keys would
        // differ.
        const bool same_key = same(old.slot, now.slot, keys.columns, keys.width);
        if (same_key && may_compare &&
            same(old.slot, now.slot, columns.data(), static_cast<int>(columns.size())))
          continue;
        if (!same_key)
          keys.add(old.slot);
        keys.add(now.slot);
      }
      return keys.count > 0 ? keys.array() : Datum(0);
    });
    if (array != 0)
      take(array, keys.count / keys.width);
  }
  call([&] {
    for (auto *reader : {&old, &now})
      if (reader->store)
        ExecDropSingleTupleTableSlot(reader->slot);
    if (level != 0)
      AtEOXact_GUC(false, level);
    MemoryContextDelete(keys.memory);
  });
  return Changed::rows;
}

Fired fired_by(FunctionCallInfo fcinfo) {
  const auto event = trigger(fcinfo)->tg_event;
  return TRIGGER_FIRED_BY_INSERT(event)   ? Fired::by_insert
         : TRIGGER_FIRED_BY_UPDATE(event) ? Fired::by_update
         : TRIGGER_FIRED_BY_DELETE(event) ? Fired::by_delete
                                          : Fired::by_truncate;
}

TransitionRows::TransitionRows(FunctionCallInfo fcinfo, Which which,
                               std::initializer_list<ScannedTable::Column> columns)
    : exceptions_(std::uncaught_exceptions()) {
  const auto *data = trigger(fcinfo);
  const TupleDesc row = RelationGetDescr(data->tg_relation);
  rows_ = which == Which::removed ? data->tg_oldtable : data->tg_newtable;
  if (!rows_)
    throw Error(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED, "the trigger needs its transition tables");
  for (const auto &column : columns) {
    const auto found = numbers_of(row, {column.name});
    if (found.empty() || TupleDescAttr(row, found.front())->atttypid != column.type)
      throw Error(ERRCODE_DATATYPE_MISMATCH,
                  "a trigger's table has no column \"" + std::string(column.name) + "\" of its type");
    cells_.places_.push_back(found.front());
  }
  call([&] {
    cells_.slot_ = MakeSingleTupleTableSlot(row, &TTSOpsMinimalTuple);
    pointer_ = tuplestore_alloc_read_pointer(rows_, EXEC_FLAG_REWIND);
    tuplestore_select_read_pointer(rows_, pointer_);
    tuplestore_rescan(rows_);
  });
}

TransitionRows::~TransitionRows() {
  if (std::uncaught_exceptions() == exceptions_) // else the abort does
    ExecDropSingleTupleTableSlot(cells_.slot_);
}

bool TransitionRows::next() {
  return call([&] {
    tuplestore_select_read_pointer(rows_, pointer_);
    if (!tuplestore_gettupleslot(rows_, true, false, cells_.slot_))
      return false;
    slot_getallattrs(cells_.slot_);
    return true;
  });
}

Cell TransitionRows::text(int column) const {
  if (cells_.is_null(column))
    return {0, true};
  return {call([&] { return PointerGetDatum(PG_DETOAST_DATUM_COPY(cells_.datum(column))); }), false};
}

bool TransitionRows::is_same(int column, const TransitionRows &other) const {
  return call([&] {
    return same(cells_.slot_, other.cells_.slot_, &cells_.places_[static_cast<std::size_t>(column)], 1);
  });
}

} // namespace cdp::pg
