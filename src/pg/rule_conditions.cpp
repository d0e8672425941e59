// The conditions of a rule, one by one, as people wrote them.
#include <algorithm>
#include <cctype>

#include "pg/rule_tree.hpp"

namespace cdp::pg::rule {

namespace {

// Cuts a text at its top-level ANDs, or ORs. It knows quotes, comments, brackets, BETWEEN and CASE.
class Cutter {
public:
  Cutter(const std::string &rule, std::string at) : text_(rule), word_(std::move(at)) {}

  std::vector<std::string> cut() {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '\'' || c == '"')
        skip_quoted(c);
      else if (c == '$' && skip_dollar())
        continue;
      else if (text_.compare(at_, 2, "--") == 0)
        at_ = std::min(text_.find('\n', at_), text_.size());
      else if (text_.compare(at_, 2, "/*") == 0)
        at_ = std::min(text_.find("*/", at_), text_.size() - 2) + 2;
      else if (is_word(c))
        word();
      else
        punctuation(c);
    }
    finish(text_.size());
    return std::move(parts_);
  }

private:
  static bool is_word(char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || (c & 0x80);
  }

  void skip_quoted(char quote) {
    const bool escapes = quote == '\'' && at_ > 0 && (text_[at_ - 1] == 'E' || text_[at_ - 1] == 'e');
    for (++at_; at_ < text_.size() && text_[at_] != quote; ++at_)
      at_ += escapes && text_[at_] == '\\';
    ++at_;
  }

  bool skip_dollar() {
    auto end = at_ + 1;
    while (end < text_.size() && is_word(text_[end]))
      ++end;
    if (end >= text_.size() || text_[end] != '$')
      return false;
    const auto tag = text_.substr(at_, end - at_ + 1);
    const auto close = text_.find(tag, end + 1);
    at_ = close == std::string::npos ? text_.size() : close + tag.size();
    return true;
  }

  void word() {
    const auto start = at_;
    std::string word;
    for (; at_ < text_.size() && is_word(text_[at_]); ++at_)
      word += static_cast<char>(std::toupper(static_cast<unsigned char>(text_[at_])));
    if (word == "CASE")
      ++depth_;
    else if (word == "END")
      --depth_;
    else if (word == "BETWEEN")
      between_ += depth_ == 0;
    else if (word == "AND" && depth_ == 0 && between_ > 0)
      --between_;
    else if (word == word_ && depth_ == 0) {
      finish(start);
      start_ = at_;
    }
  }

  void punctuation(char c) {
    depth_ += c == '(' || c == '[';
    depth_ -= c == ')' || c == ']';
    ++at_;
  }

  void finish(std::size_t end) {
    auto first = start_;
    while (first < end && std::isspace(static_cast<unsigned char>(text_[first])))
      ++first;
    while (end > first && std::isspace(static_cast<unsigned char>(text_[end - 1])))
      --end;
    parts_.push_back(text_.substr(first, end - first));
  }

  const std::string &text_;
  const std::string word_;
  std::vector<std::string> parts_;
  std::size_t at_ = 0, start_ = 0;
  int depth_ = 0, between_ = 0;
};

void find_aggregates(Node *node, std::vector<Evidence> &found) {
  if (IsA(node, Aggref)) {
    Evidence one{to_display(node), to_sql(node), "true"};
    if (auto *filter = reinterpret_cast<Aggref *>(node)->aggfilter)
      one.filter = to_sql(reinterpret_cast<Node *>(filter));
    for (const auto &other : found)
      if (other.value == one.value)
        return;
    found.push_back(std::move(one));
    return;
  }
  for (Node *child : children(node))
    find_aggregates(child, found);
}

// The parts of a text as they are written; else as PostgreSQL would write them.
std::vector<std::string> texts_of(const std::vector<Node *> &parts, std::string whole, const char *word) {
  auto texts = Cutter(whole, word).cut();
  if (texts.size() != parts.size() && whole.starts_with('(') && whole.ends_with(')')) {
    whole = whole.substr(1, whole.size() - 2);
    texts = Cutter(whole, word).cut();
  }
  if (texts.size() != parts.size()) {
    texts.clear();
    for (Node *part : parts)
      texts.push_back(to_display(part));
  }
  return texts;
}

bool is_time(Node *node) {
  switch (call([&] { return exprType(node); })) {
  case DATEOID:
  case TIMESTAMPOID:
  case TIMESTAMPTZOID:
    return true;
  default:
    return false;
  }
}

std::string commuted(const std::string &op) {
  return op[0] == '<' && op != "<>" ? ">" + op.substr(1) : op[0] == '>' ? "<" + op.substr(1) : op;
}

std::optional<Compared> find_compared(Node *node) {
  if (IsA(node, ScalarArrayOpExpr) && reinterpret_cast<ScalarArrayOpExpr *>(node)->useOr) {
    auto *membership = reinterpret_cast<ScalarArrayOpExpr *>(node);
    if (std::string_view(call([&] { return get_opname(membership->opno); })) == "=")
      return Compared{to_sql(static_cast<Node *>(linitial(membership->args))), "in",
                      to_sql(static_cast<Node *>(lsecond(membership->args))), false};
  }
  if (!IsA(node, OpExpr) || list_length(reinterpret_cast<OpExpr *>(node)->args) != 2)
    return std::nullopt;
  auto *operation = reinterpret_cast<OpExpr *>(node);
  std::string op = call([&] { return get_opname(operation->opno); });
  static const std::vector<std::string> kKnown = {"<", "<=", "=", "<>", ">=", ">"};
  if (std::find(kKnown.begin(), kKnown.end(), op) == kKnown.end())
    return std::nullopt;
  auto *left = static_cast<Node *>(linitial(operation->args));
  auto *right = static_cast<Node *>(lsecond(operation->args));
  const auto stands_still = [](Node *side) {
    return !has_param(side, 1, kEventColumns, true) && !has_person(side) && !has_aggregate(side);
  };
  if (stands_still(left) && !stands_still(right)) {
    std::swap(left, right);
    op = commuted(op);
  }
  return Compared{to_sql(left), op, to_sql(right), is_time(left)};
}

Condition condition_of(Node *node, std::string written) {
  Condition one;
  one.text = std::move(written);
  one.truth = to_sql(node);
  find_aggregates(node, one.evidence);
  one.traits = find_mentions(node).traits;
  one.compared = find_compared(node);
  for (int place = kFirstSegment; place <= kLastSegment; ++place)
    if (has_param(node, place, place, true))
      one.segments.push_back(static_cast<std::size_t>(place - kFirstSegment));
  for (int place = kFirstComputed; place <= kLastComputed; ++place)
    if (has_param(node, place, place, true))
      one.computed.push_back(static_cast<std::size_t>(place - kFirstComputed));
  for (int place = kFirstSince; place <= kLastSince; ++place)
    if (has_param(node, place, place, true))
      one.since.push_back(static_cast<std::size_t>(place - kFirstSince));
  one.is_negated = IsA(node, BoolExpr) && reinterpret_cast<BoolExpr *>(node)->boolop == NOT_EXPR;
  Node *asked = one.is_negated ? children(node)[0] : node;
  one.is_membership = IsA(asked, Param) && has_segment(asked);
  return one;
}

} // namespace

std::vector<Condition> find_conditions(const Expression &expression, const Source &source) {
  const auto is = [](Node *node, BoolExprType what) {
    return IsA(node, BoolExpr) && reinterpret_cast<BoolExpr *>(node)->boolop == what;
  };
  std::vector<Node *> parts = {expression.having};
  if (is(expression.having, AND_EXPR))
    parts = children(expression.having);
  const auto texts = texts_of(parts, *source.text, "AND");
  std::vector<Condition> result;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    auto &one = result.emplace_back(condition_of(parts[i], texts[i]));
    one.joined = is(parts[i], OR_EXPR) ? "OR" : is(parts[i], AND_EXPR) ? "AND" : ""; // BETWEEN is an AND
    if (one.joined.empty())
      continue;
    const auto nested = children(parts[i]);
    const auto their_texts = texts_of(nested, one.text, one.joined.c_str());
    for (std::size_t k = 0; k < nested.size(); ++k)
      one.parts.push_back(condition_of(nested[k], their_texts[k]));
  }
  return result;
}

} // namespace cdp::pg::rule
