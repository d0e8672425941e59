// Where messages come from, and how what comes from there is taken.
#pragma once
#include "core/tracking_plan.hpp"
#include "core/treatment.hpp"

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace cdp::collect {

struct Incoming;

// How the messages of one source are taken; the same object for as long as nobody changes it.
struct SourceRules {
  bool is_enabled = true, may_link = true;
  bool keeps_messages = false;
  bool is_keyed = false; // its content hashes are keyed: parts of its messages are, or were, not to be stored
  std::string region, time_zone;
  std::shared_ptr<const core::Treatment> treatment; // null: messages are stored as they come
  std::shared_ptr<const core::TrackingPlan> plan;   // null: none is enabled
  bool plan_quarantines = false;
};

struct Source {
  std::int32_t id = 0; // 0: not registered
  std::shared_ptr<const SourceRules> rules;
};

// The sources of these lines, in one query.
class Sources {
public:
  explicit Sources(const std::vector<Incoming> &lines);
  const Source &of(const std::string &name) const { return by_name_.at(name); }
  // Registers those of these names that are not there yet.
  void add(const std::vector<std::string> &names);
  // Somebody's messages are kept out.
  bool any_suppressed() const { return any_suppressed_; }

private:
  void look_up(const std::vector<std::string> &names);
  bool look_up_one(const std::string &name);

  std::map<std::string, Source> by_name_;
  bool any_suppressed_ = false;
};

// The secret that treatments, suppressions and content hashes are keyed with.
std::string privacy_secret();

// The source that a write key belongs to; refuses a key that belongs to none, or not to `source` if that is
// not "".
std::string source_of_key(const std::string &write_key, const std::string &source);

// What is kept of a text that cannot be treated because it cannot be read.
std::string withheld(std::size_t bytes);

// Of a source with a treatment: a line as it may be stored, whatever it holds.
std::string treated_line(const core::Treatment &treatment, const std::string &line);

// A setting: a source that is new is registered at its first message.
extern bool register_sources;

} // namespace cdp::collect
