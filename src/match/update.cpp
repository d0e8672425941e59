// Records that changed, matched against those that are kept: their old pairs go, their new ones come, and the
// clusters that this concerns are made anew. What is read and written is as much as changed.
#include "core/match_wanted.hpp"
#include "match/follow.hpp"
#include "match/kept.hpp"
#include "match/lookups.hpp"
#include "pg/append_rows.hpp"
#include "pg/shown_progress.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <unordered_set>

namespace cdp::match {

namespace {

class Update {
public:
  Update(Binding &binding, const Matcher &matcher)
      : binding_(binding), matcher_(matcher),
        order_(has_integer_id(matcher, binding.relation), !matcher.source_column.empty()),
        kept_rows_(binding.id) {}

  void run(const std::vector<RecordKey> &keys) {
    read_changed(keys);
    part();
    if (!changed_.empty())
      match();
    cluster();
  }
  void judge(JudgedRows &rows) const;
  void write();

private:
  struct Wanted { // entries of the index that some record asks for
    std::uint64_t hash;
    Number record;
  };
  using Wishes = std::map<int, std::vector<Wanted>>; // a part of the index
  struct Compared {
    Number one, other;
    engine::Place left, right;
    std::vector<std::int8_t> gammas;
  };

  void load(const std::vector<Number> &numbers);
  void read_changed(const std::vector<RecordKey> &keys);
  void part();
  void match();
  void cluster();
  engine::Uniques uniques_of(const std::vector<Number> &order) const;
  void ask_for_keys(Wishes &wishes);
  void read_index(const Wishes &wishes,
                  const std::function<void(int part, std::uint64_t hash, Number asks, Number found)> &take);
  std::vector<std::pair<Number, Number>> find_candidates();
  void read_additions(const Wishes &wishes, std::vector<std::pair<Number, Number>> &pairs);
  Kept *find_present(Number number);
  void score(const std::vector<std::pair<Number, Number>> &pairs);
  engine::Weigher make_weigher(const engine::Records &records, const std::vector<Compared> &compared);
  void write_additions();
  bool is_changed(Number number) const { return changed_.contains(number); }
  bool is_asked(Number number) const { return is_changed(number) || same_.contains(number); }
  bool are_together(Number a, Number b) const { return kept_.at(a).cluster == kept_.at(b).cluster; }
  bool were_together(Number a, Number b) const { return cluster_before(a) == cluster_before(b); }
  std::int32_t cluster_before(Number number) const {
    const auto moved = moved_.find(number);
    return moved != moved_.end() ? moved->second : kept_.at(number).cluster;
  }
  bool precedes(Number a, Number b) const {
    const Kept &one = kept_.at(a), &other = kept_.at(b);
    return order_.precedes(one.id, one.source, other.id, other.source);
  }

  Binding &binding_;
  const Matcher &matcher_;
  engine::RecordOrder order_;
  Lookups kept_rows_;
  std::unordered_map<Number, Kept> kept_;          // all that were looked at
  std::unordered_set<Number> same_;                // asked for, but as they were
  std::unordered_set<Number> changed_, gone_;      // gone: of those that changed
  std::set<Number> seeds_;                         // whose cluster may be another
  std::set<Number> members_;                       // of clusters that were made anew
  std::unordered_map<Number, std::int32_t> moved_; // of these: who is in another, and in which before
  std::vector<std::tuple<int, std::uint64_t, Number>> keys_; // of those that changed: part, hash
  mutable engine::Patience patience_;
};

void Update::load(const std::vector<Number> &numbers) {
  std::vector<std::int32_t> missing;
  for (const auto number : numbers)
    if (!kept_.contains(number))
      missing.push_back(static_cast<std::int32_t>(number));
  std::sort(missing.begin(), missing.end());
  missing.erase(std::unique(missing.begin(), missing.end()), missing.end());
  kept_.reserve(kept_.size() + missing.size());
  kept_rows_.records(missing, [&](const pg::Cells &row, std::size_t place) {
    kept_.emplace(static_cast<Number>(missing[place]), kept_of(row));
  });
}

// What the table says now of these keys, beside what is kept; of what is as it was nothing more is done.
void Update::read_changed(const std::vector<RecordKey> &keys) {
  const auto records = [&] {
    pg::AsOwner owner(binding_.settings, pg::Names::as_written);
    return read_some(matcher_, binding_.relation, keys);
  }();
  for (const auto &key : keys) {
    patience_.step(10);
    kept_rows_.record_of(key.id, matcher_.source_column.empty() ? "" : key.source, [&](const pg::Cells &row) {
      kept_[static_cast<Number>(row.integer(5))] = kept_of(row);
    });
  }
  std::map<std::pair<std::string, std::string>, Number> numbers;
  for (const auto &[number, kept] : kept_) {
    patience_.step(10);
    numbers.emplace(std::pair(kept.id, kept.source), number);
    gone_.insert(number);
  }
  for (engine::Place place = 0; place < records.size(); ++place) {
    patience_.step(10);
    auto features = engine::pack_features(records, place);
    const std::pair key(std::string(records.id(place)), std::string(records.text(records.source(place))));
    const auto found = numbers.find(key);
    if (found != numbers.end()) {
      gone_.erase(found->second);
      Kept &kept = kept_.at(found->second);
      if (kept.features == features) {
        same_.insert(found->second);
        continue;
      }
      kept.features = std::move(features);
      changed_.insert(found->second);
    } else {
      const auto number = static_cast<Number>(binding_.next_record++);
      kept_[number] = {key.first, key.second, std::move(features), {}, static_cast<std::int32_t>(number),
                       true,      true};
      changed_.insert(number);
    }
  }
  changed_.insert(gone_.begin(), gone_.end());
}

// Pairs of what changed are no more; whoever held together through them may do so no longer.
void Update::part() {
  std::vector<Number> others;
  for (const auto *asked : {&changed_, &same_})
    for (const auto number : *asked)
      for (const auto &neighbour : kept_.at(number).neighbours)
        others.push_back(neighbour.record);
  load(others);
  const double least = engine::log_odds(binding_.thresholds.cluster);
  for (const auto number : changed_) {
    Kept &kept = kept_.at(number);
    for (const auto &neighbour : kept.neighbours) {
      patience_.step(10);
      Kept &other = kept_.at(neighbour.record);
      std::erase_if(other.neighbours, [&](const engine::Neighbour &back) { return back.record == number; });
      other.is_dirty = true;
      if (neighbour.weight >= least)
        seeds_.insert(neighbour.record);
    }
    kept.neighbours.clear();
    kept.is_dirty = true;
    seeds_.insert(number);
  }
  seeds_.insert(same_.begin(), same_.end());
  for (const auto number : gone_)
    seeds_.erase(number);
}

void Update::match() {
  const auto pairs = find_candidates();
  std::vector<Number> others;
  for (const auto &[one, other] : pairs)
    others.push_back(other);
  load(others);
  score(pairs);
}

// The keys of what changed; a record on the left is looked for among those on the right, and the other way
// round.
void Update::ask_for_keys(Wishes &wishes) {
  engine::Records records(matcher_.model);
  std::vector<Number> numbers;
  std::vector<std::string_view> texts;
  std::vector<const std::string_view *> features(matcher_.model.features.size());
  for (const auto number : changed_) {
    patience_.step(10);
    if (gone_.contains(number))
      continue;
    const Kept &kept = kept_.at(number);
    engine::unpack_features(kept.features, features.size(), texts);
    for (std::size_t f = 0; f < features.size(); ++f)
      features[f] = texts[f].data() ? &texts[f] : nullptr;
    records.add(kept.id, kept.source, features);
    numbers.push_back(number);
  }
  const engine::KeyHasher hasher(matcher_.model, records);
  for (const auto rule : binding_.rules)
    for (int side = 0; side <= !matcher_.model.rules[rule].symmetric(); ++side) {
      const int part = part_of_rule(rule, side);
      if (!binding_.bits.contains(part))
        continue; // a wider rule gives its pairs
      const int other = matcher_.model.rules[rule].symmetric() ? part : part_of_rule(rule, !side);
      for (engine::Place place = 0; place < records.size(); ++place, patience_.step())
        if (const auto key = hasher.key(rule, side, place)) {
          keys_.emplace_back(part, *key, numbers[place]);
          wishes[other].push_back({*key, numbers[place]});
        }
    }
}

void Update::read_index(
    const Wishes &wishes,
    const std::function<void(int part, std::uint64_t hash, Number asks, Number found)> &take) {
  for (const auto &[part, wishes_of] : wishes) {
    auto wanted = wishes_of;
    patience_.step(10 * wanted.size());
    std::sort(wanted.begin(), wanted.end(), [](const Wanted &a, const Wanted &b) { return a.hash < b.hash; });
    const int bits = binding_.bits.at(part);
    std::vector<std::int32_t> buckets;
    std::vector<std::size_t> firsts; // of those wanted
    for (std::size_t i = 0; i < wanted.size(); ++i)
      if (const auto bucket = engine::Buckets::bucket_of(wanted[i].hash, bits);
          buckets.empty() || buckets.back() != bucket) {
        buckets.push_back(bucket);
        firsts.push_back(i);
      }
    firsts.push_back(wanted.size());
    kept_rows_.buckets(part, buckets, [&, number = part](const pg::Cells &row, std::size_t place) {
      for (auto i = firsts[place]; i < firsts[place + 1]; ++i)
        for (const auto found : engine::entries_of(row.text(0), wanted[i].hash))
          take(number, wanted[i].hash, wanted[i].record, found);
    });
  }
}

// Those that came since the full run. While these are few they are read whole.
void Update::read_additions(const Wishes &wishes, std::vector<std::pair<Number, Number>> &pairs) {
  constexpr std::int64_t kFew = 4; // as cheap as one that is looked for
  for (const auto &[part, wishes_of] : wishes) {
    auto wanted = wishes_of;
    patience_.step(10 * wanted.size());
    std::sort(wanted.begin(), wanted.end(), [](const Wanted &a, const Wanted &b) { return a.hash < b.hash; });
    const auto those_with = [&](std::uint64_t key) {
      struct ByHash {
        bool operator()(const Wanted &a, std::uint64_t b) const { return a.hash < b; }
        bool operator()(std::uint64_t a, const Wanted &b) const { return a < b.hash; }
      };
      return std::equal_range(wanted.begin(), wanted.end(), key, ByHash());
    };
    const auto take = [&](std::uint64_t key, Number found) {
      const auto [first, end] = those_with(key);
      for (auto one = first; one != end; ++one)
        if (one->record != found && !is_changed(found))
          pairs.emplace_back(one->record, found);
    };
    const auto take_row = [&](const pg::Cells &row) {
      take(static_cast<std::uint64_t>(row.bigint(1)), static_cast<Number>(row.integer(0)));
    };
    if (binding_.changed > 0 && binding_.changed <= kFew * static_cast<std::int64_t>(wanted.size()))
      kept_rows_.all_additions(part, take_row);
    else
      for (std::size_t i = 0; i < wanted.size() && binding_.changed > 0; ++i) {
        patience_.step(10);
        if (i == 0 || wanted[i].hash != wanted[i - 1].hash)
          kept_rows_.additions(part, wanted[i].hash, take_row);
      }
    for (auto at = keys_.begin(); at != keys_.end(); ++at) { // and those that change with them
      if (std::get<0>(*at) != part)
        continue;
      const auto record = std::get<2>(*at);
      const auto [first, end] = those_with(std::get<1>(*at));
      for (auto one = first; one != end; ++one) {
        patience_.step(10);
        if (one->record != record)
          pairs.emplace_back(std::max(one->record, record), std::min(one->record, record));
      }
    }
  }
}

/// (what changed, another that may go with it); the index also knows what records said before.
std::vector<std::pair<Number, Number>> Update::find_candidates() {
  std::vector<std::pair<Number, Number>> pairs;
  Wishes wishes;
  ask_for_keys(wishes);
  read_index(wishes, [&](int, std::uint64_t, Number asks, Number found) {
    if (!is_changed(found))
      pairs.emplace_back(asks, found);
  });
  read_additions(wishes, pairs);
  std::sort(pairs.begin(), pairs.end(), [&](const auto &a, const auto &b) {
    patience_.step();
    return a < b;
  });
  pairs.erase(std::unique(pairs.begin(), pairs.end()), pairs.end());
  return pairs;
}

// Frequencies are those of the last full run; a value that was not there, or once, counts as one. Asked for
// are those of levels that are reached.
engine::Weigher Update::make_weigher(const engine::Records &records, const std::vector<Compared> &compared) {
  const engine::KeyHasher hasher(matcher_.model, records);
  std::map<int, std::set<engine::Code>> asked; // by feature
  const auto frequent = engine::frequent_levels(matcher_.model);
  for (const auto &pair : compared) {
    patience_.step();
    for (std::size_t c = 0; c < frequent.size(); ++c)
      if (const int feature = frequent[c][static_cast<std::size_t>(pair.gammas[c] + 1)]; feature >= 0)
        for (const auto place : {pair.left, pair.right})
          if (const auto code = records.code(feature, place))
            asked[feature].insert(code);
  }
  Wishes wishes;
  for (const auto &[feature, codes] : asked)
    if (const int part = part_of_values(static_cast<std::size_t>(feature)); binding_.bits.contains(part))
      for (const auto code : codes)
        wishes[part].push_back({hasher.value(code), code});
  std::map<std::pair<int, std::uint64_t>, double> counts;
  read_index(wishes, [&](int part, std::uint64_t hash, Number, Number count) {
    counts[{part, hash}] = count;
  });
  return engine::Weigher(matcher_.model, [&](int feature) {
    std::vector<double> logs;
    const auto known =
        static_cast<double>(std::max<std::int64_t>(1, binding_.known.at(static_cast<std::size_t>(feature))));
    for (const auto code : records.codes(feature)) {
      const auto found =
          code ? counts.find({part_of_values(static_cast<std::size_t>(feature)), hasher.value(code)})
               : counts.end();
      logs.push_back(code ? std::log2((found != counts.end() ? found->second : 1) / known) : 1);
    }
    return logs;
  });
}

Kept *Update::find_present(Number number) {
  const auto found = kept_.find(number);
  return found == kept_.end() || gone_.contains(number) ? nullptr : &found->second;
}

void Update::score(const std::vector<std::pair<Number, Number>> &pairs) {
  struct Found { // looked up once a pair, not once a comparison
    Kept *one, *other;
    Number numbers[2];
  };
  std::vector<Found> found;
  std::vector<Kept *> order;
  found.reserve(pairs.size());
  for (const auto &[one, other] : pairs) {
    patience_.step(10);
    Kept *first = !found.empty() && found.back().numbers[0] == one ? found.back().one : find_present(one);
    Kept *second = find_present(other);
    if (!first || !second) // the index may know who is no more
      continue;
    found.push_back({first, second, {one, other}});
    for (Kept *kept : {first, second})
      if (!kept->is_placed) {
        kept->is_placed = true;
        order.push_back(kept);
      }
  }
  put_in_order(order, order_);
  engine::Records records(matcher_.model);
  std::vector<std::string_view> texts;
  std::vector<const std::string_view *> features(matcher_.model.features.size());
  for (Kept *kept : order) {
    patience_.step(10);
    unpack(*kept, matcher_, texts);
    for (std::size_t f = 0; f < features.size(); ++f)
      features[f] = texts[f].data() ? &texts[f] : nullptr;
    kept->place = static_cast<engine::Place>(records.size());
    records.add(kept->id, kept->source, features);
  }
  engine::Comparer comparer(matcher_.model, records);
  const engine::Blocking blocking(matcher_.model, records, matcher_.link, comparer.evaluator());
  pg::ShownProgress progress(pg::Task::score_pairs, found.size());
  std::vector<Compared> compared;
  std::size_t looked_at = 0;
  for (const auto &[one, other, numbers] : found) {
    patience_.step(10);
    if (++looked_at % 1024 == 0)
      progress.reach(looked_at);
    const auto left = std::min(one->place, other->place), right = std::max(one->place, other->place);
    if (!blocking.gives(binding_.rules, left, right))
      continue;
    auto &pair = compared.emplace_back(Compared{numbers[0], numbers[1], left, right, {}});
    pair.gammas.resize(comparer.comparisons());
    comparer.compare(left, right, pair.gammas.data());
  }
  const auto weigher = make_weigher(records, compared);
  const double least = engine::log_odds(binding_.thresholds.floor());
  for (const auto &[one, other, left, right, gammas] : compared) {
    patience_.step();
    const double weight = weigher.weigh(gammas.data(), left, right);
    if (weight < least)
      continue;
    for (const auto &[from, to] : {std::pair(one, other), std::pair(other, one)}) {
      kept_.at(from).neighbours.push_back({to, weight});
      kept_.at(from).is_dirty = true;
    }
  }
}

// Whoever is reached from a record that changed, or from one that it was linked to, by links as they are now.
void Update::cluster() {
  const double least = engine::log_odds(binding_.thresholds.cluster);
  std::vector<Number> front(seeds_.begin(), seeds_.end());
  members_ = seeds_;
  while (!front.empty()) {
    std::vector<Number> next;
    for (const auto number : front)
      for (const auto &neighbour : kept_.at(number).neighbours) {
        patience_.step(10);
        if (neighbour.weight >= least && members_.insert(neighbour.record).second)
          next.push_back(neighbour.record);
      }
    load(next);
    front = std::move(next);
  }
  std::vector<Number> order(members_.begin(), members_.end());
  std::sort(order.begin(), order.end(), [&](Number a, Number b) { return precedes(a, b); });
  std::unordered_map<Number, std::uint32_t> places;
  for (std::uint32_t place = 0; place < order.size(); ++place)
    places[order[place]] = place;
  std::vector<engine::Edge> edges;
  for (std::uint32_t place = 0; place < order.size(); ++place)
    for (const auto &neighbour : kept_.at(order[place]).neighbours) {
      patience_.step(10);
      if (const auto other = places.find(neighbour.record); other != places.end() && place < other->second)
        edges.push_back({place, other->second, neighbour.weight});
    }
  pg::ShownProgress progress(pg::Task::cluster_records);
  const auto clusters = engine::cohesive(
      order.size(), edges, least, 1, 10,
      [&] {
        pg::check_for_interrupts();
        progress.step(engine::kOffers);
      },
      uniques_of(order));
  for (std::uint32_t place = 0; place < order.size(); ++place) {
    Kept &kept = kept_.at(order[place]);
    const auto named = static_cast<std::int32_t>(order[clusters[place]]);
    if (kept.cluster == named)
      continue;
    moved_.emplace(order[place], kept.cluster);
    kept.is_dirty = true;
    kept.cluster = named;
  }
}

engine::Uniques Update::uniques_of(const std::vector<Number> &order) const {
  const auto &features = matcher_.model.uniques;
  engine::Uniques uniques{features.size(), {}};
  engine::Dictionary values;
  std::vector<std::string_view> texts;
  for (std::size_t i = 0; i < order.size() && uniques.width > 0; ++i) {
    unpack(kept_.at(order[i]), matcher_, texts);
    for (const int feature : features) {
      const auto text = texts[static_cast<std::size_t>(feature)];
      uniques.values.push_back(text.data() ? values.code(text) : 0);
    }
  }
  return uniques;
}

// A large cluster is made anew for one record of it: of its pairs, those are judged that may be judged
// otherwise.
void Update::judge(JudgedRows &rows) const {
  for (const auto number : members_)
    for (const auto &neighbour : kept_.at(number).neighbours) {
      patience_.step(10);
      const bool asked = is_asked(number), both = members_.contains(neighbour.record);
      if (both && asked == is_asked(neighbour.record) ? number > neighbour.record : !asked)
        continue;
      if (!asked && were_together(number, neighbour.record) == are_together(number, neighbour.record))
        continue;
      const bool first = precedes(number, neighbour.record);
      const Kept &left = kept_.at(first ? number : neighbour.record),
                 &right = kept_.at(first ? neighbour.record : number);
      rows.add({left.id, left.source, right.id, right.source, neighbour.weight,
                both && are_together(number, neighbour.record)});
    }
}

void Update::write_additions() {
  std::sort(keys_.begin(), keys_.end()); // as the index has them, so that its pages are near
  RowWriter writer(
      binding_.id,
      "INSERT INTO cdp_internal.match_additions (binding_id, part, key, record) SELECT $1, n.* "
      "FROM ROWS FROM (pg_catalog.unnest($2), pg_catalog.unnest($3), pg_catalog.unnest($4)) AS n "
      "ON CONFLICT DO NOTHING");
  pg::RowAppend fresh(4); // of records that were not there nothing is there
  const auto put = [&](int part, std::uint64_t key, Number record) {
    writer.integer(part).bigint(static_cast<std::int64_t>(key)).integer(static_cast<std::int32_t>(record));
    writer.end_row();
  };
  for (const auto &[part, key, record] : keys_)
    if (kept_.at(record).is_new)
      fresh.add({pg::integer_cell(binding_.id), pg::integer_cell(part),
                 pg::bigint_cell(static_cast<std::int64_t>(key)),
                 pg::integer_cell(static_cast<std::int32_t>(record))});
    else
      put(part, key, record);
  if (fresh.rows() > 0 &&
      !fresh.write("cdp_internal", "match_additions", {INT4OID, INT4OID, INT8OID, INT4OID}))
    for (const auto &[part, key, record] : keys_)
      if (kept_.at(record).is_new)
        put(part, key, record);
  writer.finish();
}

void Update::write() {
  static pg::Statement remove(
      "DELETE FROM cdp_internal.match_records AS r WHERE r.ctid = ANY (ARRAY(SELECT f.ctid FROM "
      "pg_catalog.unnest($2) AS n (record) CROSS JOIN LATERAL (SELECT o.ctid FROM "
      "cdp_internal.match_records AS o WHERE o.binding_id = $1 AND o.record = n.record OFFSET 0) AS f))",
      pg::few_keys);
  static pg::Statement note(
      "UPDATE cdp_internal.match_bindings SET next_record = $2, records_kept = records_kept + $3, changed = "
      "changed + "
      "$4, updated_at = pg_catalog.clock_timestamp(), error = NULL, error_at = NULL WHERE binding_id = $1");
  RowWriter writer(binding_.id, kPutRecords);
  std::int64_t more = -static_cast<std::int64_t>(gone_.size());
  pg::ShownProgress progress(pg::Task::keep_records, kept_.size());
  pg::RowAppend fresh(7); // no other record has their numbers
  const auto put = [&](Number number, const Kept &kept) {
    writer.integer(static_cast<std::int32_t>(number))
        .text(kept.id)
        .text(kept.source)
        .bytes(kept.features)
        .bytes(engine::pack_neighbours(kept.neighbours))
        .integer(kept.cluster);
    writer.end_row();
  };
  for (const auto &[number, kept] : kept_) {
    progress.step(1);
    more += kept.is_new;
    if (!kept.is_dirty || gone_.contains(number))
      continue;
    if (kept.is_new)
      fresh.add({pg::integer_cell(binding_.id), pg::integer_cell(static_cast<std::int32_t>(number)),
                 pg::text_cell(kept.id), pg::text_cell(kept.source), pg::text_cell(kept.features),
                 pg::text_cell(engine::pack_neighbours(kept.neighbours)), pg::integer_cell(kept.cluster)});
    else
      put(number, kept);
  }
  if (fresh.rows() > 0 && !fresh.write("cdp_internal", "match_records",
                                       {INT4OID, INT4OID, TEXTOID, TEXTOID, BYTEAOID, BYTEAOID, INT4OID}))
    for (const auto &[number, kept] : kept_)
      if (kept.is_new)
        put(number, kept);
  writer.finish();
  write_additions();
  const std::vector<std::int32_t> gone(gone_.begin(), gone_.end());
  if (!gone.empty())
    remove.run(pg::Params().integer(binding_.id).integers(gone));
  note.run(pg::Params()
               .integer(binding_.id)
               .integer(binding_.next_record)
               .bigint(more)
               .bigint(static_cast<std::int64_t>(changed_.size())));
}

} // namespace

} // namespace cdp::match

// cdp_internal.update_matches(binding integer, ids text[], sources text[]): the pairs for review of these
// records, and of those whose clusters changed
CDP_FUNCTION(cdp_update_matches) {
  using namespace cdp;
  pg::Session session;
  auto binding = match::load_binding(PG_GETARG_INT32(0));
  match::JudgedRows rows(fcinfo, binding.thresholds);
  const auto matcher = match::load_matcher(binding.matcher, {"blocking"});
  const auto ids = pg::texts_argument(fcinfo, 1), sources = pg::texts_argument(fcinfo, 2);
  std::vector<match::RecordKey> keys;
  for (std::size_t i = 0; i < ids.size(); ++i)
    keys.push_back({ids[i], i < sources.size() ? sources[i] : ""});
  match::Update update(binding, matcher);
  update.run(keys);
  update.judge(rows);
  update.write();
  PG_RETURN_NULL();
}
