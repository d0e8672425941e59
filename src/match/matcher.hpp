// A matcher as its tables have it, compiled; and the records it is run over. Everything here may throw
// PgError and Error.
#pragma once

#include <string>
#include <vector>

#include "core/match_blocking.hpp"
#include "core/match_train.hpp"

#include "pg/function.hpp"
#include "pg/spi.hpp"

namespace cdp::match {

namespace engine = cdp::core::match;

struct Matcher {
  std::string name, id_column, source_column;
  engine::Model model;
  engine::Link link = engine::Link::dedupe;
  engine::EmSettings em;
  double recall = 1;
  double pairs_per_record = 0;                     // that a rule may give; 0: no limit
  double total_pairs_per_record = 0;               // that all rules together may give, or ten million in all
  std::vector<std::string> purposes;               // of the model's rules
  std::vector<std::pair<std::string, int>> labels; // a comparison's name and how many levels it has, in order

  std::vector<std::size_t> rules(const std::string &purpose) const;
};

/// With the rules of these purposes: blocking, training, deterministic. Throws Error when there is no such
/// matcher.
Matcher load_matcher(const std::string &name, const std::vector<std::string> &purposes);

/// The rows of a query some thousands at a time, as the query that called us sees them.
void each_batch(const std::string &sql, const std::function<void(const pg::Rows &)> &take);

/// All rows of a table or view, in the order of their ids, with the caller's rights.
engine::Records read_records(const Matcher &matcher, Oid relation);

/// Of one record.
struct RecordKey {
  std::string id, source;
};
/// Those of these that are there, in the order in which all are read.
engine::Records read_some(const Matcher &matcher, Oid relation, const std::vector<RecordKey> &keys);
/// Whether that is the order of numbers.
bool has_integer_id(const Matcher &matcher, Oid relation);
/// As read_some, but throws Error when one is not there.
engine::Records read_records(const Matcher &matcher, Oid relation, const std::vector<RecordKey> &keys);

/// The share of each of these records' values among all of the relation where it is known: log2, above 0 for
/// NULL.
std::vector<double> read_log_frequencies(const Matcher &matcher, Oid relation, const engine::Records &records,
                                         int feature);

/// Runs what may throw Unclear; that becomes an Error that says what is wrong with what.
template <class F> auto explained(const std::string &what, const std::string &text, F &&body) {
  try {
    return body();
  } catch (const engine::Unclear &unclear) {
    throw Error(ERRCODE_INVALID_PARAMETER_VALUE, what + ": " + unclear.what()).at(text, unclear.place());
  }
}

/// Throws Error when the rules would give more pairs than that, before any is made.
void need_bounded_pairs(const Matcher &matcher, const engine::Blocking &blocking,
                        const engine::Records &records, const std::vector<std::size_t> &rules,
                        std::int64_t most);

/// The rules for blocking that do not give more pairs than the matcher's pairs_per_record and
/// total_pairs_per_record allow.
std::vector<std::size_t> usable_rules(const Matcher &matcher, const engine::Blocking &blocking,
                                      const engine::Records &records);

/// What the records of a rule's largest block have in common.
std::string describe_key(const Matcher &matcher, const engine::Records &records, std::size_t rule,
                         engine::Place example);

} // namespace cdp::match
