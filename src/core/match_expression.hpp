// Conditions over two records, as SQL says them: "surname_l" = "surname_r", or l.surname = r.surname;
// DuckDB's names for functions are known, too. Parsed here; what is made of them is in match_model.hpp.
#pragma once

#include <exception>
#include <string>
#include <string_view>
#include <vector>

namespace cdp::core::match {

/// What cannot be understood, or not be done; the place counts characters of the text from 1, 0 is nowhere.
class Unclear : public std::exception {
public:
  Unclear(std::string message, int place = 0) : message_(std::move(message)), place_(place) {}
  const char *what() const noexcept override { return message_.c_str(); }
  int place() const { return place_; }

private:
  std::string message_;
  int place_;
};

enum class Op {
  column,
  text,
  number,
  null,
  boolean,
  call,
  cast,
  compare,
  arithmetic,
  both,
  either,
  negation,
  is_null,
  choice // CASE WHEN a THEN b [WHEN …] ELSE z END: a, b, …, z
};

enum Sides : unsigned { kNeither = 0, kLeft = 1, kRight = 2, kTwo = 3 };

struct Node {
  Op op;
  std::string name; // column without its side; function and type in small letters; operator; literal's text
  unsigned sides = kNeither; // of all that is under it
  int place = 0;
  std::vector<Node> parts;
  bool wants_group = false; // stood in parentheses

  bool is(Op other, std::string_view called) const { return op == other && name == called; }
};

/// Throws Unclear.
Node parse_condition(std::string_view text);

/// What a node about one side says of a record t, as PostgreSQL spells it. Throws Unclear for functions that
/// are not known.
std::string to_sql(const Node &node);

/// The same text for the same expression, whichever side it is about.
std::string signature(const Node &node);

/// Names of columns, without sides, in order and once each.
void collect_columns(const Node &node, std::vector<std::string> &columns);

std::string quoted_identifier(std::string_view name);
std::string quoted_literal(std::string_view text);

} // namespace cdp::core::match
