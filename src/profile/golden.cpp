// Golden traits as they are asked for, by any policy, version and instant: folded from what was said, by the
// code that folds what is stored. Writes nothing.
#include "core/json_text.hpp"
#include "core/json_value.hpp"

#include <algorithm>

#include "pg/function.hpp"
#include "pg/jsonb.hpp"
#include "pg/row.hpp"
#include "profile/fold.hpp"

namespace cdp::profile {

namespace {

namespace json = core::json;

using Row = pg::Row<12>;

std::vector<std::int64_t> bigints_argument(FunctionCallInfo fcinfo, int number) {
  std::vector<std::int64_t> values;
  if (PG_ARGISNULL(number))
    return values;
  ArrayType *array = pg::call([&] { return PG_GETARG_ARRAYTYPE_P(number); });
  const auto *first = reinterpret_cast<const std::int64_t *>(ARR_DATA_PTR(array));
  return {first, first + ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array))};
}

Timestamp instant_argument(FunctionCallInfo fcinfo, int number) {
  return PG_ARGISNULL(number) ? core::kInfinity : PG_GETARG_TIMESTAMPTZ(number);
}

void read(FunctionCallInfo fcinfo, int first,
          const std::function<void(std::int64_t, const core::Assertion &)> &take) {
  if (const int account = first + 5; PG_NARGS() > account && !PG_ARGISNULL(account))
    return read_account_assertions(pg::text_argument(fcinfo, account),
                                   [&](const core::Assertion &said) { take(0, said); });
  const auto identifiers = bigints_argument(fcinfo, first + 1);
  const Timestamp at = instant_argument(fcinfo, first + 2), known = instant_argument(fcinfo, first + 3);
  const auto people = bigints_argument(fcinfo, first);
  if (PG_ARGISNULL(first + 1))
    read_assertions({people, at, known}, take);
  else if (!people.empty())
    read_assertions_of({identifiers, at, known},
                       [&](std::int64_t, const core::Assertion &said) { take(people.front(), said); });
}

Timestamp as_of(FunctionCallInfo fcinfo, int number) {
  return PG_ARGISNULL(number) ? GetCurrentTransactionStartTimestamp() : PG_GETARG_TIMESTAMPTZ(number);
}

std::vector<std::int64_t> decisions(const core::Traits::Governed &governed) {
  std::vector<std::int64_t> seqs;
  for (auto place : governed.verdict.made_from)
    seqs.push_back(governed.claims[place].decision_seq);
  return seqs;
}

bool is_computed(const core::Verdict &verdict, const std::vector<core::Link> *chain) {
  return chain && verdict.link >= 0 &&
         (*chain)[static_cast<std::size_t>(verdict.link)].strategy == core::Strategy::computed;
}

void put_trait(FunctionCallInfo fcinfo, const Fold &fold, std::int64_t id, const core::Traits &traits,
               const std::string &raw_key, const core::Traits::Golden &golden) {
  const auto name = json::unescape(raw_key);
  const auto *chain = fold.rules().chain(name);
  const auto governed = traits.governed().find(name);
  Row row(fcinfo);
  row.bigint(0, id).text(1, name).boolean(4, false);
  if (golden.decision_seq != 0)
    row.bigint(3, golden.decision_seq);
  if (golden.value != "null")
    row.json(2, golden.value);
  if (chain)
    row.text(5, fold.rules().pattern(name));
  if (governed == traits.governed().end()) {
    row.text(6, "latest").integer(7, 1).bigints(8, {golden.decision_seq}).put();
    return;
  }
  const auto &verdict = governed->second.verdict;
  row.boolean(4, verdict.conflict).bigints(8, decisions(governed->second));
  if (verdict.link >= 0)
    row.text(6, describe((*chain)[static_cast<std::size_t>(verdict.link)], fold.world))
        .integer(7, verdict.link + 1);
  if (is_computed(verdict, chain))
    row.null(3);
  if (verdict.until != core::kInfinity)
    row.timestamp(9, verdict.until);
  if (!verdict.error.empty())
    row.text(10, verdict.error);
  row.put();
}

} // namespace

} // namespace cdp::profile

using namespace cdp;

// cdp_internal.fold_traits(version integer, policy text, profile_ids, identifier_ids, at, known, as_of,
// account)
CDP_FUNCTION(cdp_fold_traits) {
  using namespace cdp::profile;
  pg::call([&] { InitMaterializedSRF(fcinfo, 0); });
  pg::Session session;
  const auto fold = fold_by(PG_GETARG_INT32(0), pg::text_argument(fcinfo, 1));
  std::map<std::int64_t, core::Traits> people;
  std::vector<core::Misfit> misfits;
  read(fcinfo, 2, [&](std::int64_t id, const core::Assertion &said) {
    people.try_emplace(id, fold.rules()).first->second.assert_all(said, misfits);
  });
  const auto asked = bigints_argument(fcinfo, 2);
  if (fold.rules().has_computed())
    for (auto id : asked)
      people.try_emplace(id, fold.rules());
  const auto computed = computed_at(fold.rules(), asked, as_of(fcinfo, 6));
  for (auto &[id, traits] : people) {
    pg::check_for_interrupts();
    traits.settle(fold.world, as_of(fcinfo, 6), of(computed, id));
    for (const auto &[key, golden] : traits.golden())
      put_trait(fcinfo, fold, id, traits, key, golden);
  }
  return 0;
}

namespace cdp::profile {

namespace {

// All that was said about one trait: what it was, and what became of it.
struct Heard {
  core::Claim claim;
  Timestamp from; // counts from then on
  std::string said, code;
};

std::vector<Heard> hear(FunctionCallInfo fcinfo, const Fold &fold, const std::string &trait, int first) {
  std::vector<Heard> heard;
  const auto *definition = fold.rules().definition(trait);
  read(fcinfo, first, [&](std::int64_t, const core::Assertion &said) {
    const auto value = json::member(said.traits, trait);
    if (value.empty())
      return;
    Heard one{{std::string(value), said.asserted_at, said.decision_seq, said.source_id,
               json::member(said.traits, trait + "_verified") == "true"},
              said.counts_from(),
              std::string(value),
              {}};
    if (definition) {
      auto made = core::fit(*definition, value);
      one.code = made.code;
      one.claim.value = made.code.empty() ? made.value : "null";
    }
    heard.push_back(std::move(one));
  });
  std::sort(heard.begin(), heard.end(), [](const Heard &a, const Heard &b) {
    return std::pair(a.claim.asserted_at, a.claim.decision_seq) <
           std::pair(b.claim.asserted_at, b.claim.decision_seq);
  });
  return heard;
}

const std::vector<core::Link> &chain_of(const Fold &fold, const std::string &trait) {
  static const std::vector<core::Link> latest(1);
  const auto *chain = fold.rules().chain(trait);
  return chain ? *chain : latest;
}

// Strategies that look at values of one kind leave the others out.
std::string left_out(const core::Link &link, std::string_view value) {
  const char *needed = nullptr;
  switch (link.strategy) {
  case core::Strategy::sum:
  case core::Strategy::average:
    needed = "number";
    break;
  case core::Strategy::longest:
  case core::Strategy::shortest:
    needed = "text";
    break;
  case core::Strategy::any_true:
  case core::Strategy::all_true:
    needed = "boolean";
    break;
  case core::Strategy::aggregate:
    needed = link.argument == "numeric" ? "number" : link.argument == "boolean" ? "boolean" : nullptr;
    break;
  default:
    break;
  }
  const char *kind = value.starts_with('"')                ? "text"
                     : value == "true" || value == "false" ? "boolean"
                     : value.starts_with('[')              ? "list"
                     : value.starts_with('{')              ? "object"
                                                           : "number";
  if (!needed || std::string_view(needed) == kind)
    return {};
  return std::string("left out by ") + std::string(core::to_string(link.strategy)) + ": a " + kind +
         ", not a " + needed;
}

std::string reason(const core::Verdict &verdict, const std::vector<core::Link> &chain, std::string_view value,
                   const core::World &world) {
  if (verdict.link < 0) {
    for (const auto &link : chain)
      if (auto out = left_out(link, value); !out.empty())
        return out;
    return "no strategy of the rule finds a value";
  }
  const auto &link = chain[static_cast<std::size_t>(verdict.link)];
  if (auto out = left_out(link, value); !out.empty())
    return out;
  return describe(link, world) + " chose another";
}

// Too old for every strategy up to the one that decided.
bool too_old(const core::Claim &claim, const core::Verdict &verdict, const std::vector<core::Link> &chain,
             Timestamp at) {
  const auto last = verdict.link < 0 ? chain.size() : static_cast<std::size_t>(verdict.link) + 1;
  return std::all_of(chain.begin(), chain.begin() + static_cast<std::ptrdiff_t>(last),
                     [&](const core::Link &link) {
                       return link.maximum_age > 0 && claim.asserted_at + link.maximum_age <= at;
                     });
}

// What the computed traits were that a rule falls back on, as it was stored.
class Turns {
public:
  Turns(const core::Rules &rules, const std::string &trait, const std::vector<std::int64_t> &people) {
    static pg::Statement read("SELECT segment_id, key, entered_at, left_at FROM cdp.memberships "
                              "WHERE profile_id = ANY ($1) AND segment_id = ANY ($2)",
                              pg::few_keys);
    if (!rules.computed().contains(trait))
      return;
    auto rows = read.run(pg::Params().bigints(people).integers(asked_computed(rules)));
    for (std::size_t i = 0; i < rows.size(); ++i)
      turns_.push_back({rows.integer(i, 1), {rows.text(i, 2), rows.timestamp(i, 4)}, rows.timestamp(i, 3)});
  }
  std::set<Timestamp> instants(Timestamp until) const {
    std::set<Timestamp> found;
    for (const auto &turn : turns_)
      for (auto at : {turn.from, turn.value.until})
        if (at <= until)
          found.insert(at);
    return found;
  }
  core::ComputedValues at(Timestamp instant) const {
    core::ComputedValues values;
    for (const auto &turn : turns_)
      if (turn.from <= instant && instant < turn.value.until)
        values[turn.segment_id] = turn.value;
    return values;
  }

private:
  struct Turn {
    std::int32_t segment_id;
    core::Computed value;
    Timestamp from;
  };
  std::vector<Turn> turns_;
};

} // namespace

} // namespace cdp::profile

// cdp_internal.explain_trait(version integer, policy text, trait text, profile_ids, identifier_ids, at,
// known, as_of, account): a row an assertion.
CDP_FUNCTION(cdp_explain_trait) {
  using namespace cdp::profile;
  pg::call([&] { InitMaterializedSRF(fcinfo, 0); });
  pg::Session session;
  const auto fold = fold_by(PG_GETARG_INT32(0), pg::text_argument(fcinfo, 1));
  const auto trait = pg::text_argument(fcinfo, 2);
  const auto heard = hear(fcinfo, fold, trait, 3);
  const auto &chain = chain_of(fold, trait);
  const auto now = as_of(fcinfo, 7);
  std::vector<core::Claim> claims;
  std::vector<std::size_t> place_of(heard.size(), SIZE_MAX);
  for (std::size_t i = 0; i < heard.size(); ++i)
    if (heard[i].code.empty()) {
      place_of[i] = claims.size();
      claims.push_back(heard[i].claim);
    }
  auto verdict = core::decide(claims, chain, fold.rules(), fold.world, now);
  const auto people = bigints_argument(fcinfo, 3);
  const auto computed = computed_at(fold.rules(), people, now);
  core::answer(verdict, chain, fold.rules().definition(trait),
               of(computed, people.empty() ? 0 : people.front()));
  if (is_computed(verdict, &chain)) {
    const auto strategy = describe(chain[static_cast<std::size_t>(verdict.link)], fold.world);
    Row(fcinfo)
        .json(2, verdict.value)
        .text(3, "winner")
        .text(4, strategy)
        .text(5, strategy)
        .integer(6, verdict.link + 1)
        .put();
  }
  const auto gone = core::taken_back(claims);
  for (std::size_t i = 0; i < heard.size(); ++i) {
    const auto &one = heard[i];
    Row row(fcinfo);
    row.bigint(0, one.claim.decision_seq).json(1, one.said);
    std::string outcome = "loser", because;
    if (const auto place = place_of[i]; place == SIZE_MAX) {
      because = "does not fit the definition: " + one.code;
    } else {
      row.json(2, one.claim.value);
      const auto &from = verdict.made_from;
      if (std::find(from.begin(), from.end(), place) != from.end()) {
        outcome = verdict.conflict ? "conflict" : from.size() == 1 ? "winner" : "part";
        because = verdict.link < 0 ? "no value"
                                   : core::to_string(chain[static_cast<std::size_t>(verdict.link)].strategy);
      } else if (one.claim.value == "null") {
        because = "takes back what was said before";
      } else if (gone[place]) {
        because = "taken back by a later null of the same source";
      } else if (too_old(one.claim, verdict, chain, now)) {
        because = "too old";
      } else {
        because = reason(verdict, chain, one.claim.value, fold.world);
      }
    }
    row.text(3, outcome).text(4, because);
    if (verdict.link >= 0)
      row.text(5, describe(chain[static_cast<std::size_t>(verdict.link)], fold.world))
          .integer(6, verdict.link + 1);
    row.put();
  }
  return 0;
}

// cdp_internal.history_of_trait(version integer, policy text, trait text, profile_ids, identifier_ids, at,
// known, as_of): a row an instant at which the value, as it is known today, became another.
CDP_FUNCTION(cdp_history_of_trait) {
  using namespace cdp::profile;
  pg::call([&] { InitMaterializedSRF(fcinfo, 0); });
  pg::Session session;
  const auto fold = fold_by(PG_GETARG_INT32(0), pg::text_argument(fcinfo, 1));
  const auto trait = pg::text_argument(fcinfo, 2);
  const auto heard = hear(fcinfo, fold, trait, 3);
  const auto &chain = chain_of(fold, trait);
  const auto now = as_of(fcinfo, 7);
  const auto *definition = fold.rules().definition(trait);
  const Turns turns(fold.rules(), trait, bigints_argument(fcinfo, 3));
  auto instants = turns.instants(now);
  for (const auto &one : heard)
    instants.insert(one.from);
  std::vector<core::Claim> claims;
  std::string last = "null";
  const auto decide = [&](Timestamp at) {
    auto verdict = core::decide(claims, chain, fold.rules(), fold.world, at);
    const auto until = verdict.until;
    core::answer(verdict, chain, definition, turns.at(at));
    if (verdict.value != last) {
      last = verdict.value;
      Row row(fcinfo);
      row.timestamp(0, at);
      if (last != "null")
        row.json(1, last);
      if (!verdict.made_from.empty())
        row.bigint(2, claims[verdict.made_from.back()].decision_seq);
      row.put();
    }
    return until;
  };
  for (auto place = instants.begin(); place != instants.end();) {
    pg::check_for_interrupts();
    const auto at = *place++;
    for (const auto &one : heard)
      if (one.from == at && one.code.empty())
        core::add_claim(claims, one.claim);
    const auto next = place == instants.end() ? now + 1 : *place;
    for (auto until = decide(at); until < next;) // time alone
      until = decide(until);
  }
  return 0;
}

// cdp_internal.fit_value(definition jsonb, value jsonb)
CDP_FUNCTION(cdp_fit_value) {
  const auto argument = [&](int number) {
    return std::string(pg::jsonb_text(
        pg::call([&] { return static_cast<void *>(PG_DETOAST_DATUM(PG_GETARG_DATUM(number))); })));
  };
  const auto as_defined = argument(0);
  core::TraitDefinition definition;
  definition.type =
      core::trait_type_from(core::json::text_member(as_defined, "type")).value_or(core::TraitType::text);
  definition.unit = core::json::text_member(as_defined, "unit");
  const auto made = core::fit(definition, argument(1));
  core::json::Text out;
  out.open('{');
  if (!made.code.empty())
    out.add("code", made.code).add("hint", core::hint_for(made.code, definition));
  auto answer = out.close().str();
  if (made.code.empty())
    answer = R"({"value": )" + made.value + "}";
  PG_RETURN_POINTER(pg::parse_jsonb(answer));
}
