// Objects that core::json::validate has seen become jsonb in one pass, with the text that jsonb would print
// beside it: jsonb_in lexes anew, copies every string and sorts twice, and its output escapes everything
// again. Layout as in utils/jsonb.h; the tests hold both against PostgreSQL's own. What is rare (\u, a number
// with an exponent, another encoding) is left to jsonb_in.
#include <algorithm>
#include <vector>

#include "pg/jsonb_make.hpp"

#include "pg/guard.hpp"

extern "C" {
#include "mb/pg_wchar.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"
}

namespace cdp::pg {

namespace {

constexpr std::size_t kMostBytes = 16 << 20; // far below the limits of an entry's length
constexpr std::size_t kMostKept = 64 << 10;
constexpr int kDeepest = 200;

enum class Kind : std::uint8_t { null, yes, no, number, string, array, object };

struct Node {
  Kind kind;
  std::string_view text;            // of a number or string, as written between its quotes
  std::string_view value;           // of a string, as it is
  std::size_t first = 0, count = 0; // of a container: where its members lie
  Numeric number = nullptr;
};

struct Member {
  std::string_view key, key_text;
  std::size_t node;
};

// jsonb's order of keys; of equal ones, that of coming.
bool goes_before(const Member &a, const Member &b) {
  if (a.key.size() != b.key.size())
    return a.key.size() < b.key.size();
  const int order = memcmp(a.key.data(), b.key.data(), a.key.size());
  return order != 0 ? order < 0 : a.node < b.node;
}

// Walks text that is known to be sound. False: it holds something for jsonb_in.
class Reader {
public:
  std::vector<Node> nodes;
  std::vector<Member> members;

  bool read(std::string_view text) {
    at_ = text.data();
    end_ = at_ + text.size();
    nodes.clear();
    members.clear();
    open_.clear();
    unescaped_.clear();
    skip_space();
    if (at_ == end_ || *at_ != '{' || !value(0))
      return false;
    skip_space();
    return at_ == end_;
  }

private:
  void skip_space() {
    while (at_ < end_ && (*at_ == ' ' || *at_ == '\t' || *at_ == '\n' || *at_ == '\r'))
      ++at_;
  }

  bool string(std::string_view &text, std::string_view &value) {
    const char *begin = ++at_;
    bool escaped = false;
    for (; at_ < end_ && *at_ != '"'; ++at_)
      if (*at_ == '\\') {
        if (++at_ == end_ || *at_ == 'u' || *at_ == '/') // printed otherwise than it came
          return false;
        escaped = true;
      }
    if (at_ >= end_)
      return false;
    text = value = {begin, static_cast<std::size_t>(at_++ - begin)};
    if (escaped)
      value = unescape(text);
    return true;
  }

  std::string_view unescape(std::string_view text) {
    const auto begin = unescaped_.size();
    if (begin == 0) // it never moves from here on: values point into it
      unescaped_.reserve(text.size() + static_cast<std::size_t>(end_ - at_));
    for (std::size_t i = 0; i < text.size(); ++i) {
      char c = text[i];
      if (c == '\\') {
        c = text[++i];
        c = c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c == 'b' ? '\b' : c == 'f' ? '\f' : c;
      }
      unescaped_.push_back(c);
    }
    return std::string_view(unescaped_).substr(begin);
  }

  // As numeric prints it, or not at all.
  bool number(std::string_view &text) {
    const char *begin = at_;
    bool is_zero = true;
    for (; at_ < end_ && (*at_ == '-' || *at_ == '.' || (*at_ >= '0' && *at_ <= '9')); ++at_)
      is_zero = is_zero && (*at_ < '1' || *at_ > '9');
    text = {begin, static_cast<std::size_t>(at_ - begin)};
    return !text.empty() && text.size() <= 100 && !(is_zero && text[0] == '-') &&
           (at_ == end_ || (*at_ != 'e' && *at_ != 'E' && *at_ != '+'));
  }

  bool word(std::string_view wanted) {
    if (std::string_view(at_, static_cast<std::size_t>(end_ - at_)).substr(0, wanted.size()) != wanted)
      return false;
    at_ += wanted.size();
    return true;
  }

  bool value(int depth) {
    const auto place = nodes.size();
    nodes.emplace_back();
    switch (at_ < end_ ? *at_ : '\0') {
    case '{':
      nodes[place].kind = Kind::object;
      return container(place, '}', depth);
    case '[':
      nodes[place].kind = Kind::array;
      return container(place, ']', depth);
    case '"':
      nodes[place].kind = Kind::string;
      return string(nodes[place].text, nodes[place].value);
    case 't':
      nodes[place].kind = Kind::yes;
      return word("true");
    case 'f':
      nodes[place].kind = Kind::no;
      return word("false");
    case 'n':
      nodes[place].kind = Kind::null;
      return word("null");
    default:
      nodes[place].kind = Kind::number;
      return number(nodes[place].text);
    }
  }

  bool container(std::size_t place, char close, int depth) {
    if (depth == kDeepest)
      return false;
    const auto begin = open_.size();
    for (++at_, skip_space(); at_ < end_ && *at_ != close; skip_space()) {
      if (*at_ == ',') {
        ++at_;
        skip_space();
      }
      Member member{};
      if (close == '}') {
        if (at_ == end_ || *at_ != '"' || !string(member.key_text, member.key))
          return false;
        skip_space();
        if (at_ == end_ || *at_++ != ':')
          return false;
        skip_space();
      }
      member.node = nodes.size();
      open_.push_back(member);
      if (!value(depth + 1))
        return false;
    }
    if (at_ == end_)
      return false;
    ++at_;
    close_container(place, begin);
    return true;
  }

  // Of keys that come again the last one counts.
  void close_container(std::size_t place, std::size_t begin) {
    const auto from = open_.begin() + static_cast<std::ptrdiff_t>(begin);
    if (nodes[place].kind == Kind::object)
      std::sort(from, open_.end(), goes_before);
    nodes[place].first = members.size();
    for (auto one = from; one != open_.end(); ++one)
      if (nodes[place].kind == Kind::object && one != from && std::prev(one)->key == one->key)
        members.back() = *one;
      else
        members.push_back(*one);
    nodes[place].count = members.size() - nodes[place].first;
    open_.resize(begin);
  }

  const char *at_ = nullptr, *end_ = nullptr;
  std::string unescaped_;
  std::vector<Member> open_;
};

// Writes into memory that is large enough: nothing here can fail.
class Writer {
public:
  Writer(const Reader &from, char *to) : from_(from), begin_(to), at_(to) {}

  std::size_t size() const { return static_cast<std::size_t>(at_ - begin_); }

  // Its entry: the kind and how much was written for it.
  JEntry node(std::size_t place) {
    const auto &one = from_.nodes[place];
    const char *before = at_;
    JEntry kind = JENTRY_ISSTRING;
    switch (one.kind) {
    case Kind::null:
      return JENTRY_ISNULL;
    case Kind::yes:
      return JENTRY_ISBOOL_TRUE;
    case Kind::no:
      return JENTRY_ISBOOL_FALSE;
    case Kind::string:
      bytes(one.value.data(), one.value.size());
      break;
    case Kind::number:
      kind = JENTRY_ISNUMERIC;
      pad();
      bytes(one.number, VARSIZE_ANY(one.number));
      break;
    default:
      kind = JENTRY_ISCONTAINER;
      container(one);
    }
    return kind | static_cast<JEntry>(at_ - before);
  }

  void pad() {
    while ((at_ - begin_) % 4 != 0)
      *at_++ = '\0';
  }

private:
  void bytes(const void *from, std::size_t size) {
    memcpy(at_, from, size);
    at_ += size;
  }

  void container(const Node &one) {
    pad();
    const bool is_object = one.kind == Kind::object;
    const std::uint32_t header = static_cast<std::uint32_t>(one.count) | (is_object ? JB_FOBJECT : JB_FARRAY);
    bytes(&header, sizeof header);
    auto *entries = reinterpret_cast<JEntry *>(at_);
    at_ += sizeof(JEntry) * one.count * (is_object ? 2 : 1);
    std::uint32_t total = 0, number = 0;
    const auto add = [&](JEntry entry) {
      total += JBE_OFFLENFLD(entry);
      entries[number] =
          number % JB_OFFSET_STRIDE == 0 ? (entry & JENTRY_TYPEMASK) | total | JENTRY_HAS_OFF : entry;
      ++number;
    };
    const auto *members = from_.members.data() + one.first;
    if (is_object)
      for (std::size_t i = 0; i < one.count; ++i) {
        bytes(members[i].key.data(), members[i].key.size());
        add(JENTRY_ISSTRING | static_cast<JEntry>(members[i].key.size()));
      }
    for (std::size_t i = 0; i < one.count; ++i)
      add(node(members[i].node));
  }

  const Reader &from_;
  char *begin_, *at_;
};

void print(const Reader &from, std::size_t place, std::string &to) {
  const auto quoted = [&](std::string_view text) { to.append(1, '"').append(text).append(1, '"'); };
  const auto &one = from.nodes[place];
  switch (one.kind) {
  case Kind::null:
    to += "null";
    return;
  case Kind::yes:
    to += "true";
    return;
  case Kind::no:
    to += "false";
    return;
  case Kind::string:
    return quoted(one.text);
  case Kind::number:
    to += one.text;
    return;
  default:
    break;
  }
  const bool is_object = one.kind == Kind::object;
  to += is_object ? '{' : '[';
  for (std::size_t i = 0; i < one.count; ++i) {
    const auto &member = from.members[one.first + i];
    if (i > 0)
      to += ", ";
    if (is_object) {
      quoted(member.key_text);
      to += ": ";
    }
    print(from, member.node, to);
  }
  to += is_object ? '}' : ']';
}

} // namespace

void *make_jsonb(std::string_view text, std::string &spelling) {
  spelling.clear();
  if (text.empty())
    return nullptr;
  static auto &kept = *new Reader; // what it has allocated serves the next text
  Reader large;
  Reader &reader = text.size() <= kMostKept ? kept : large;
  if (text.size() > kMostBytes || GetDatabaseEncoding() != PG_UTF8 || !reader.read(text))
    return nullptr;
  std::size_t room = VARHDRSZ + text.size() + 16 + 16 * reader.nodes.size();
  auto *nodes = reader.nodes.data();
  const auto count = reader.nodes.size();
  char number[101];
  room += call([&] {
    std::size_t bytes = 0;
    for (std::size_t i = 0; i < count; ++i)
      if (nodes[i].kind == Kind::number) {
        memcpy(number, nodes[i].text.data(), nodes[i].text.size());
        number[nodes[i].text.size()] = '\0';
        nodes[i].number = DatumGetNumeric(DirectFunctionCall3(
            numeric_in, CStringGetDatum(number), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
        bytes += VARSIZE_ANY(nodes[i].number);
      }
    return bytes;
  });
  auto *jsonb = static_cast<char *>(call([&] { return palloc(room); }));
  Writer writer(reader, jsonb + VARHDRSZ);
  (void)writer.node(0);
  SET_VARSIZE(jsonb, VARHDRSZ + writer.size());
  spelling.reserve(text.size() + 64);
  print(reader, 0, spelling);
  return jsonb;
}

} // namespace cdp::pg
