// What became of messages, by source. Nobody waits for anybody: each batch adds rows, and a view adds them
// up.
#include "core/text.hpp"

#include <map>
#include <tuple>

#include "collect/candidate.hpp"
#include "pg/append.hpp"

namespace cdp::collect {

namespace {

constexpr std::size_t kLongest = 250; // of names that are part of a key

std::string source_name(const Candidate &candidate, const std::vector<Incoming> &lines) {
  return core::shorten(lines[candidate.incoming].source, kLongest);
}

std::string_view outcome(Fate fate) {
  switch (fate) {
  case Fate::accepted:
    return "accepted";
  case Fate::duplicate:
    return "duplicate";
  case Fate::suppressed:
    return "suppressed";
  default:
    return "quarantined";
  }
}

void store_outcomes(const std::vector<Candidate> &candidates, const std::vector<Incoming> &lines) {
  std::map<std::tuple<std::string, std::string_view, std::int64_t>, std::int64_t> counts;
  const Candidate *before = nullptr; // whose count is `same`
  std::int64_t *same = nullptr;
  for (const auto &one : candidates) {
    if (one.known_by == KnownBy::again && one.fate == Fate::accepted)
      continue; // it was counted when it came
    if (!before || one.fate != before->fate || one.suppression_id != before->suppression_id ||
        lines[one.incoming].source != lines[before->incoming].source)
      same = &counts[{source_name(one, lines), outcome(one.fate), one.suppression_id}];
    before = &one;
    ++*same;
  }
  // Every single call writes one: the statement is for a table that somebody gave a trigger or the like.
  static pg::Statement insert(
      "INSERT INTO cdp_internal.source_counts (source, what, suppression_id, messages) "
      "VALUES ($1, $2, nullif($3, 0), $4)");
  const auto at = GetCurrentTransactionStartTimestamp();
  for (const auto &[key, number] : counts) {
    const auto &[source, what, suppression_id] = key;
    pg::Params row;
    row.text(source).text(what);
    if (suppression_id == 0)
      row.optional_text(std::nullopt);
    else
      row.bigint(suppression_id);
    for (int unused = 0; unused < 4; ++unused)
      row.optional_text(std::nullopt);
    row.bigint(number).optional_text(std::nullopt).optional_text(std::nullopt).timestamp(at).timestamp(at);
    if (!pg::append_row("cdp_internal", "source_counts", row))
      insert.run(pg::Params().text(source).text(what).bigint(suppression_id).bigint(number));
  }
}

struct Violated {
  std::int64_t messages = 0;
  std::string message_id, found; // of the first
};

// Of messages that were taken, or were put aside for it; not of repeats.
void store_violations(const std::vector<Candidate> &candidates, const std::vector<Incoming> &lines) {
  std::map<std::tuple<std::string, std::string, std::string, std::string, std::string>, Violated> all;
  for (const auto &one : candidates) {
    if (one.violations.all().empty() || (one.fate != Fate::accepted && one.refusal.code != "plan_violation"))
      continue;
    for (const auto &[what, found] : one.violations.all()) {
      auto &violated =
          all[{source_name(one, lines), std::string(core::to_string(one.message.type)),
               core::shorten(one.message.event, kLongest), core::shorten(what.first, kLongest), what.second}];
      if (violated.messages++ == 0) {
        violated.message_id = one.message.message_id;
        violated.found = found;
      }
    }
  }
  if (all.empty())
    return;
  std::vector<std::string> sources, types, events, properties, keywords, message_ids, found;
  std::vector<std::int64_t> numbers;
  for (const auto &[key, violated] : all) {
    sources.push_back(std::get<0>(key));
    types.push_back(std::get<1>(key));
    events.push_back(std::get<2>(key));
    properties.push_back(std::get<3>(key));
    keywords.push_back(std::get<4>(key));
    numbers.push_back(violated.messages);
    message_ids.push_back(violated.message_id);
    found.push_back(violated.found);
  }
  static pg::Statement insert(
      "INSERT INTO cdp_internal.source_counts (source, what, type, event, property, violation, messages, "
      "message_id, found) SELECT unnest($1), 'violation', unnest($2), nullif(unnest($3), ''), "
      "nullif(unnest($4), ''), unnest($5), unnest($6), unnest($7), nullif(unnest($8), '')");
  pg::Params params;
  params.texts(sources).texts(types).texts(events).texts(properties).texts(keywords).bigints(numbers);
  insert.run(params.texts(message_ids).texts(found));
}

std::string describe(const core::Violations &violations) {
  constexpr std::size_t most = 5;
  std::string text;
  std::size_t number = 0;
  for (const auto &[what, found] : violations.all()) {
    if (++number > most)
      return text + "; and " + std::to_string(violations.all().size() - most) + " more";
    text += (text.empty() ? "" : "; ") + (what.first.empty() ? "" : what.first + ": ") + what.second +
            (found.empty() ? "" : ", found " + found);
  }
  return text;
}

} // namespace

void check_sources(std::vector<Candidate> &candidates, const std::vector<Incoming> &lines) {
  for (auto &one : candidates) {
    if (one.fate != Fate::open)
      continue;
    const auto own_id = one.has_own_id ? one.message.message_id : "";
    if (one.source_id == 0) {
      one.quarantine({"unknown_source", "its source is not registered, and cdp.register_sources is off",
                      lines[one.incoming].source, own_id});
      continue;
    }
    if (!one.rules->is_enabled) {
      one.quarantine({"source_disabled", "its source is disabled", lines[one.incoming].source, own_id});
      continue;
    }
    if (!one.rules->plan)
      continue;
    one.rules->plan->check(one.message, one.violations);
    if (one.rules->plan_quarantines && !one.violations.all().empty())
      one.quarantine({"plan_violation", "it does not keep to the tracking plan of its source",
                      describe(one.violations), own_id});
  }
}

void note_counts(const std::vector<Candidate> &candidates, const std::vector<Incoming> &lines) {
  store_outcomes(candidates, lines);
  store_violations(candidates, lines);
}

} // namespace cdp::collect
