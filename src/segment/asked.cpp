#include "segment/asked.hpp"

#include "core/nearest.hpp"

#include "pg/pointing.hpp"
#include "pg/spi.hpp"

namespace cdp::segment {

void find_asked(pg::Rule &rule, const std::string &text) {
  for (auto &one : rule.segments) {
    const auto found =
        pg::run_once("SELECT segment_id FROM cdp.segments WHERE name = $1 AND replaces IS NULL "
                     "AND (kind = 'trait') = $2",
                     pg::Params().text(one.name).boolean(one.is_value), true);
    if (found.size() == 1) {
      one.segment_id = found.integer(0, 1);
      continue;
    }
    const auto rows = pg::run_once(
        "SELECT name FROM cdp.segments WHERE replaces IS NULL AND (kind = 'trait') = $1 ORDER BY 1",
        pg::Params().boolean(one.is_value), true);
    std::vector<std::string> names;
    for (std::size_t i = 0; i < rows.size(); ++i)
      names.push_back(rows.text(i, 1));
    const auto nearest = core::nearest(one.name, names);
    throw Error(ERRCODE_UNDEFINED_OBJECT,
                (one.is_value ? "computed trait \"" : "segment \"") + one.name + "\" does not exist", {},
                nearest ? "The nearest is \"" + *nearest + "\"."
                        : "Create it first: a rule can ask about what is there.")
        .at(text, pg::character_at(text, one.literals.front()));
  }
}

} // namespace cdp::segment
