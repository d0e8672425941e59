// What was seen together, what came of it, and what happened to people: rows to be written, one statement a
// table.
#pragma once
#include "core/identity_fold.hpp"

#include <optional>
#include <string>
#include <vector>

#include "collect/candidate.hpp"

namespace cdp::identity {

using core::Timestamp;

// An identifier that is left out of a message, by value (it cannot be used) or by rule (it is not linked).
struct Refused {
  std::string type, value, rule, reason;
  std::int64_t identifier_id = 0; // 0: the value never became an identifier
  std::vector<std::int64_t> conflicts;
};

// An identifier that a rule leaves out of what was carried together.
struct LeftOut {
  std::int64_t id;
  std::string rule; // as in cdp.evidence
  std::string type; // whose limit it is
  std::vector<std::int64_t> conflicts;
};

// The rule that a message as a whole met: what stops all that follows comes before what leaves out one.
std::string rule_of(const std::vector<LeftOut> &left_out);

// Nothing later can change what these rules say of the same identifiers.
bool is_lasting(const std::string &rule);

std::string to_string(core::Rule rule);

// "{1,2}", for a cast to bigint[].
std::string array_text(const std::vector<std::int64_t> &ids);
std::optional<std::string> optional_array(const std::vector<std::int64_t> &ids);
std::vector<std::int64_t> array_from(const std::optional<std::string> &text);

// Rows of evidence, refusals and changes, in the order in which they were decided.
class Journal {
public:
  void add_evidence(const collect::Candidate &candidate, std::int64_t decision,
                    const std::vector<std::int64_t> &identifiers, const std::vector<LeftOut> &left_out);
  void refuse(const Refused &refused, const collect::Candidate &candidate, std::int64_t decision);
  void change(std::int64_t decision, std::string change, std::int64_t profile, std::int64_t from,
              Timestamp at, const std::vector<std::int64_t> &identifiers = {}, std::string reason = {});
  void store();

private:
  void store_evidence();
  void store_refusals();
  bool append_evidence() const;
  void store_changes();
  bool append_changes() const;

  struct {
    std::vector<std::int64_t> decisions;
    std::vector<std::string> messages;
    std::vector<std::vector<std::int64_t>> identifiers, refused;
    std::vector<std::optional<std::string>> rules;
    std::vector<std::int32_t> sources, is_explicit;
    std::vector<Timestamp> at;
    std::vector<std::pair<std::int64_t, std::int64_t>> members; // identifier and decision
  } evidence_;
  struct {
    std::vector<std::int64_t> decisions, identifiers;
    std::vector<std::string> types, values, rules, reasons, messages;
    std::vector<std::optional<std::string>> conflicts;
    std::vector<std::int32_t> sources;
    std::vector<Timestamp> at;
  } refusals_;
  struct {
    std::vector<std::int64_t> decisions, profiles, from;
    std::vector<std::string> changes;
    std::vector<std::vector<std::int64_t>> identifiers;
    std::vector<std::optional<std::string>> reasons;
    std::vector<Timestamp> at;
  } changes_;
};

} // namespace cdp::identity
