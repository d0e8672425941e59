// A full run whose records are kept, and the trigger that says which have changed.
#include "match/follow.hpp"

#include "core/match_wanted.hpp"
#include "pg/changed_rows.hpp"
#include "pg/shown_progress.hpp"

#include <numeric>
#include <span>

namespace cdp::match {

namespace {
constexpr std::size_t kRows = 5000; // that are written at once
} // namespace

const char *const kPutRecords =
    "INSERT INTO cdp_internal.match_records AS r (binding_id, record, id, source, features, neighbours, "
    "cluster) SELECT $1, n.* FROM ROWS FROM (pg_catalog.unnest($2), pg_catalog.unnest($3), "
    "pg_catalog.unnest($4), pg_catalog.unnest($5), pg_catalog.unnest($6), pg_catalog.unnest($7)) AS n "
    "ON CONFLICT (binding_id, record) DO UPDATE SET features = excluded.features, neighbours = "
    "excluded.neighbours, cluster = excluded.cluster";

RowWriter::Column &RowWriter::column(char kind) {
  if (at_ == columns_.size())
    columns_.emplace_back().kind = kind;
  return columns_[at_++];
}

RowWriter &RowWriter::integer(std::int32_t value) {
  column('i').integers.push_back(value);
  return *this;
}

RowWriter &RowWriter::bigint(std::int64_t value) {
  column('b').bigints.push_back(value);
  return *this;
}

RowWriter &RowWriter::text(std::string_view value) {
  column('t').texts.emplace_back(value);
  return *this;
}

RowWriter &RowWriter::bytes(std::string value) {
  column('y').texts.push_back(std::move(value));
  return *this;
}

void RowWriter::end_row() {
  at_ = 0;
  if (++rows_ == kRows)
    finish();
}

void RowWriter::finish() {
  if (rows_ == 0)
    return;
  pg::check_for_interrupts();
  MemoryContext memory = pg::call(
      [] { return AllocSetContextCreate(CurrentMemoryContext, "cdp rows", ALLOCSET_DEFAULT_SIZES); });
  MemoryContext before = MemoryContextSwitchTo(memory);
  pg::Params params;
  params.integer(binding_);
  for (auto &column : columns_) {
    if (column.kind == 'i')
      params.integers(column.integers);
    else if (column.kind == 'b')
      params.bigints(column.bigints);
    else if (column.kind == 't')
      params.texts(column.texts);
    else
      params.byteas(column.texts);
    column.integers.clear();
    column.bigints.clear();
    column.texts.clear();
  }
  pg::run_once(sql_, params);
  MemoryContextSwitchTo(before);
  pg::call([&] { MemoryContextDelete(memory); });
  rows_ = 0;
}

Binding load_binding(std::int32_t id) {
  static pg::Statement select(
      "SELECT b.matcher, b.records::oid::bigint, b.owner, b.time_zone, b.merge_threshold, "
      "b.review_threshold, b.cluster_threshold, b.max_pairs, b.next_record, b.rules::bigint[], "
      "b.parts::bigint[], b.bits::bigint[], b.known, b.changed FROM cdp_internal.match_bindings AS b WHERE "
      "b.binding_id = $1");
  const auto rows = select.run(pg::Params().integer(id));
  if (rows.size() == 0)
    throw Error(ERRCODE_UNDEFINED_OBJECT, "there is no followed matcher " + std::to_string(id));
  Binding binding;
  binding.id = id;
  binding.matcher = rows.text(0, 1);
  binding.relation = static_cast<Oid>(rows.bigint(0, 2));
  binding.settings = {rows.text(0, 3), rows.text(0, 4), "pg_catalog, pg_temp", "ISO, MDY", "postgres"};
  binding.thresholds = {DatumGetFloat8(rows.datum(0, 5)), DatumGetFloat8(rows.datum(0, 6)),
                        DatumGetFloat8(rows.datum(0, 7)), rows.bigint(0, 8)};
  binding.next_record = rows.integer(0, 9);
  for (const auto rule : rows.bigints(0, 10))
    binding.rules.push_back(static_cast<std::size_t>(rule));
  const auto parts = rows.bigints(0, 11), bits = rows.bigints(0, 12);
  for (std::size_t i = 0; i < parts.size() && i < bits.size(); ++i)
    binding.bits[static_cast<int>(parts[i])] = static_cast<int>(bits[i]);
  binding.known = rows.bigints(0, 13);
  binding.changed = rows.bigint(0, 14);
  return binding;
}

namespace {

// Writes what is kept of a full run.
class Keeper {
public:
  Keeper(const Binding &binding, const Matcher &matcher, const Whole &whole)
      : binding_(binding), matcher_(matcher), whole_(whole), hasher_(matcher.model, whole.records),
        index_(binding.id, "INSERT INTO cdp_internal.match_index (binding_id, part, bucket, entries) "
                           "SELECT $1, n.* FROM ROWS FROM (pg_catalog.unnest($2), "
                           "pg_catalog.unnest($3), pg_catalog.unnest($4)) AS n") {}

  void run() {
    forget();
    keep_records();
    for (const auto rule : whole_.widest)
      for (int side = 0; side <= !matcher_.model.rules[rule].symmetric(); ++side)
        keep_keys(rule, side);
    for (std::size_t f = 0; f < matcher_.model.features.size(); ++f)
      keep_frequencies(f);
    index_.finish();
    note();
  }

private:
  void forget() const;
  void keep_records();
  void keep_keys(std::size_t rule, bool right);
  void keep_frequencies(std::size_t feature);
  void put(int part, std::vector<engine::Entry> entries);
  void note() const;

  const Binding &binding_;
  const Matcher &matcher_;
  const Whole &whole_;
  engine::KeyHasher hasher_;
  RowWriter index_;
  std::vector<std::int32_t> parts_, bits_;
  std::vector<std::int64_t> known_;
};

void Keeper::forget() const {
  for (const char *table : {"match_records", "match_index", "match_additions"})
    pg::run_once(std::string("DELETE FROM cdp_internal.") + table + " WHERE binding_id = $1",
                 pg::Params().integer(binding_.id));
}

void Keeper::keep_records() {
  // One after the other in one array: a vector a record would keep a cancel waiting while they are given
  // back.
  std::vector<std::size_t> ends(whole_.records.size() + 1);
  std::vector<engine::Neighbour> neighbours(2 * whole_.edges.size());
  engine::Patience patience;
  for (const auto &edge : whole_.edges) {
    patience.step();
    ++ends[edge.a + 1];
    ++ends[edge.b + 1];
  }
  std::partial_sum(ends.begin(), ends.end(), ends.begin()); // as yet where each begins
  for (const auto &edge : whole_.edges) {
    patience.step();
    neighbours[ends[edge.a]++] = {edge.b, edge.weight};
    neighbours[ends[edge.b]++] = {edge.a, edge.weight};
  }
  const auto neighbours_of = [&](engine::Place place) {
    const auto first = place == 0 ? 0 : ends[place - 1];
    return std::span(neighbours).subspan(first, ends[place] - first);
  };
  RowWriter writer(binding_.id, kPutRecords);
  pg::ShownProgress progress(pg::Task::keep_records, whole_.records.size());
  for (engine::Place place = 0; place < whole_.records.size(); ++place) {
    progress.step(1);
    writer.integer(static_cast<std::int32_t>(place))
        .text(whole_.records.id(place))
        .text(whole_.records.text(whole_.records.source(place)))
        .bytes(engine::pack_features(whole_.records, place))
        .bytes(engine::pack_neighbours(neighbours_of(place)))
        .integer(static_cast<std::int32_t>(whole_.clusters[place]));
    writer.end_row();
  }
  writer.finish();
}

void Keeper::put(int part, std::vector<engine::Entry> entries) {
  const engine::Buckets buckets(std::move(entries));
  parts_.push_back(part);
  bits_.push_back(buckets.bits());
  buckets.each([&](std::int32_t bucket, std::string bytes) {
    index_.integer(part).integer(bucket).bytes(std::move(bytes));
    index_.end_row();
  });
}

void Keeper::keep_keys(std::size_t rule, bool right) {
  std::vector<engine::Entry> entries;
  engine::Patience patience;
  for (engine::Place place = 0; place < whole_.records.size(); ++place, patience.step())
    if (const auto key = hasher_.key(rule, right, place))
      entries.push_back({*key, place});
  put(part_of_rule(rule, right), std::move(entries));
}

// Of values that occur more than once: any other, known or not, counts as one that occurs once.
void Keeper::keep_frequencies(std::size_t feature) {
  known_.push_back(0);
  bool is_used = false;
  for (const auto &comparison : matcher_.model.comparisons)
    for (const auto &level : comparison.levels)
      is_used = is_used || level.tf_feature == static_cast<int>(feature);
  if (!is_used)
    return;
  std::vector<std::uint32_t> counts(whole_.records.dictionary().size());
  engine::Patience patience;
  for (const auto code : whole_.records.codes(static_cast<int>(feature))) {
    patience.step();
    known_.back() += code != 0;
    counts[code] += code != 0;
  }
  std::vector<engine::Entry> entries;
  for (engine::Code code = 1; code < counts.size(); ++code, patience.step())
    if (counts[code] > 1)
      entries.push_back({hasher_.value(code), counts[code]});
  put(part_of_values(feature), std::move(entries));
}

void Keeper::note() const {
  static pg::Statement update(
      "UPDATE cdp_internal.match_bindings SET rules = $2, parts = $3, bits = $4, known = $5, next_record = "
      "$6, records_kept = $6, changed = 0, full_at = pg_catalog.now(), updated_at = pg_catalog.now(), error "
      "= "
      "NULL, error_at = NULL, fingerprint = cdp_internal.matcher_fingerprint(matcher) WHERE binding_id = $1");
  std::vector<std::int32_t> rules(whole_.rules.begin(), whole_.rules.end());
  update.run(pg::Params()
                 .integer(binding_.id)
                 .integers(rules)
                 .integers(parts_)
                 .integers(bits_)
                 .bigints(known_)
                 .integer(static_cast<std::int32_t>(whole_.records.size())));
}

} // namespace

} // namespace cdp::match

using namespace cdp;

// cdp_internal.rebuild_matches(binding integer): all pairs for review
CDP_FUNCTION(cdp_rebuild_matches) {
  pg::Session session;
  const auto binding = match::load_binding(PG_GETARG_INT32(0));
  match::JudgedRows rows(fcinfo, binding.thresholds);
  const auto matcher = match::load_matcher(binding.matcher, {"blocking"});
  auto records = [&] {
    pg::AsOwner owner(binding.settings, pg::Names::as_written);
    return match::read_records(matcher, binding.relation);
  }();
  const match::Whole whole(matcher, std::move(records), binding.thresholds);
  match::Keeper(binding, matcher, whole).run();
  whole.judge(rows);
  PG_RETURN_NULL();
}

// cdp_internal.matched_columns(matcher text): the columns that its conditions and rules read
CDP_FUNCTION(cdp_matched_columns) {
  pg::Session session;
  const auto matcher = match::load_matcher(pg::text_argument(fcinfo, 0), {"blocking"});
  std::vector<std::string> columns;
  for (const auto &feature : matcher.model.features)
    columns.insert(columns.end(), feature.columns.begin(), feature.columns.end());
  static pg::Statement list("SELECT ARRAY(SELECT DISTINCT c FROM pg_catalog.unnest($1) AS c ORDER BY c)");
  const auto rows = list.run(pg::Params().texts(columns));
  const Datum value = rows.datum(0, 1);
  return pg::call([&] { return SPI_datumTransfer(value, false, -1); });
}

// cdp_internal.matched_changed('binding', 'number of key columns', key columns…, watched columns…): a trigger
CDP_FUNCTION(cdp_matched_changed) {
  constexpr int kMostKeys = 1000; // of a line
  const auto arguments = pg::trigger_arguments(fcinfo);
  if (arguments.size() < 3)
    throw Error(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED, "this trigger is made by cdp.follow_matches()");
  const auto id = std::stoi(arguments[0]);
  const auto first_watched = arguments.begin() + 2 + std::stoi(arguments[1]);
  static pg::Statement insert("INSERT INTO cdp_internal.match_changes (binding_id, kind, keys, rows) VALUES "
                              "($1, 'rows', $2, $3)");
  static pg::Statement note("INSERT INTO cdp_internal.match_changes (binding_id, kind) VALUES ($1, 'all')");
  pg::Session session;
  const auto changed =
      pg::each_changed_key(fcinfo, {arguments.begin() + 2, first_watched}, {first_watched, arguments.end()},
                           kMostKeys, [&](Datum keys, int rows) {
                             insert.run(pg::Params().integer(id).datum(TEXTARRAYOID, keys).integer(rows));
                           });
  if (changed == pg::Changed::everything ||
      (changed == pg::Changed::unknown && pg::count_changed(fcinfo) > 0))
    note.run(pg::Params().integer(id));
  return PointerGetDatum(nullptr);
}
