#include "segment/unseen.hpp"

#include "core/nearest.hpp"

namespace cdp::segment {

namespace {

std::vector<std::string> texts_of(const pg::Rows &rows) {
  std::vector<std::string> texts;
  for (std::size_t i = 0; i < rows.size(); ++i)
    texts.push_back(rows.text(i, 1));
  return texts;
}

// Of `names` those that a query does not find.
std::vector<std::string> missing(const char *found, const std::vector<std::string> &names) {
  const auto sql =
      std::string("SELECT n.name FROM unnest($1) WITH ORDINALITY AS n (name, place) WHERE NOT EXISTS (") +
      found + ") ORDER BY n.place";
  return names.empty() ? names : texts_of(pg::run_once(sql, pg::Params().texts(names), true));
}

std::string nearest(const std::string &name, const char *sql, const std::vector<std::string> &of = {}) {
  const auto known = texts_of(pg::run_once(sql, pg::Params().texts(of), true));
  return core::nearest(name, known).value_or("");
}

} // namespace

std::vector<Unseen> unseen_events(const pg::Mentions &mentions) {
  std::vector<Unseen> unseen;
  for (const auto &name :
       missing("SELECT FROM cdp_internal.event_names AS e WHERE e.event = n.name", mentions.events))
    unseen.push_back({"no event \"" + name + "\" was ever received",
                      nearest(name, "SELECT event FROM cdp.event_names WHERE $1 IS NOT NULL "
                                    "ORDER BY event COLLATE \"C\" LIMIT 100000")});
  return unseen;
}

std::vector<Unseen> unseen_traits(const pg::Mentions &mentions) {
  std::vector<Unseen> unseen;
  for (const auto &name : missing("SELECT FROM cdp.profiles AS p WHERE p.traits ? n.name", mentions.traits))
    unseen.push_back(
        {"nobody has a trait \"" + name + "\"",
         nearest(name, "SELECT DISTINCT k COLLATE \"C\" FROM (SELECT p.traits FROM cdp.profiles AS p "
                       "WHERE $1 IS NOT NULL LIMIT 10000) AS p, jsonb_object_keys(p.traits) AS k "
                       "ORDER BY 1 LIMIT 10000")});
  return unseen;
}

std::vector<Unseen> unseen_properties(const pg::Mentions &mentions, const std::vector<bool> &seen) {
  std::vector<Unseen> unseen;
  for (std::size_t i = 0; i < seen.size(); ++i) {
    const auto &[events, name] = mentions.properties[i];
    if (seen[i] ||
        (!events.empty() &&
         missing("SELECT FROM cdp_internal.event_names AS e WHERE e.event = n.name", events) == events))
      continue;
    std::string message = "no event";
    for (const auto &event : events)
      message += (&event == &events.front() ? " \"" : " or \"") + event + "\"";
    unseen.push_back(
        {message + " has a property \"" + name + "\"",
         nearest(name,
                 "SELECT DISTINCT k COLLATE \"C\" FROM (SELECT r.properties FROM cdp.event_records AS r "
                 "WHERE (r.event = ANY ($1) OR cardinality($1) = 0) AND jsonb_typeof(r.properties) = "
                 "'object' LIMIT 10000) AS r, jsonb_object_keys(r.properties) AS k ORDER BY 1 "
                 "LIMIT 10000",
                 events)});
  }
  return unseen;
}

void warn_of_unseen_events(const pg::Mentions &mentions) {
  static pg::Statement any("SELECT EXISTS (SELECT FROM cdp_internal.event_names)");
  if (!any.run().boolean(0, 1))
    return;
  for (const auto &one : unseen_events(mentions))
    pg::call([&] {
      ereport(WARNING, (errmsg("%s", one.message.c_str()),
                        one.nearest.empty() ? 0 : errhint("The nearest is \"%s\".", one.nearest.c_str())));
    });
}

} // namespace cdp::segment
