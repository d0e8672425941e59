// The conditions of a rule, one by one, as people wrote them.
#include <cctype>

#include "pg/rule_tree.hpp"

namespace cdp::pg::rule {

namespace {

// Cuts a rule's text at its top-level ANDs. It knows quotes, comments, brackets, BETWEEN and CASE.
class Cutter {
public:
  explicit Cutter(const std::string &rule) : text_(rule) {}

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
    else if (word == "AND" && depth_ == 0) {
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

} // namespace

std::vector<Condition> find_conditions(const Expression &expression, const Source &source) {
  std::vector<Node *> parts = {expression.having};
  if (IsA(expression.having, BoolExpr) && reinterpret_cast<BoolExpr *>(expression.having)->boolop == AND_EXPR)
    parts = children(expression.having);
  auto texts = Cutter(*source.text).cut();
  std::vector<Condition> result;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    Condition one;
    one.text = texts.size() == parts.size() ? texts[i] : to_display(parts[i]);
    one.truth = to_sql(parts[i]);
    find_aggregates(parts[i], one.evidence);
    result.push_back(std::move(one));
  }
  return result;
}

} // namespace cdp::pg::rule
