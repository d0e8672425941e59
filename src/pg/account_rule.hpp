// Expressions over the people of an account: checked, and made plain SQL over one row a person.
#pragma once
#include <string>
#include <vector>

namespace cdp::pg {

// What an expression asks for by a constant name.
struct AskedByAccount {
  enum Kind { segment, computed, account } kind; // of the person, the person, the account
  std::string name;
  std::vector<int> literals; // where the name stands
};

struct AccountExpression {
  std::string sql; // profile_id is told to functions that know who they are about
  std::vector<AskedByAccount> asked;
  bool asks_traits = false; // account_traits
};

// An expression, or (is_rule) a condition. An error points at what is wrong. Under the settings in force.
AccountExpression compile_account(const std::string &text, bool is_rule);

// The text with another name for what it asks for.
std::string rename_in_account(const std::string &text, bool is_rule, AskedByAccount::Kind kind,
                              const std::string &name, const std::string &new_name);

} // namespace cdp::pg
