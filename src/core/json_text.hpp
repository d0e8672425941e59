// Small JSON documents of our own, written and read back.
#pragma once
#include "core/json.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace cdp::core::json {

// Objects and arrays, member by member, in the order they are written.
class Text {
public:
  Text &open(char bracket); // { or [
  Text &close();
  Text &key(std::string_view name);
  Text &add(std::string_view text);
  Text &add(const char *text) { return add(std::string_view(text)); }
  Text &add(std::int64_t number);
  Text &add(bool value);
  Text &add(const std::vector<std::string> &texts);
  Text &add(const std::vector<std::int64_t> &numbers);
  template <class T> Text &add(std::string_view name, const T &value) { return key(name).add(value); }
  const std::string &str() const { return out_; }

private:
  void separate();
  std::string out_, closers_;
  bool after_key_ = false;
};

// A member of an object; empty when it has none of that name.
std::string_view member(std::string_view object, std::string_view name);
std::string text_member(std::string_view object, std::string_view name);
std::int64_t number_member(std::string_view object, std::string_view name);
bool true_member(std::string_view object, std::string_view name);
std::vector<std::string_view> elements(std::string_view array);
std::vector<std::string> texts_member(std::string_view object, std::string_view name);
std::vector<std::int64_t> numbers_member(std::string_view object, std::string_view name);

} // namespace cdp::core::json
