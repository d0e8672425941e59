#include "core/set_expression.hpp"

#include <algorithm>

namespace cdp::core {

namespace {

bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

// Operators wait on a stack of their own until one that binds less tightly comes.
class Parser {
public:
  explicit Parser(std::string_view text) : text_(text) {}

  SetExpression parse() {
    for (; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (c == ' ' || c == '\t' || c == '\n' || c == '\r')
        continue;
      if (wants_operand_)
        operand(c);
      else
        operation(c);
    }
    if (wants_operand_)
      fail(made_.program.empty() ? "a name of a segment is expected" : "a name of a segment is missing");
    while (!waiting_.empty()) {
      if (waiting_.back().kind == kOpen)
        throw SetSyntaxError("( is not closed", waiting_.back().position);
      apply();
    }
    return std::move(made_);
  }

private:
  static constexpr int kOpen = 0;
  struct Waiting {
    int kind;
    std::size_t position;
  };

  [[noreturn]] void fail(const std::string &message) const { throw SetSyntaxError(message, at_); }

  void operand(char c) {
    if (c == '(') {
      waiting_.push_back({kOpen, at_});
      return;
    }
    if (!is_letter(c))
      fail(c == '!' ? "! needs to know who everybody is" : "a name of a segment is expected");
    const auto start = at_;
    while (at_ + 1 < text_.size() && is_letter(text_[at_ + 1]))
      ++at_;
    const std::string name(text_.substr(start, at_ + 1 - start));
    auto known = std::find(made_.names.begin(), made_.names.end(), name);
    made_.program.push_back(static_cast<int>(known - made_.names.begin()));
    if (known == made_.names.end())
      made_.names.push_back(name);
    wants_operand_ = false;
  }

  void operation(char c) {
    if (c == ')') {
      while (!waiting_.empty() && waiting_.back().kind != kOpen)
        apply();
      if (waiting_.empty())
        fail(") closes nothing");
      waiting_.pop_back();
      return;
    }
    const int kind = c == '&'   ? SetExpression::both
                     : c == '|' ? SetExpression::either
                     : c == '-' ? SetExpression::without
                                : kOpen;
    if (kind == kOpen)
      fail("&, | or - is expected");
    while (!waiting_.empty() && binds(waiting_.back().kind) >= binds(kind))
      apply();
    waiting_.push_back({kind, at_});
    wants_operand_ = true;
  }

  static int binds(int kind) { return kind == kOpen ? 0 : kind == SetExpression::both ? 2 : 1; }

  void apply() {
    made_.program.push_back(waiting_.back().kind);
    waiting_.pop_back();
  }

  std::string_view text_;
  std::size_t at_ = 0;
  bool wants_operand_ = true;
  std::vector<Waiting> waiting_;
  SetExpression made_;
};

} // namespace

SetExpression parse_set_expression(std::string_view text) {
  return Parser(text).parse();
}

} // namespace cdp::core
