#include "match_expression.hpp"
#include "text.hpp"

#include <algorithm>
#include <array>

namespace cdp::core::match {

namespace {

constexpr int kDeepest = 100; // parentheses in parentheses

enum class Kind { word, quoted, text, number, sign, end };

struct Token {
  Kind kind;
  std::string text; // words in small letters
  std::string raw;  // words as written
  int place;
};

bool is_word_start(char c) {
  return is_ascii_letter(c) || c == '_' || static_cast<unsigned char>(c) >= 0x80;
}

class Lexer {
public:
  explicit Lexer(std::string_view text) : text_(text) {}

  std::vector<Token> all() {
    std::vector<Token> tokens;
    do
      tokens.push_back(next());
    while (tokens.back().kind != Kind::end);
    return tokens;
  }

private:
  int place() const { // in characters, as PostgreSQL counts
    return 1 + static_cast<int>(std::count_if(text_.begin(), text_.begin() + static_cast<std::ptrdiff_t>(at_),
                                              [](char c) { return (c & 0xC0) != 0x80; }));
  }
  char peek(std::size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }

  Token next() {
    while (at_ < text_.size() && (peek() == ' ' || peek() == '\t' || peek() == '\n' || peek() == '\r'))
      ++at_;
    const int where = place();
    if (at_ == text_.size())
      return {Kind::end, "", "", where};
    const char c = peek();
    if (c == '"' || c == '`' || c == '\'')
      return quoted(where);
    if (is_ascii_digit(c) || (c == '.' && is_ascii_digit(peek(1))))
      return number(where);
    if (is_word_start(c)) {
      const auto start = at_;
      while (at_ < text_.size() && (is_word_start(peek()) || is_ascii_digit(peek()) || peek() == '$'))
        ++at_;
      const auto word = text_.substr(start, at_ - start);
      return {Kind::word, ascii_lower(word), std::string(word), where};
    }
    return sign(where);
  }

  Token quoted(int where) {
    const char quote = text_[at_++];
    std::string content;
    for (;; ++at_) {
      if (at_ >= text_.size())
        throw Unclear("the quote is not closed", where);
      if (peek() != quote)
        content += peek();
      else if (peek(1) == quote)
        content += text_[at_++];
      else
        break;
    }
    ++at_;
    return {quote == '\'' ? Kind::text : Kind::quoted, content, content, where};
  }

  Token number(int where) {
    const auto start = at_;
    const auto digits = [&] {
      while (is_ascii_digit(peek()))
        ++at_;
    };
    digits();
    if (peek() == '.') {
      ++at_;
      digits();
    }
    const std::size_t sign = peek(1) == '-' || peek(1) == '+' ? 1 : 0;
    if ((peek() == 'e' || peek() == 'E') && is_ascii_digit(peek(1 + sign))) {
      at_ += 1 + sign;
      digits();
    }
    const std::string text(text_.substr(start, at_ - start));
    return {Kind::number, text, text, where};
  }

  Token sign(int where) {
    static constexpr std::array<std::string_view, 8> kLong{"<=", ">=", "<>", "!=", "==", "||", "::", "&&"};
    for (auto sign : kLong)
      if (text_.substr(at_, 2) == sign) {
        at_ += 2;
        const std::string text(sign == "==" ? "=" : sign == "!=" ? "<>" : sign);
        return {Kind::sign, text, text, where};
      }
    if (std::string_view("()=<>+-*/,.").find(peek()) == std::string_view::npos)
      throw Unclear("there is a character that means nothing here", where);
    const std::string text(1, text_[at_++]);
    return {Kind::sign, text, text, where};
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

class Parser {
public:
  explicit Parser(std::string_view text) : tokens_(Lexer(text).all()) {}

  Node whole() {
    Node node = either();
    if (peek().kind != Kind::end)
      throw Unclear("something is left over here", peek().place);
    return node;
  }

private:
  const Token &peek(std::size_t ahead = 0) const {
    return tokens_[std::min(at_ + ahead, tokens_.size() - 1)];
  }
  bool is_word(std::string_view word) const { return peek().kind == Kind::word && peek().text == word; }
  bool is_sign(std::string_view sign) const { return peek().kind == Kind::sign && peek().text == sign; }
  bool take_word(std::string_view word) { return is_word(word) && ++at_; }
  bool take_sign(std::string_view sign) { return is_sign(sign) && ++at_; }
  void need_word(std::string_view word) {
    if (!take_word(word))
      throw Unclear(std::string(word) + " is missing here", peek().place);
  }
  void need_sign(std::string_view sign) {
    if (!take_sign(sign))
      throw Unclear("\"" + std::string(sign) + "\" is missing here", peek().place);
  }

  static Node made(Op op, std::string name, int place, std::vector<Node> parts) {
    Node node{op, std::move(name), kNeither, place, std::move(parts)};
    for (const auto &part : node.parts)
      node.sides |= part.sides;
    return node;
  }

  Node either() {
    Node node = both();
    while (is_word("or")) {
      const int place = tokens_[at_++].place;
      node = made(Op::either, "or", place, {std::move(node), both()});
    }
    return node;
  }

  Node both() {
    Node node = negation();
    while (is_word("and")) {
      const int place = tokens_[at_++].place;
      node = made(Op::both, "and", place, {std::move(node), negation()});
    }
    return node;
  }

  Node negation() {
    const int place = peek().place;
    if (!take_word("not"))
      return comparison();
    if (++depth_ > kDeepest)
      throw Unclear("this is nested too deeply", place);
    Node node = made(Op::negation, "not", place, {negation()});
    --depth_;
    return node;
  }

  Node comparison() {
    Node node = sum();
    const int place = peek().place;
    for (std::string_view sign : {"=", "<>", "<=", ">=", "<", ">", "&&"})
      if (take_sign(sign))
        return made(Op::compare, std::string(sign), place, {std::move(node), sum()});
    if (take_word("is")) {
      const bool inverted = take_word("not");
      need_word("null");
      node = made(Op::is_null, "is null", place, {std::move(node)});
      return inverted ? made(Op::negation, "not", place, {std::move(node)}) : std::move(node);
    }
    return node;
  }

  Node sum() {
    Node node = product();
    while (is_sign("+") || is_sign("-") || is_sign("||")) {
      const Token &sign = tokens_[at_++];
      node = made(Op::arithmetic, sign.text, sign.place, {std::move(node), product()});
    }
    return node;
  }

  Node product() {
    Node node = typed();
    while (is_sign("*") || is_sign("/")) {
      const Token &sign = tokens_[at_++];
      node = made(Op::arithmetic, sign.text, sign.place, {std::move(node), typed()});
    }
    return node;
  }

  Node typed() {
    Node node = primary();
    while (is_sign("::")) {
      const int place = tokens_[at_++].place;
      node = made(Op::cast, type_name(), place, {std::move(node)});
    }
    return node;
  }

  std::string type_name() {
    if (peek().kind != Kind::word)
      throw Unclear("a type is missing here", peek().place);
    std::string type = tokens_[at_++].text;
    if (type == "double")
      take_word("precision");
    return type;
  }

  Node primary() {
    const Token token = peek();
    if (++depth_ > kDeepest)
      throw Unclear("this is nested too deeply", token.place);
    ++at_;
    Node node{Op::null, "", kNeither, token.place, {}};
    if (token.kind == Kind::sign && token.text == "(") {
      node = either();
      need_sign(")");
      node.wants_group = true;
    } else if (token.kind == Kind::sign && token.text == "-" && peek().kind == Kind::number) {
      node = {Op::number, "-" + tokens_[at_++].text, kNeither, token.place, {}};
    } else if (token.kind == Kind::number || token.kind == Kind::text) {
      node = {token.kind == Kind::number ? Op::number : Op::text, token.raw, kNeither, token.place, {}};
    } else if (token.kind == Kind::quoted) {
      node = column(token);
    } else if (token.kind == Kind::word) {
      node = word(token);
    } else {
      throw Unclear(token.kind == Kind::end ? "it ends too early" : "a value is missing here", token.place);
    }
    --depth_;
    return node;
  }

  Node word(const Token &token) {
    if (token.text == "null" || token.text == "true" || token.text == "false")
      return {token.text == "null" ? Op::null : Op::boolean, token.text, kNeither, token.place, {}};
    if (token.text == "case")
      return choice(token.place);
    if (!is_sign("("))
      return column(token);
    ++at_;
    if (token.text == "cast" || token.text == "try_cast") {
      if (token.text == "try_cast")
        throw Unclear("TRY_CAST is not known; dates are read by try_strptime(column, format)", token.place);
      Node inner = either();
      need_word("as");
      Node node = made(Op::cast, type_name(), token.place, {std::move(inner)});
      need_sign(")");
      return node;
    }
    std::vector<Node> parts;
    if (!take_sign(")")) {
      do
        parts.push_back(either());
      while (take_sign(","));
      need_sign(")");
    }
    return made(Op::call, token.text, token.place, std::move(parts));
  }

  Node choice(int place) {
    std::vector<Node> parts;
    while (take_word("when")) {
      parts.push_back(either());
      need_word("then");
      parts.push_back(either());
    }
    if (parts.empty())
      throw Unclear("CASE needs a WHEN", place);
    parts.push_back(take_word("else") ? either() : Node{Op::null, "", kNeither, place, {}});
    need_word("end");
    return made(Op::choice, "case", place, std::move(parts));
  }

  /// l.name, r."name", name_l or "name_r".
  Node column(const Token &token) {
    const auto side_of = [](char side) -> unsigned {
      return side == 'l' ? kLeft : side == 'r' ? kRight : kNeither;
    };
    if (token.text.size() == 1 && side_of(token.text[0]) && is_sign(".")) {
      ++at_;
      const Token &name = peek();
      if (name.kind != Kind::word && name.kind != Kind::quoted)
        throw Unclear("a column is missing here", name.place);
      ++at_;
      return {Op::column, name.text, side_of(token.text[0]), token.place, {}};
    }
    const auto size = token.text.size();
    const unsigned side = size > 2 && token.text[size - 2] == '_' ? side_of(token.text[size - 1]) : kNeither;
    if (!side)
      throw Unclear("\"" + token.raw + "\" does not say which record it is about", token.place);
    return {Op::column, token.text.substr(0, size - 2), side, token.place, {}};
  }

  std::vector<Token> tokens_;
  std::size_t at_ = 0;
  int depth_ = 0;
};

} // namespace

Node parse_condition(std::string_view text) {
  return Parser(text).whole();
}

void collect_columns(const Node &node, std::vector<std::string> &columns) {
  if (node.op == Op::column && std::find(columns.begin(), columns.end(), node.name) == columns.end())
    columns.push_back(node.name);
  for (const auto &part : node.parts)
    collect_columns(part, columns);
}

std::string signature(const Node &node) {
  std::string text = std::to_string(static_cast<int>(node.op)) + ":" + quoted_identifier(node.name) + "(";
  for (const auto &part : node.parts)
    text += signature(part) + ",";
  return text + ")";
}

} // namespace cdp::core::match
