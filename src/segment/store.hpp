// What an evaluation found, written as one difference.
#pragma once
#include "segment/ledger.hpp"

#include <limits>
#include <map>
#include <memory_resource>
#include <span>
#include <unordered_map>
#include <unordered_set>

#include "pg/guard.hpp"

namespace cdp::segment {

// The decision of a step that knows every event; such a step leaves no decision on a membership.
inline constexpr std::int64_t kAllEvents = std::numeric_limits<std::int64_t>::max();

// One person in one segment, with what went wrong at their last step.
struct Person {
  Course course;
  std::optional<pg::Failure> failure;
  Timestamp failed_at = 0;
  std::optional<Timestamp> ended;

  void add(Timestamp from, std::int64_t decision, std::vector<Range> ranges) {
    failure.reset();
    course.add({from, decision == kAllEvents ? std::nullopt : std::optional(decision), std::move(ranges)});
  }
  void fail(Timestamp at, const pg::Failure &why) {
    failure = why;
    failed_at = at;
  }
  // The steps before may still be on their way.
  void end(Timestamp at) { ended = at; }
};

struct Found {
  std::int32_t segment_id = 0;
  std::unordered_map<std::int64_t, Person> people;
  std::optional<pg::Failure> broken; // the rule cannot run at all
  Timestamp failed_at = 0;
};

// Memberships as stored, a person's together. Rows point into memory that it owns.
class Stored {
public:
  struct Row {
    std::int64_t profile_id;
    std::int32_t segment_id;
    bool has_key, has_decision;
    std::string_view key_text;
    Timestamp from, to;
    std::int64_t decision;
    ItemPointerData place = {}; // of what was read to be changed

    std::optional<std::string_view> key() const { return has_key ? std::optional(key_text) : std::nullopt; }
    Range range() const;
  };
  using Rows = std::span<const Row>;

  Stored() : memory_(std::make_unique<std::pmr::monotonic_buffer_resource>()) {}
  void add(Row row); // its key is copied
  void finish();     // when some are added
  void forget(const std::unordered_set<std::int64_t> &people);
  Rows all() const { return rows_; }
  Rows of(std::int64_t profile_id) const;
  Rows of(std::int64_t profile_id, std::int32_t segment_id) const;

  // Everybody's in these segments that reach an instant; to be finished.
  static Stored of_everybody(std::vector<std::int32_t> segments, Timestamp at);

private:
  std::unique_ptr<std::pmr::monotonic_buffer_resource> memory_;
  std::vector<Row> rows_; // by person, segment, key and time
};

// What is stored of people whose locks are held, from an instant on, in some segments. Read once, with where
// it lies: nobody else writes it meanwhile.
class StoredPeople {
public:
  struct Part {
    Timestamp from = core::kInfinity;
    std::vector<std::int32_t> segments; // in order, when they are read

    void add(Timestamp start, std::int32_t segment) {
      from = std::min(from, start);
      segments.push_back(segment);
    }
    bool covers(const Part &other) const;
  };
  using Parts = std::unordered_map<std::int64_t, Part>; // by person
  void read(Parts parts);                               // what was not read
  const Stored &rows() const { return rows_; }

private:
  Stored rows_;
  Parts read_;
};

// Whether somebody is written down for whom a rule failed.
bool anybody_failed();

// Against what is stored, and will be read for those that were not. Returns how many memberships changed.
std::int64_t store_found(const std::vector<Found> &found, StoredPeople stored = {});
// Against what is stored of everybody.
std::int64_t store_found(const std::vector<Found> &found, const Stored &stored);

// Judges some people, whose profiles must be locked, and by the rules that ask about this segment.
void evaluate_people(std::int32_t segment_id, const std::vector<std::int64_t> &people, Timestamp at);

} // namespace cdp::segment
