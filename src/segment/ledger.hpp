// What was judged, person by person, and how it differs from what is stored. Plain C++: rows in, changes out.
#pragma once
#include "core/timestamp.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace cdp::segment {

using core::Timestamp;
using Key = std::optional<std::string>;

// A membership, [from, to). The decision is the one received at the instant of entry; none when time alone,
// or the creation of the segment, let the person in.
struct Range {
  Key key;
  Timestamp from, to;
  std::optional<std::int64_t> decision;
};

// A step that was judged: what holds from it on, if nothing follows.
struct Judged {
  Timestamp from;
  std::optional<std::int64_t> decision;
  std::vector<Range> ranges; // a key's in order, not touching
};

struct Change {
  enum Kind { insert, update, remove } kind;
  Range row; // found by key and from
};

// One person in one segment.
class Course {
public:
  void add(Judged judged) { steps_.push_back(std::move(judged)); }
  void end(Timestamp at); // nothing holds from here on
  bool empty() const { return steps_.empty(); }
  Timestamp start() const { return steps_.front().from; }
  // The latest step up to one of these; nullptr: there is none.
  const Judged *known(Timestamp from, std::int64_t decision) const;

  // Against the stored ranges that reach the start of this course.
  std::vector<Change> compare(const std::vector<Range> &stored) const;

private:
  std::map<Key, std::vector<Range>> join() const;
  std::vector<Judged> steps_;
};

} // namespace cdp::segment
