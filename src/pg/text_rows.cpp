#include "pg/text_rows.hpp"

extern "C" {
#include "executor/tuptable.h"
#include "tcop/dest.h"
#include "tcop/pquery.h"
}

namespace cdp::pg {

struct TextBatch {
  DestReceiver receiver; // first: it is what the executor is given
  char *bytes;
  std::size_t used, room;
  std::int32_t *lengths; // a column a row; -1 is NULL
  std::size_t cells, room_for_cells;
};

namespace {

constexpr long kRows = 4096;

// Called by the executor: it may jump away, and owns nothing.
bool receive(TupleTableSlot *slot, DestReceiver *self) {
  auto &batch = *reinterpret_cast<TextBatch *>(self);
  slot_getallattrs(slot);
  const auto columns = static_cast<std::size_t>(slot->tts_tupleDescriptor->natts);
  if (batch.cells + columns > batch.room_for_cells) {
    batch.room_for_cells = 2 * (batch.cells + columns);
    batch.lengths = static_cast<std::int32_t *>(
        repalloc_huge(batch.lengths, batch.room_for_cells * sizeof(std::int32_t)));
  }
  for (std::size_t i = 0; i < columns; ++i) {
    auto &length = batch.lengths[batch.cells++];
    if (slot->tts_isnull[i]) {
      length = -1;
      continue;
    }
    auto *kept = reinterpret_cast<struct varlena *>(DatumGetPointer(slot->tts_values[i]));
    auto *text = pg_detoast_datum_packed(kept);
    length = static_cast<std::int32_t>(VARSIZE_ANY_EXHDR(text));
    const auto size = static_cast<std::size_t>(length);
    if (batch.used + size > batch.room) {
      batch.room = 2 * (batch.used + size);
      batch.bytes = static_cast<char *>(repalloc_huge(batch.bytes, batch.room));
    }
    memcpy(batch.bytes + batch.used, VARDATA_ANY(text), size);
    batch.used += size;
    if (text != kept)
      pfree(text);
  }
  return true;
}

void start(DestReceiver *, int, TupleDesc) {}
void ignore(DestReceiver *) {}

TextBatch *make_batch() { // inside pg::call
  auto *batch = static_cast<TextBatch *>(palloc0(sizeof(TextBatch)));
  batch->receiver = {receive, start, ignore, ignore, DestNone};
  batch->room = 1 << 20;
  batch->bytes = static_cast<char *>(palloc(batch->room));
  batch->room_for_cells = 1 << 16;
  batch->lengths = static_cast<std::int32_t *>(palloc(batch->room_for_cells * sizeof(std::int32_t)));
  return batch;
}

} // namespace

TextRows::TextRows(const std::string &sql, const Params &params) {
  auto types = params.types();
  auto values = params.values();
  const WithoutJit planned;
  portal_ = call([&] {
    for (auto &batch : batches_)
      batch.rows = make_batch();
    return SPI_cursor_open_with_args(nullptr, sql.c_str(), static_cast<int>(types.size()), types.data(),
                                     values.data(), params.nulls().data(), true, CURSOR_OPT_NO_SCROLL);
  });
}

const std::vector<std::string_view> &TextRows::next() {
  auto &batch = batches_[at_ ^= 1];
  auto *rows = batch.rows;
  auto &cells = batch.cells;
  rows->used = rows->cells = 0;
  check_for_interrupts();
  call([&] { PortalRunFetch(portal_, FETCH_FORWARD, kRows, &rows->receiver); });
  cells.clear();
  std::size_t at = 0;
  for (std::size_t i = 0; i < rows->cells; ++i) {
    const auto length = rows->lengths[i];
    cells.push_back(length < 0 ? std::string_view()
                               : std::string_view(rows->bytes + at, static_cast<std::size_t>(length)));
    at += length < 0 ? 0 : static_cast<std::size_t>(length);
  }
  return cells;
}

void TextRows::close() {
  call([&] {
    SPI_cursor_close(portal_);
    for (auto &batch : batches_) {
      pfree(batch.rows->bytes);
      pfree(batch.rows->lengths);
      pfree(batch.rows);
    }
  });
}

} // namespace cdp::pg
