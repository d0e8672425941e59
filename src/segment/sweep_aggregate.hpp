// An aggregate of a rule while it is swept over one person's timeline.
#pragma once
#include "segment/sweep.hpp"

#include "core/sequence.hpp"

#include "pg/aggregation.hpp"
#include "pg/values.hpp"

namespace cdp::segment {

struct Sweep::Aggregate {
  core::Function function;
  Oid type = InvalidOid;
  std::optional<pg::ValueType> value_type;
  std::vector<std::unique_ptr<core::Cutoff>> cutoffs;
  std::optional<core::Tally> tally;
  std::int32_t input = 0; // of what is no sequence
  std::span<const core::Entry> entries;
  std::vector<Datum> values; // of those that give one of them back
  std::vector<std::int32_t> ranks;
  std::optional<pg::Aggregation> other;
  bool distinct = false, descending = false; // the values that it is run over
  // Of sequences and funnels.
  std::optional<core::Sequence> sequence;
  unsigned steps = 0;
  Timestamp within = 0;
  std::uint64_t wanted = 0; // a match has all these
  StepsAsked asked;
  const Steps *met = nullptr;     // of all keys
  Steps own_steps;                // of one key
  std::optional<Timestamp> start; // of what the value stands on: it changes only when this no longer counts
  bool stands_on_start = false;
  std::optional<Datum> said; // of the events that counted
  std::uint64_t said_of = 0; // when the tally had made so many changes

  Timestamp next(Timestamp until) {
    if (!stands_on_start || !tally->only_sheds())
      return tally->next(until);
    return start ? tally->leaves(*start, until) : until;
  }

  bool is_null(std::size_t entry) const { return entries[entry].value.kind == core::InputValue::Kind::null; }

  bool is_integer() const { // or a boolean
    switch (function) {
    case core::Function::count:
    case core::Function::count_value:
    case core::Function::count_distinct:
    case core::Function::any:
    case core::Function::all:
    case core::Function::sequence:
    case core::Function::sequence_count:
    case core::Function::funnel:
      return true;
    default:
      return false;
    }
  }
  bool is_ordered() const {
    return distinct || function == core::Function::minimum || function == core::Function::maximum;
  }
  bool gives_value() const {
    return is_ordered() || other || function == core::Function::first || function == core::Function::last;
  }
};

} // namespace cdp::segment
