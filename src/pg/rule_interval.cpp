// Rules that are not exact: what they mean for everybody, as docs/design.md states it.
#include <algorithm>

#include "pg/rule_tree.hpp"

namespace cdp::pg {

std::size_t end_of_literal(const std::string &text, std::size_t at) {
  if (text[at] == '$') {
    const auto close = text.find('$', at + 1);
    const auto tag = text.substr(at, close - at + 1);
    return text.find(tag, close + 1) + tag.size();
  }
  const bool escapes = text[at] == 'E' || text[at] == 'e';
  at = text.find('\'', at) + 1;
  for (; at < text.size(); ++at) {
    if (escapes && text[at] == '\\')
      ++at;
    else if (text[at] == '\'' && (at + 1 >= text.size() || text[at + 1] != '\''))
      return at + 1;
    else if (text[at] == '\'')
      ++at;
  }
  return text.size();
}

namespace rule {

namespace {

// Calls that rank everybody, or ask about the person's accounts, by where their argument stands.
void find_ranks(Node *node, const Source &source, std::vector<int> &arguments) {
  if (!node)
    return;
  if (IsA(node, FuncCall)) {
    auto *function = reinterpret_cast<FuncCall *>(node);
    const std::string name = strVal(llast(function->funcname));
    const bool ours =
        list_length(function->funcname) == 2 && strcmp(strVal(linitial(function->funcname)), "cdp") == 0;
    const bool is_account = name == "in_account_segment" || name == "account_values";
    if (ours && (name == "percentile" || name == "rank" || is_account) && list_length(function->args) == 1 &&
        !function->over && !function->agg_within_group && !function->agg_star) {
      auto *argument = static_cast<Node *>(linitial(function->args));
      const int location = call([&] { return exprLocation(argument); });
      if (!IsA(argument, A_Const))
        refuse(source, location, ERRCODE_FEATURE_NOT_SUPPORTED,
               is_account ? "the name that cdp." + name + " is asked about must be a constant"
                          : "the trait of a rank must be a constant",
               is_account ? "Write it as it is: cdp." + name + "('name')."
                          : "Write its name: cdp.percentile('total_spend').");
      arguments.push_back(location);
    }
  }
  for (Node *child : raw_children(node))
    find_ranks(child, source, arguments);
}

} // namespace

bool is_literal(const std::string &text, int location) {
  if (location < 0 || static_cast<std::size_t>(location) >= text.size())
    return false;
  const auto at = static_cast<std::size_t>(location);
  return text[at] == '\'' || text[at] == '$' ||
         ((text[at] == 'E' || text[at] == 'e') && at + 1 < text.size() && text[at + 1] == '\'');
}

std::string with_person(const Source &source, const Expression &expression) {
  std::vector<int> arguments;
  find_ranks(source.raw, source, arguments);
  for (const auto *some : {&expression.segments, &expression.since})
    for (const auto &one : *some)
      if (!one.is_value)
        arguments.insert(arguments.end(), one.literals.begin(), one.literals.end());
  std::sort(arguments.rbegin(), arguments.rend());
  std::string text = *source.text;
  for (int location : arguments)
    text.insert(end_of_literal(text, static_cast<std::size_t>(std::max(location, 0))), ", profile_id");
  return text;
}

std::string meaning(const std::string &having, const std::optional<std::string> &per, bool asks_computed) {
  return "SELECT p.profile_id, h.key FROM cdp." + std::string(asks_computed ? "people" : "profiles") +
         " AS p CROSS JOIN LATERAL (SELECT (" + (per ? *per + "\n" : std::string("NULL")) +
         ")::pg_catalog.text AS key FROM (SELECT event_id, type, event, source, occurred_at, received_at, "
         "properties, context FROM cdp.events AS x WHERE x.profile_id = p.profile_id AND x.occurred_at <= "
         "pg_catalog.now()) AS e " +
         (per ? "GROUP BY " + *per + "\n" : std::string()) + "HAVING (" + having + "\n)) AS h";
}

} // namespace rule

} // namespace cdp::pg
