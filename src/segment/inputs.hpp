// The inputs that all segments together want to know of events: each is asked once an event, and what it said
// is kept in timelines.
#pragma once
#include "core/timeline.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "pg/expression.hpp"
#include "pg/rule_run.hpp"

namespace cdp::segment {

using core::Timestamp;

// An event as inputs see it. The jsonb values live as long as the caller's memory context.
struct EventFacts {
  std::int64_t event_id = 0, identifier_id = 0;
  Timestamp occurred_at = 0, received_at = 0;
  std::string type, source;
  std::optional<std::string> event;
  void *properties = nullptr, *context = nullptr;
};

// What the inputs had to say about an event.
struct Observed {
  std::string values;               // packed, see core/timeline.hpp
  std::vector<std::int32_t> inputs; // those that said something
};

class Inputs {
public:
  Inputs();
  ~Inputs();
  // Those that are registered, kept by the backend until `stale()`.
  static Inputs &current();
  static void stale();

  // Makes sure they are registered; returns their numbers.
  static std::int32_t declare(const std::string &definition);
  // The number, or 0 when it is not registered.
  std::int32_t find(const std::string &definition) const;

  bool any() const { return !numbers_.empty(); }
  std::int32_t newest() const { return newest_; } // timelines made with it know all inputs
  bool wants_source() const { return wants_source_; }

  // In subtransactions, as the owners of the inputs. An input that fails for an event says `odd`.
  std::vector<Observed> observe(const std::vector<EventFacts> &events);

private:
  struct Input;
  struct Group;
  void load();
  void add(std::int32_t number, const std::string &definition);
  void prepare(Group &group);
  void observe(Group &group, const std::vector<EventFacts> &events, std::vector<Observed> &observed);
  void ask(Group &group, const EventFacts &event, const std::vector<std::size_t> &chosen, Observed &observed);

  std::unordered_map<std::string, std::int32_t> numbers_; // by definition
  std::vector<std::unique_ptr<Group>> groups_;
  std::int32_t newest_ = 0;
  bool wants_source_ = false;
};

} // namespace cdp::segment
