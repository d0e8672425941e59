#include "pipeline/imports.hpp"

#include <map>

namespace cdp::pipeline {

namespace {

using collect::Candidate;
using collect::Fate;
using collect::Incoming;

using Name = std::pair<std::string, std::string>; // source and import

struct Import {
  std::int64_t id;
  bool is_undone;
  core::Timestamp ended_at;
};

// Those of the imports that these lines name that were begun.
std::map<Name, Import> find(const std::vector<Incoming> &lines) {
  std::map<Name, Import> imports;
  for (const auto &line : lines)
    if (line.import)
      imports.try_emplace({line.source, *line.import}, Import{0, false, core::kInfinity});
  if (imports.empty())
    return imports;
  std::vector<std::string> sources, names;
  for (const auto &[name, unknown] : imports) {
    sources.push_back(name.first);
    names.push_back(name.second);
  }
  static pg::Statement select(
      "SELECT i.source, i.name, i.import_id, i.state IN ('undoing', 'undone'), coalesce(i.ended_at, "
      "'infinity') "
      "FROM unnest($1, $2) AS w (source, name) JOIN cdp_internal.imports AS i USING (source, name)",
      pg::few_keys);
  auto rows = select.run(pg::Params().texts(sources).texts(names));
  imports.clear();
  for (std::size_t i = 0; i < rows.size(); ++i)
    imports.emplace(Name(rows.text(i, 1), rows.text(i, 2)),
                    Import{rows.bigint(i, 3), rows.boolean(i, 4), rows.timestamp(i, 5)});
  return imports;
}

const Import *import_of(const Candidate &candidate, const std::vector<Incoming> &lines,
                        const std::map<Name, Import> &imports) {
  const auto &line = lines[candidate.incoming];
  if (!line.import)
    return nullptr;
  const auto found = imports.find({line.source, *line.import});
  return found == imports.end() ? nullptr : &found->second;
}

struct Count {
  std::int64_t accepted = 0, duplicates = 0, suppressed = 0;
};

void store_counts(const std::map<std::int64_t, Count> &counts) {
  std::vector<std::int64_t> ids, accepted, duplicates, suppressed;
  for (const auto &[id, count] : counts) {
    if (count.accepted + count.duplicates + count.suppressed == 0)
      continue;
    ids.push_back(id);
    accepted.push_back(count.accepted);
    duplicates.push_back(count.duplicates);
    suppressed.push_back(count.suppressed);
  }
  if (ids.empty())
    return;
  static pg::Statement insert(
      "INSERT INTO cdp_internal.import_counts (import_id, accepted, duplicates, suppressed) "
      "SELECT unnest($1), unnest($2), unnest($3), unnest($4)");
  insert.run(pg::Params().bigints(ids).bigints(accepted).bigints(duplicates).bigints(suppressed));
}

} // namespace

void check_imports(std::vector<Candidate> &candidates, const std::vector<Incoming> &lines) {
  const auto imports = find(lines);
  if (imports.empty())
    return;
  for (auto &one : candidates) {
    const auto *import = one.fate == Fate::open ? import_of(one, lines, imports) : nullptr;
    if (!import)
      continue;
    const auto own_id = one.has_own_id ? one.message.message_id : "";
    const auto &name = *lines[one.incoming].import;
    if (import->is_undone)
      one.quarantine({"import_undone", "its import was undone", name, own_id});
    else if (one.received_at > import->ended_at)
      one.quarantine({"import_ended", "it was received after its import had ended", name, own_id});
  }
}

void note_imports(const std::vector<Candidate> &candidates, const std::vector<Incoming> &lines,
                  const std::vector<std::int64_t> &decisions) {
  const auto imports = find(lines);
  if (imports.empty())
    return;
  std::map<std::int64_t, Count> counts;
  std::vector<std::int64_t> ids, seqs;
  std::vector<pg_uuid_t> keys;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    const auto &one = candidates[i];
    const auto *import = import_of(one, lines, imports);
    if (!import)
      continue;
    auto &count = counts[import->id];
    count.duplicates += one.fate == Fate::duplicate;
    count.suppressed += one.fate == Fate::suppressed;
    if (one.fate != Fate::accepted)
      continue;
    ++count.accepted;
    ids.push_back(import->id);
    seqs.push_back(decisions[i]);
    keys.push_back(one.key);
  }
  store_counts(counts);
  if (ids.empty())
    return;
  static pg::Statement insert(
      "INSERT INTO cdp_internal.import_messages (import_id, decision_seq, message_key) "
      "SELECT unnest($1), unnest($2), unnest($3)");
  insert.run(pg::Params().bigints(ids).bigints(seqs).uuids(keys));
}

} // namespace cdp::pipeline
