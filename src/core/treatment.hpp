// Privacy at the door: members of a message that are left out, or replaced by a keyed hash, before anything
// of it is stored. Works on JSON texts.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cdp::core {

class Treatment {
public:
  /// Text in, hexadecimal digits out.
  using Hash = std::function<std::string(std::string_view)>;

  /// The parts of a path `traits.address.street`; a dot inside a name is written \. and `*` is any name. Or
  /// what is wrong with it.
  static std::optional<std::vector<std::string>> parts_of(std::string_view path, std::string &fault);

  /// From paths that have parts.
  Treatment(const std::vector<std::string> &dropped, const std::vector<std::string> &hashed, Hash hash);

  /// The same but for these hashes; and which there are.
  Treatment without(const std::vector<std::string> &hashed) const;
  const std::vector<std::string> &hashed() const { return hashed_; }

  /// A message, treated. `message` must be a valid JSON object.
  std::string message(std::string_view message) const;
  /// The context that a batch says for all its messages, treated; "" stays so.
  std::string context(std::string_view context) const;

private:
  struct Node {
    bool drops = false, hashes = false;
    std::map<std::string, std::unique_ptr<Node>> below;
  };
  using Nodes = std::vector<const Node *>; // all that apply here: a name's and those of *

  void add(const std::string &path, bool drops);
  void put(std::string &out, std::string_view value, const Nodes &nodes) const;
  void put_object(std::string &out, std::string_view object, const Nodes &nodes) const;
  void put_hashed(std::string &out, std::string_view value) const;

  Node root_;
  std::vector<std::string> dropped_, hashed_;
  Hash hash_;
};

} // namespace cdp::core
