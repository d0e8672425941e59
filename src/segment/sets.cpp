// How many people are in a combination of segments. A segment's set is its bitmaps, as of a position of the
// feed, with everybody looked up in cdp.memberships of whom something was told since, or is to be told, or
// whose time has come or has yet to come for the reader: all in one snapshot, so exact in it.
#include "core/people_set.hpp"

#include <unordered_map>

#include "pg/function.hpp"
#include "pg/spi.hpp"

namespace {

using namespace cdp;
using core::PeopleSet;

// Chunks that were read before, by their place; right as long as the row is the same version.
class Cache {
public:
  core::Chunk find(std::int64_t segment, std::int64_t chunk, const std::string &version) {
    auto found = entries_.find({segment, chunk});
    return found == entries_.end() || found->second.version != version ? nullptr : found->second.chunk;
  }
  void add(std::int64_t segment, std::int64_t chunk, const std::string &version, const core::Chunk &members) {
    if (bytes_ > kMostBytes) {
      entries_.clear();
      bytes_ = 0;
    }
    bytes_ += members->getSizeInBytes() + 128;
    entries_[{segment, chunk}] = {version, members};
  }

private:
  static constexpr std::size_t kMostBytes = 64 << 20;
  struct Entry {
    std::string version;
    core::Chunk chunk;
  };
  std::map<std::pair<std::int64_t, std::int64_t>, Entry> entries_;
  std::size_t bytes_ = 0;
};

Cache &cache() {
  static Cache one;
  return one;
}

struct Operand {
  std::int32_t segment_id = 0;
  std::string name;
  std::optional<std::int64_t> position; // none: no bitmaps
  PeopleSet set;
};

std::vector<Operand> find_operands(const std::vector<std::string> &names) {
  static pg::Statement read(
      "SELECT n.place, s.segment_id, CASE WHEN NOT row_security_active('cdp.memberships') AND t.position <= "
      "(SELECT last_position FROM cdp_internal.feed) THEN t.position END "
      "FROM unnest($1::text[]) WITH ORDINALITY AS n (name, place) LEFT JOIN cdp.segments AS s ON s.name = "
      "n.name AND s.kind <> 'trait' "
      "LEFT JOIN cdp_internal.segment_sets AS t USING (segment_id) ORDER BY n.place",
      pg::few_keys, pg::callers);
  auto rows = read.run(pg::Params().texts(names));
  std::vector<Operand> operands(names.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    operands[i].name = names[i];
    if (rows.is_null(i, 2)) {
      static pg::Statement refuse("SELECT cdp_internal.refuse_segment($1)");
      refuse.run(pg::Params().text(names[i]));
    }
    operands[i].segment_id = rows.integer(i, 2);
    if (!rows.is_null(i, 3))
      operands[i].position = rows.bigint(i, 3);
  }
  return operands;
}

core::Chunk decode(const Operand &operand, const std::string &stored) {
  auto chunk = core::decode(stored);
  if (!chunk)
    throw Error(ERRCODE_DATA_CORRUPTED, "a bitmap of segment " + operand.name + " is damaged",
                "cdp_internal.segment_bitmaps holds bytes that were not written there.",
                "SELECT cdp.rebuild_sets('" + operand.name +
                    "') throws its bitmaps away; people are then counted in cdp.memberships.");
  return std::make_shared<const Roaring>(std::move(*chunk));
}

void read_bitmaps(Operand &operand) {
  static pg::Statement versions("SELECT chunk, concat_ws(' ', tableoid, xmin, ctid, position) FROM "
                                "cdp_internal.segment_bitmaps WHERE segment_id = $1",
                                pg::few_keys, pg::callers);
  static pg::Statement members("SELECT chunk, members FROM cdp_internal.segment_bitmaps WHERE segment_id = "
                               "$1 AND chunk = ANY ($2)",
                               pg::few_keys, pg::callers);
  std::unordered_map<std::int64_t, std::string> version;
  std::vector<std::int64_t> missing;
  {
    auto rows = versions.run(pg::Params().integer(operand.segment_id));
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const auto number = rows.bigint(i, 1);
      auto text = rows.text(i, 2);
      if (auto known = cache().find(operand.segment_id, number, text)) {
        operand.set.put(number, std::move(known));
        continue;
      }
      missing.push_back(number);
      version[number] = std::move(text);
    }
  }
  constexpr std::size_t kSome = 256; // chunks at once, 2 MB
  for (std::size_t start = 0; start < missing.size(); start += kSome) {
    pg::check_for_interrupts();
    const std::span some(missing.begin() + static_cast<std::ptrdiff_t>(start),
                         std::min(kSome, missing.size() - start));
    auto rows = members.run(pg::Params().integer(operand.segment_id).bigints(some));
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const auto number = rows.bigint(i, 1);
      auto chunk = decode(operand, rows.bytes(i, 2));
      cache().add(operand.segment_id, number, version[number], chunk);
      operand.set.put(number, std::move(chunk));
    }
  }
}

// Everybody of whom the bitmaps may be wrong, and whether they are in. An old transaction's now() may lie
// before what was told: then who left or entered in between is looked up, too.
void correct(std::vector<Operand> &operands) {
  static pg::Statement read(
      "SELECT w.place, w.profile_id, EXISTS (SELECT FROM cdp.memberships AS m WHERE m.profile_id = "
      "w.profile_id AND m.segment_id = w.segment_id AND m.entered_at <= now() AND m.left_at > now()) "
      "FROM (SELECT o.place, o.segment_id, d.profile_id FROM unnest($1::int4[], $2::text[], $3::int8[]) WITH "
      "ORDINALITY AS o (segment_id, name, position, place) CROSS JOIN (SELECT least(told_until, now()) AS "
      "low, "
      "greatest(told_until, now()) AS high FROM cdp_internal.feed) AS f CROSS JOIN LATERAL ("
      "SELECT c.profile_id FROM cdp.membership_changes AS c WHERE c.segment = o.name AND c.position > "
      "o.position UNION SELECT t.profile_id FROM cdp_internal.membership_touches AS t WHERE t.segment_id = "
      "o.segment_id AND t.from_at <= f.high UNION SELECT m.profile_id FROM cdp.memberships AS m WHERE "
      "m.segment_id = o.segment_id AND m.left_at > f.low AND m.left_at <= f.high UNION SELECT m.profile_id "
      "FROM cdp.memberships AS m WHERE m.segment_id = o.segment_id AND m.entered_at > f.low AND m.entered_at "
      "<= f.high) AS d) AS w ORDER BY w.place, w.profile_id",
      pg::few_keys, pg::callers);
  std::vector<std::int32_t> segments;
  std::vector<std::string> names;
  std::vector<std::int64_t> positions;
  std::vector<Operand *> corrected;
  for (auto &operand : operands) {
    if (!operand.position)
      continue;
    segments.push_back(operand.segment_id);
    names.push_back(operand.name);
    positions.push_back(*operand.position);
    corrected.push_back(&operand);
  }
  if (corrected.empty())
    return;
  auto rows = read.run(pg::Params().integers(segments).texts(names).bigints(positions));
  for (std::size_t i = 0; i < rows.size(); ++i)
    corrected[static_cast<std::size_t>(rows.bigint(i, 1) - 1)]->set.set(rows.bigint(i, 2),
                                                                        rows.boolean(i, 3));
}

void read_table(Operand &operand) {
  static pg::Statement read("SELECT DISTINCT profile_id FROM cdp.memberships WHERE segment_id = $1 AND "
                            "entered_at <= now() AND left_at > now() ORDER BY profile_id",
                            pg::Statement::Reads::whatever, pg::callers);
  read.each(pg::Params().integer(operand.segment_id), [&](const pg::Rows &rows) {
    for (std::size_t i = 0; i < rows.size(); ++i)
      operand.set.set(rows.bigint(i, 1), true);
  });
}

std::vector<Operand> read_sets(const std::vector<std::string> &names) {
  auto operands = find_operands(names);
  for (auto &operand : operands) {
    if (operand.position)
      read_bitmaps(operand);
    else
      read_table(operand);
  }
  correct(operands);
  return operands;
}

core::SetExpression parse(const std::string &text) {
  try {
    return core::parse_set_expression(text);
  } catch (const core::SetSyntaxError &error) {
    int position = 1;
    for (std::size_t i = 0; i < error.position && i < text.size(); ++i)
      position += (text[i] & 0xC0) != 0x80;
    throw Error(ERRCODE_SYNTAX_ERROR, error.what(), {},
                "Combine names of segments with & (both), | (either), - (not the other) and parentheses, for "
                "example (a | b) - c.")
        .at(text, position);
  }
}

template <class Take> void evaluate(const std::string &text, Take &&take) {
  const auto expression = parse(text);
  pg::Session session;
  auto operands = read_sets(expression.names);
  std::vector<PeopleSet> sets;
  for (auto &operand : operands)
    sets.push_back(std::move(operand.set));
  core::evaluate(expression, sets, take);
}

} // namespace

CDP_FUNCTION(cdp_change_bitmap) {
  Roaring members;
  if (!PG_ARGISNULL(0)) { // a bytea is read as a text is
    auto stored = core::decode(pg::text_argument(fcinfo, 0));
    if (!stored)
      throw Error(ERRCODE_DATA_CORRUPTED, "a bitmap is damaged", {},
                  "SELECT cdp.rebuild_sets() throws all bitmaps away.");
    members = std::move(*stored);
  }
  for (const auto low : pg::integers_argument(fcinfo, 1))
    members.add(static_cast<std::uint32_t>(low));
  for (const auto low : pg::integers_argument(fcinfo, 2))
    members.remove(static_cast<std::uint32_t>(low));
  if (members.isEmpty())
    PG_RETURN_NULL();
  members.runOptimize();
  return pg::text_result(core::encode(members));
}

CDP_FUNCTION(cdp_segment_size) {
  std::uint64_t size = 0;
  evaluate(pg::text_argument(fcinfo, 0),
           [&](std::int64_t, const Roaring &chunk) { size += chunk.cardinality(); });
  PG_RETURN_INT64(static_cast<std::int64_t>(size));
}

CDP_FUNCTION(cdp_segment_set) {
  pg::call([&] { InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC); });
  auto *result = reinterpret_cast<ReturnSetInfo *>(fcinfo->resultinfo);
  std::vector<std::uint32_t> lows;
  evaluate(pg::text_argument(fcinfo, 0), [&](std::int64_t number, const Roaring &chunk) {
    pg::check_for_interrupts();
    lows.resize(chunk.cardinality());
    chunk.toUint32Array(lows.data());
    pg::call([&] {
      bool is_null = false;
      for (const auto low : lows) {
        Datum id = Int64GetDatum((number << core::kChunkBits) | low);
        tuplestore_putvalues(result->setResult, result->setDesc, &id, &is_null);
      }
    });
  });
  return 0;
}

CDP_FUNCTION(cdp_segment_overlap) {
  pg::call([&] { InitMaterializedSRF(fcinfo, 0); });
  auto *result = reinterpret_cast<ReturnSetInfo *>(fcinfo->resultinfo);
  pg::Session session;
  std::vector<std::string> names;
  static pg::Statement distinct("SELECT n.name FROM unnest($1::text[]) WITH ORDINALITY AS n (name, place) "
                                "GROUP BY n.name ORDER BY min(n.place)");
  {
    auto rows = distinct.run(pg::Params().datum(TEXTARRAYOID, PG_GETARG_DATUM(0)));
    for (std::size_t i = 0; i < rows.size(); ++i) {
      if (rows.is_null(i, 1))
        throw Error(ERRCODE_NULL_VALUE_NOT_ALLOWED, "a name of a segment must not be null");
      names.push_back(rows.text(i, 1));
    }
  }
  const auto operands = read_sets(names);
  std::vector<std::uint64_t> sizes;
  for (const auto &operand : operands)
    sizes.push_back(core::count(operand.set));
  for (std::size_t i = 0; i < operands.size(); ++i)
    for (std::size_t j = i + 1; j < operands.size(); ++j) {
      pg::check_for_interrupts();
      const auto both = core::count_both(operands[i].set, operands[j].set);
      Datum values[5] = {pg::text_result(names[i]), pg::text_result(names[j]),
                         Int64GetDatum(static_cast<std::int64_t>(both)),
                         Int64GetDatum(static_cast<std::int64_t>(sizes[i] - both)),
                         Int64GetDatum(static_cast<std::int64_t>(sizes[j] - both))};
      bool nulls[5] = {};
      pg::call([&] { tuplestore_putvalues(result->setResult, result->setDesc, values, nulls); });
    }
  return 0;
}
