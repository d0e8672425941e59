#include "identity/types.hpp"

namespace cdp::identity {

namespace {

void look_up(const std::vector<std::string> &names, std::map<std::string, Type> &types) {
  static pg::Statement select("SELECT type, normalizer, priority, default_region FROM cdp.identifier_types "
                              "WHERE type = ANY ($1)");
  auto rows = select.run(pg::Params().texts(names));
  for (std::size_t i = 0; i < rows.size(); ++i) {
    Type type;
    type.normalizer = core::normalizer_from(rows.text(i, 2)).value_or(core::Normalizer::text);
    type.priority = rows.integer(i, 3);
    type.default_region = rows.optional_text(i, 4).value_or("");
    types[rows.text(i, 1)] = type;
  }
}

} // namespace

std::map<std::string, Type> find_types(const std::set<std::string> &names) {
  std::map<std::string, Type> types;
  if (names.empty())
    return types;
  look_up({names.begin(), names.end()}, types);
  std::vector<std::string> missing; // sorted, so that two callers cannot wait for each other
  for (const auto &name : names)
    if (!types.contains(name))
      missing.push_back(name);
  if (missing.empty())
    return types;
  static pg::Statement insert(
      "INSERT INTO cdp.identifier_types (type) SELECT * FROM pg_catalog.unnest($1) ON CONFLICT DO NOTHING");
  insert.run(pg::Params().texts(missing));
  look_up(missing, types);
  return types;
}

} // namespace cdp::identity
