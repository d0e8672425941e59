// Inside the rule compiler: how terms move with the clock.
#pragma once
#include <map>
#include <set>

#include "pg/rule_tree.hpp"

namespace cdp::pg::rule {

// Which way a term moves as time passes: 1, 0 or -1; nothing when nobody can tell.
class Motion {
public:
  explicit Motion(const Source &source) : source_(source) {}
  std::optional<int> of(Node *term);

  std::set<std::string> zones; // named by AT TIME ZONE and date_trunc
  int shifts = 0;              // intervals added to or taken from the clock
  bool truncates = false;

private:
  std::optional<int> of_function(FuncExpr *call_of);
  std::optional<int> of_operator(OpExpr *operation);
  std::optional<int> of_all(List *arguments);
  bool take_zone(Node *zone);
  const Source &source_;
};

// `clock op stands + offset`.
struct Fixed {
  std::string op;
  Node *stands;
  std::int64_t offset;
};
std::optional<Fixed> fix(const std::string &op, Node *left, Node *right, const std::string &time_zone);
std::string turned(const std::string &op); // as seen from the other side

// A comparison that turns at a fixed distance from something that stands still.
struct Closed {
  Node *stands;
  std::vector<std::int64_t> offsets;
};
std::optional<Closed> solve(const std::string &op, Node *left, Node *right, const std::string &time_zone);

// A Param for the node, numbered from kFirstInput by its place among those found; equal nodes share one. In
// the backend's zone.
Node *stand_in(Node *node, List **found);

// Replaces the clock-free parts of a comparison by Params.
class Inputs {
public:
  Node *replace(Node *side);
  std::vector<Node *> found() const;

private:
  List *list_ = NIL;
};

} // namespace cdp::pg::rule
