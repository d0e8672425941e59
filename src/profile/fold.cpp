#include "profile/fold.hpp"

#include "core/json_text.hpp"
#include "core/json_value.hpp"

#include "pg/jsonb.hpp"
#include "pg/rule_run.hpp"
#include "pg/scan.hpp"
#include "pg/time_budget.hpp"

namespace cdp::profile {

namespace {

namespace json = core::json;

core::Link read_link(std::string_view row) {
  core::Link link;
  link.strategy = core::strategy_from(json::text_member(row, "strategy")).value_or(core::Strategy::latest);
  link.sources = json::texts_member(row, "sources");
  link.maximum_age = json::number_member(row, "maximum_age");
  link.aggregate = json::text_member(row, "aggregate");
  link.argument = json::text_member(row, "argument");
  link.settings = json::member(row, "settings");
  link.computed = static_cast<std::int32_t>(json::number_member(row, "computed"));
  if (link.strategy == core::Strategy::sum || link.strategy == core::Strategy::average) {
    link.aggregate = link.strategy == core::Strategy::sum ? "pg_catalog.sum" : "pg_catalog.avg";
    link.argument = "numeric";
  }
  return link;
}

void read_policy(core::Rules &rules, std::string_view links) {
  for (const auto row : json::elements(links))
    rules.add(json::text_member(row, "trait"), read_link(row));
}

void read_definitions(core::Rules &rules, std::string_view document) {
  for (const auto row : json::elements(json::member(document, "definitions"))) {
    core::TraitDefinition definition;
    definition.type = core::trait_type_from(json::text_member(row, "type")).value_or(core::TraitType::text);
    definition.unit = json::text_member(row, "unit");
    for (const auto value : json::elements(json::member(row, "allowed")))
      definition.allowed.push_back(json::equal_form(value));
    rules.define(json::text_member(row, "trait"), std::move(definition));
  }
}

void read_trust(core::Rules &rules, std::string_view document) {
  const auto trust = json::member(document, "trust");
  for (json::Cursor each(trust); each.next();)
    rules.trust(json::unescape(each.raw_key()),
                static_cast<std::int32_t>(json::number_member(trust, json::unescape(each.raw_key()))));
}

// The values one by one, in order, as what the aggregate takes.
std::string aggregate_sql(const core::Link &link) {
  const auto value = link.argument == "jsonb"
                         ? std::string("v::pg_catalog.jsonb")
                         : "(v::pg_catalog.jsonb OPERATOR(pg_catalog.#>>) '{}')::pg_catalog." +
                               (link.argument == "boolean" ? "bool" : link.argument);
  return "SELECT pg_catalog.to_jsonb(" + link.aggregate + "(" + value +
         " ORDER BY o))::pg_catalog.text FROM pg_catalog.unnest($1::pg_catalog.text[]) WITH ORDINALITY AS u "
         "(v, o)";
}

std::optional<std::string> run_aggregate(const core::Link &link, const std::vector<std::string> &values) {
  std::optional<pg::AsOwner> owner;
  if (link.strategy == core::Strategy::aggregate)
    owner.emplace(pg::RuleSettings{json::text_member(link.settings, "owner"), "UTC",
                                   json::text_member(link.settings, "search_path"),
                                   json::text_member(link.settings, "datestyle"),
                                   json::text_member(link.settings, "intervalstyle")},
                  pg::Names::compiled);
  return pg::run_once(aggregate_sql(link), pg::Params().texts(values)).optional_text(0, 1);
}

core::Aggregated aggregate(const core::Link &link, const std::vector<std::string> &values) {
  core::Aggregated made;
  pg::Failure failure;
  if (!pg::timed_subtransaction([&] { made.value = run_aggregate(link, values).value_or("null"); }, failure))
    made = {"null", failure.message};
  return made;
}

core::World make_world(const core::Rules &rules) {
  core::World world;
  if (!rules.governs_any())
    return world;
  static pg::Statement read("SELECT source_id, source FROM cdp.sources");
  auto rows = read.run();
  for (std::size_t i = 0; i < rows.size(); ++i)
    world.sources.emplace(rows.integer(i, 1), rows.text(i, 2));
  if (rules.has_computed()) {
    static pg::Statement names(
        "SELECT segment_id, name FROM cdp.segments WHERE kind = 'trait' AND replaces IS NULL");
    auto named = names.run();
    for (std::size_t i = 0; i < named.size(); ++i)
      world.computed.emplace(named.integer(i, 1), named.text(i, 2));
  }
  world.aggregate = aggregate;
  return world;
}

} // namespace

Policy::Policy(std::string_view document, const std::string &policy, bool alone) {
  const auto policies = json::member(document, "policies");
  if (alone) {
    read_policy(rules_, json::member(policies, policy));
    read_trust(rules_, document);
    return;
  }
  read_policy(behind_, json::member(policies, "default"));
  if (policy != "default")
    read_policy(rules_, json::member(policies, policy));
  rules_.fall_back(&behind_);
  read_definitions(rules_, document);
  read_trust(rules_, document);
}

Fold fold_by(std::int32_t version, const std::string &policy) {
  static pg::Statement draft("SELECT cdp_internal.drafted_rules()::text");
  static pg::Statement kept("SELECT rules::text FROM cdp_internal.survivorship_versions WHERE version = $1");
  auto rows = version == kDraft ? draft.run() : kept.run(pg::Params().integer(version));
  Fold fold{
      version,
      std::make_shared<const Policy>(rows.size() == 0 ? "{}" : rows.text(0, 1), policy, policy == "accounts"),
      {}};
  fold.world = make_world(fold.rules());
  return fold;
}

namespace {

// A version never changes, so each is read once.
struct InForce {
  const char *policy;
  bool alone;
  std::int32_t version = -1;
  std::shared_ptr<const Policy> rules = {};
  pg_uuid_t stamp = {};

  Fold get() {
    static pg::Statement newest("SELECT folds_as, stamp FROM cdp_internal.survivorship_versions "
                                "ORDER BY version DESC LIMIT 1");
    static pg::Statement document("SELECT rules::text FROM cdp_internal.survivorship_versions "
                                  "ORDER BY version DESC LIMIT 1");
    static const auto plain = std::make_shared<const Policy>("{}", "default");
    pg::show_own_writes();
    if (!pg::any_row(pg::Moment(), "cdp_internal", "survivorship_versions"))
      return {0, plain, {}};
    auto rows = newest.run();
    if (rows.size() == 0)
      return {0, plain, {}};
    if (const auto now = rows.uuid(0, 2); version < 0 || !pg::operator==(now, stamp)) {
      rules = std::make_shared<const Policy>(document.run().text(0, 1), policy, alone);
      version = rows.integer(0, 1);
      stamp = now;
    }
    return {version, rules, make_world(rules->rules())};
  }
};

} // namespace

Fold fold_in_force() {
  static InForce people{"default", false};
  return people.get();
}

Fold account_fold_in_force() {
  static InForce accounts{"accounts", true};
  return accounts.get();
}

namespace {

void read(pg::Statement &select, const Reading &what,
          const std::function<void(std::int64_t, const core::Assertion &)> &take) {
  select.each(
      pg::Params().bigints(what.people).timestamp(what.at).timestamp(what.known), [&](const pg::Rows &rows) {
        for (std::size_t i = 0; i < rows.size(); ++i) {
          const auto text = rows.text(i, 2);
          take(rows.bigint(i, 1),
               {text, rows.timestamp(i, 3), rows.bigint(i, 4), rows.integer(i, 5), rows.timestamp(i, 6)});
        }
      });
}

} // namespace

void read_assertions(const Reading &what,
                     const std::function<void(std::int64_t, const core::Assertion &)> &take) {
  static pg::Statement select(
      "SELECT i.profile_id, a.traits::text, a.asserted_at, a.decision_seq, a.source_id, a.received_at "
      "FROM cdp.assertions AS a JOIN cdp.identifiers AS i USING (identifier_id) WHERE i.profile_id = ANY "
      "($1) AND "
      "a.type = 'identify' AND a.traits IS NOT NULL AND least(a.asserted_at, a.received_at) <= $2 AND "
      "a.received_at <= $3",
      pg::few_keys);
  read(select, what, take);
}

void read_assertions_of(const Reading &what,
                        const std::function<void(std::int64_t, const core::Assertion &)> &take) {
  static pg::Statement select(
      "SELECT a.identifier_id, a.traits::text, a.asserted_at, a.decision_seq, a.source_id, a.received_at "
      "FROM cdp_internal.known_assertions AS a WHERE a.identifier_id = ANY ($1) AND a.type = 'identify' "
      "AND a.traits IS NOT NULL AND least(a.asserted_at, a.received_at) <= $2 AND a.received_at <= $3 "
      "AND (a.withdrawn_at > $3 OR a.withdrawn_at = 'infinity') AND NOT EXISTS (SELECT FROM "
      "cdp_internal.stored_later AS l WHERE l.decision_seq = a.decision_seq AND l.stored_at > $3)",
      pg::few_keys);
  read(select, what, take);
}

void read_account_assertions(const std::string &group_id,
                             const std::function<void(const core::Assertion &)> &take) {
  static pg::Statement select("SELECT traits::text, asserted_at, decision_seq, source_id FROM cdp.assertions "
                              "WHERE type = 'group' AND group_id = $1 AND traits IS NOT NULL",
                              pg::few_keys);
  auto rows = select.run(pg::Params().text(group_id));
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto said = rows.text(i, 1);
    take({said, rows.timestamp(i, 2), rows.bigint(i, 3), rows.integer(i, 4)});
  }
}

std::vector<std::int32_t> asked_computed(const core::Rules &rules) {
  std::set<std::int32_t> asked;
  for (const auto &trait : rules.computed())
    for (const auto &link : *rules.chain(trait))
      if (link.strategy == core::Strategy::computed)
        asked.insert(link.computed);
  return {asked.begin(), asked.end()};
}

std::map<std::int64_t, core::ComputedValues>
computed_at(const core::Rules &rules, const std::vector<std::int64_t> &people, Timestamp at) {
  static pg::Statement read(
      "SELECT m.profile_id, m.segment_id, m.key, m.left_at FROM cdp.memberships AS m "
      "WHERE m.profile_id = ANY ($1) AND m.segment_id = ANY ($2) AND m.entered_at <= $3 AND m.left_at > $3",
      pg::few_keys);
  std::map<std::int64_t, core::ComputedValues> found;
  if (!rules.has_computed() || people.empty())
    return found;
  const auto asked = asked_computed(rules);
  auto rows = read.run(pg::Params().bigints(people).integers(asked).timestamp(at));
  for (std::size_t i = 0; i < rows.size(); ++i)
    found[rows.bigint(i, 1)][rows.integer(i, 2)] = {rows.text(i, 3), rows.timestamp(i, 4)};
  return found;
}

const core::ComputedValues &of(const std::map<std::int64_t, core::ComputedValues> &found,
                               std::int64_t profile_id) {
  static const core::ComputedValues none;
  const auto place = found.find(profile_id);
  return place == found.end() ? none : place->second;
}

std::string describe(const core::Link &link, const core::World &world) {
  if (link.strategy != core::Strategy::computed)
    return std::string(core::to_string(link.strategy));
  const auto name = world.computed.find(link.computed);
  return "computed:" + (name == world.computed.end() ? std::to_string(link.computed) : name->second);
}

std::map<std::int64_t, std::string> golden_at(const Fold &fold, const std::vector<std::int64_t> &people,
                                              Timestamp at) {
  std::map<std::int64_t, core::Traits> folded;
  std::vector<core::Misfit> misfits;
  read_assertions({people, at, core::kInfinity}, [&](std::int64_t id, const core::Assertion &said) {
    folded.try_emplace(id, fold.rules()).first->second.assert_all(said, misfits);
  });
  if (fold.rules().has_computed())
    for (auto id : people)
      folded.try_emplace(id, fold.rules());
  const auto computed = computed_at(fold.rules(), people, at);
  std::map<std::int64_t, std::string> texts;
  for (auto &[id, traits] : folded) {
    traits.settle(fold.world, at, of(computed, id));
    texts[id] = traits.traits_json();
  }
  return texts;
}

} // namespace cdp::profile
