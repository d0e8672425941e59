#include "treatment.hpp"

#include "json.hpp"

#include <algorithm>

namespace cdp::core {

namespace {

using json::Cursor;
using json::Kind;
using json::kind_of;

/// What says which message it is, of what kind, and when: without these there is no message.
constexpr std::string_view kNeeded[] = {"type",   "messageId",  "timestamp", "originalTimestamp",
                                        "sentAt", "receivedAt", "event"};

} // namespace

std::optional<std::vector<std::string>> Treatment::parts_of(std::string_view path, std::string &fault) {
  std::vector<std::string> parts(1);
  for (std::size_t i = 0; i < path.size(); ++i) {
    if (path[i] == '\\' && i + 1 < path.size())
      parts.back() += path[++i];
    else if (path[i] == '.')
      parts.emplace_back();
    else
      parts.back() += path[i];
  }
  if (std::find(parts.begin(), parts.end(), "") != parts.end())
    fault = "a part of it is empty";
  else if (std::find(std::begin(kNeeded), std::end(kNeeded), parts.front()) != std::end(kNeeded))
    fault = "no message can do without its " + parts.front();
  else if (parts.front() == "*")
    fault =
        "it must say where in the message it begins: traits, properties, context, userId or another field";
  if (!fault.empty())
    return std::nullopt;
  return parts;
}

Treatment::Treatment(const std::vector<std::string> &dropped, const std::vector<std::string> &hashed,
                     Hash hash)
    : dropped_(dropped), hashed_(hashed), hash_(std::move(hash)) {
  for (const auto &path : dropped)
    add(path, true);
  for (const auto &path : hashed)
    add(path, false);
}

Treatment Treatment::without(const std::vector<std::string> &hashed) const {
  auto left = hashed_;
  std::erase_if(left, [&](const std::string &path) {
    return std::find(hashed.begin(), hashed.end(), path) != hashed.end();
  });
  return {dropped_, left, hash_};
}

void Treatment::add(const std::string &path, bool drops) {
  std::string fault;
  const auto parts = parts_of(path, fault);
  if (!parts)
    return;
  auto *node = &root_;
  for (const auto &part : *parts) {
    auto &next = node->below[part];
    if (!next)
      next = std::make_unique<Node>();
    node = next.get();
  }
  (drops ? node->drops : node->hashes) = true;
}

std::string Treatment::message(std::string_view message) const {
  std::string out;
  put_object(out, json::trim_space(message), {&root_});
  return out;
}

std::string Treatment::context(std::string_view context) const {
  const auto below = root_.below.find("context");
  if (context.empty() || below == root_.below.end())
    return std::string(context);
  if (below->second->drops)
    return {};
  std::string out;
  put(out, json::trim_space(context), {below->second.get()});
  return out;
}

void Treatment::put(std::string &out, std::string_view value, const Nodes &nodes) const {
  if (std::any_of(nodes.begin(), nodes.end(), [](const Node *node) { return node->hashes; }))
    return put_hashed(out, value);
  if (nodes.empty() || (kind_of(value) != Kind::object && kind_of(value) != Kind::array)) {
    out += value;
  } else if (kind_of(value) == Kind::object) {
    put_object(out, value, nodes);
  } else {
    out += '[';
    bool first = true;
    for (Cursor cursor(value); cursor.next(); first = false) {
      out += first ? "" : ",";
      put(out, cursor.value(), nodes); // a path goes through arrays, into every element
    }
    out += ']';
  }
}

void Treatment::put_object(std::string &out, std::string_view object, const Nodes &nodes) const {
  out += '{';
  bool first = true;
  for (Cursor cursor(object); cursor.next();) {
    const auto name = json::unescape(cursor.raw_key());
    Nodes below;
    for (const auto *node : nodes)
      for (const auto &key : {name, std::string("*")})
        if (const auto found = node->below.find(key); found != node->below.end())
          below.push_back(found->second.get());
    if (std::any_of(below.begin(), below.end(), [](const Node *node) { return node->drops; }))
      continue;
    out += first ? "" : ",";
    first = false;
    out += cursor.raw_key();
    out += ':';
    put(out, cursor.value(), below);
  }
  out += '}';
}

void Treatment::put_hashed(std::string &out, std::string_view value) const {
  switch (kind_of(value)) {
  case Kind::null:
    out += value;
    break;
  case Kind::array:
  case Kind::object: {
    const bool object = kind_of(value) == Kind::object;
    out += object ? '{' : '[';
    bool first = true;
    for (Cursor cursor(value); cursor.next(); first = false) {
      out += first ? "" : ",";
      if (object)
        (out += cursor.raw_key()) += ':';
      put_hashed(out, cursor.value());
    }
    out += object ? '}' : ']';
    break;
  }
  default: {
    auto text = kind_of(value) == Kind::string   ? json::unescape(value)
                : kind_of(value) == Kind::number ? json::plain_number(value)
                                                 : std::string(value);
    if (text.empty() && kind_of(value) == Kind::number)
      text = value;
    out += '"' + hash_(text) + '"';
  }
  }
}

} // namespace cdp::core
