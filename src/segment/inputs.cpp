#include "segment/inputs.hpp"

#include "core/json_text.hpp"

#include <algorithm>
#include <map>

#include "pg/spi.hpp"
#include "pg/time_budget.hpp"

namespace cdp::segment {

namespace {

namespace json = core::json;
using core::InputValue;

constexpr int kMostSlow = 3;

std::unique_ptr<Inputs> &kept = *new std::unique_ptr<Inputs>;

// A value as the backend gave it; varlena values are plain and in the expressions' memory.
struct Answer {
  bool holds, has_key, key_is_null, value_is_null;
  Datum key, value;
  char *decimal; // the number's text
};

} // namespace

struct Inputs::Input {
  std::int32_t number;
  std::vector<std::string> events;
  std::string condition_text, value_text, key_text;
  bool decimal;
  std::unique_ptr<pg::Expression> condition, value, key;
  int16 length = 0;
  bool by_value = false;
  Oid output = InvalidOid;
  bool usable = true;

  void prepare(pg::Bindings &bindings);
};

// Inputs of one owner and settings; those that are portable need none.
struct Inputs::Group {
  std::string name;
  std::optional<pg::RuleSettings> settings;
  std::vector<Input> inputs;
  std::unordered_map<std::string, std::vector<std::size_t>> by_event; // those of any event under ""
  std::unique_ptr<pg::Bindings> bindings;
  std::uint64_t prepared_at = 0;

  std::vector<std::size_t> asked_by(const EventFacts &event) const {
    std::vector<std::size_t> chosen;
    for (const auto *name_of : {&kAnyEvent, event.event ? &*event.event : nullptr})
      if (name_of)
        if (auto found = by_event.find(*name_of); found != by_event.end())
          chosen.insert(chosen.end(), found->second.begin(), found->second.end());
    return chosen;
  }
  static const std::string kAnyEvent;
};

// No event has this name: text holds no zero byte.
const std::string Inputs::Group::kAnyEvent = std::string("\0", 1);

Inputs::Inputs() = default;
Inputs::~Inputs() = default;

Inputs &Inputs::current() {
  if (!kept) {
    auto made = std::make_unique<Inputs>();
    made->load();
    kept = std::move(made);
  }
  return *kept;
}

void Inputs::stale() {
  kept.reset();
}

std::int32_t Inputs::declare(const std::string &definition) {
  static pg::Statement insert("INSERT INTO cdp_internal.timeline_inputs (definition) VALUES ($1) "
                              "ON CONFLICT (pg_catalog.md5(definition)) "
                              "DO UPDATE SET definition = excluded.definition RETURNING input_id");
  return insert.run(pg::Params().text(definition)).integer(0, 1);
}

std::int32_t Inputs::find(const std::string &definition) const {
  const auto found = numbers_.find(definition);
  return found == numbers_.end() ? 0 : found->second;
}

void Inputs::load() {
  static pg::Statement read(
      "SELECT input_id, definition FROM cdp_internal.timeline_inputs ORDER BY input_id");
  auto rows = read.run();
  for (std::size_t i = 0; i < rows.size(); ++i)
    add(rows.integer(i, 1), rows.text(i, 2));
}

void Inputs::add(std::int32_t number, const std::string &definition) {
  numbers_.emplace(definition, number);
  newest_ = std::max(newest_, number);
  std::optional<pg::RuleSettings> settings;
  std::string name;
  if (const auto owner = json::text_member(definition, "owner"); !owner.empty()) {
    settings = {owner, json::text_member(definition, "time_zone"),
                json::text_member(definition, "search_path"), json::text_member(definition, "datestyle"),
                json::text_member(definition, "intervalstyle")};
    for (const auto &part : {settings->owner, settings->time_zone, settings->search_path, settings->datestyle,
                             settings->intervalstyle})
      name += part + '\n';
  }
  auto place =
      std::find_if(groups_.begin(), groups_.end(), [&](const auto &one) { return one->name == name; });
  if (place == groups_.end()) {
    groups_.push_back(std::make_unique<Group>());
    place = groups_.end() - 1;
    (*place)->name = name;
    (*place)->settings = settings;
  }
  auto &group = **place;
  Input input{number,
              json::texts_member(definition, "events"),
              json::text_member(definition, "condition"),
              json::text_member(definition, "value"),
              json::text_member(definition, "key"),
              json::true_member(definition, "decimal"),
              {},
              {},
              {}};
  wants_source_ = wants_source_ ||
                  (input.condition_text + input.value_text + input.key_text).find("$4") != std::string::npos;
  if (input.events.empty())
    group.by_event[Group::kAnyEvent].push_back(group.inputs.size());
  for (const auto &event : input.events)
    if (auto &places = group.by_event[event]; places.empty() || places.back() != group.inputs.size())
      places.push_back(group.inputs.size());
  group.inputs.push_back(std::move(input));
}

// Under the group's settings. Whatever stops it on the way: what is half prepared answers nothing, and is
// prepared again. One that cannot be planned, for a function that is gone or never ends, is only itself.
void Inputs::prepare(Group &group) {
  if (group.bindings && (!group.settings || group.prepared_at == pg::function_changes()))
    return;
  static const std::vector<Oid> kColumns = {INT8OID,        TEXTOID,        TEXTOID,  TEXTOID,
                                            TIMESTAMPTZOID, TIMESTAMPTZOID, JSONBOID, JSONBOID};
  for (auto &input : group.inputs) { // they point into the bindings
    input.condition.reset();
    input.value.reset();
    input.key.reset();
  }
  group.bindings.reset();
  const auto changes = pg::function_changes();
  auto bindings = std::make_unique<pg::Bindings>(kColumns);
  for (auto &input : group.inputs) {
    pg::Failure failure;
    input.usable = pg::timed_subtransaction([&] { input.prepare(*bindings); }, failure);
  }
  group.bindings = std::move(bindings);
  group.prepared_at = changes;
}

void Inputs::Input::prepare(pg::Bindings &bindings) {
  const auto make = [&](const std::string &text) {
    return text.empty() ? nullptr : std::make_unique<pg::Expression>(text, bindings);
  };
  condition = make(condition_text);
  key = make(key_text);
  value = make(value_text);
  if (value)
    pg::call([&] {
      bool is_varlena;
      get_typlenbyval(value->type(), &length, &by_value);
      getTypeOutputInfo(value->type(), &output, &is_varlena);
    });
}

std::vector<Observed> Inputs::observe(const std::vector<EventFacts> &events) {
  std::vector<Observed> observed(events.size());
  for (auto &group : groups_)
    observe(*group, events, observed);
  return observed;
}

static void add_odd(std::int32_t input, Observed &observed) {
  InputValue odd;
  odd.input = input;
  odd.kind = InputValue::Kind::odd;
  core::pack(odd, observed.values);
  observed.inputs.push_back(input);
}

// All at once; when something fails, event by event, and an event that fails, input by input. An input that
// runs out of its time for several of these events is not asked about the others.
void Inputs::observe(Group &group, const std::vector<EventFacts> &events, std::vector<Observed> &observed) {
  const auto asking = [&](const std::function<void()> &body, pg::Failure &failure) {
    return pg::subtransaction(
        [&] {
          std::optional<pg::AsOwner> owner;
          if (group.settings)
            owner.emplace(*group.settings, pg::Names::compiled);
          prepare(group); // in time of its own
          pg::within_budget(pg::expression_timeout_ms, body);
        },
        failure);
  };
  std::vector<std::size_t> some;
  for (std::size_t i = 0; i < events.size(); ++i)
    if (!group.asked_by(events[i]).empty())
      some.push_back(i);
  if (some.empty())
    return;
  pg::Failure failure;
  const auto before = observed;
  if (asking(
          [&] {
            for (auto i : some)
              ask(group, events[i], group.asked_by(events[i]), observed[i]);
          },
          failure))
    return;
  observed = before;
  std::map<std::size_t, int> slow;
  for (auto i : some) {
    const auto chosen = group.asked_by(events[i]);
    const auto is_slow = [&](std::size_t place) { return slow[place] >= kMostSlow; };
    if (some.size() > 1 && std::none_of(chosen.begin(), chosen.end(), is_slow) &&
        asking([&] { ask(group, events[i], chosen, observed[i]); }, failure))
      continue;
    observed[i] = before[i];
    const bool failed_alone = chosen.size() == 1 && !is_slow(chosen[0]);
    for (auto place : chosen) {
      const auto one = observed[i];
      if (!failed_alone && !is_slow(place) &&
          asking([&] { ask(group, events[i], {place}, observed[i]); }, failure))
        continue;
      if (!is_slow(place) && failure.sqlstate == pg::out_of_time)
        ++slow[place];
      observed[i] = one;
      add_odd(group.inputs[place].number, observed[i]);
    }
  }
}

namespace {

void bind_text(pg::Bindings &bindings, int number, const std::string &text) {
  bindings.bind(number, pg::call([&] {
                  return PointerGetDatum(
                      cstring_to_text_with_len(text.data(), static_cast<int>(text.size())));
                }));
}

void bind_jsonb(pg::Bindings &bindings, int number, void *jsonb) {
  if (jsonb)
    bindings.bind(number, PointerGetDatum(jsonb));
  else
    bindings.bind_null(number);
}

std::string_view payload(Datum varlena) {
  auto *value = reinterpret_cast<struct varlena *>(DatumGetPointer(varlena));
  return {VARDATA_ANY(value), static_cast<std::size_t>(VARSIZE_ANY_EXHDR(value))};
}

} // namespace

void Inputs::ask(Group &group, const EventFacts &event, const std::vector<std::size_t> &chosen,
                 Observed &observed) {
  auto &bindings = *group.bindings;
  bindings.reset();
  bindings.bind(1, Int64GetDatum(event.event_id));
  bind_text(bindings, 2, event.type);
  if (event.event)
    bind_text(bindings, 3, *event.event);
  else
    bindings.bind_null(3);
  bind_text(bindings, 4, event.source);
  bindings.bind(5, TimestampTzGetDatum(event.occurred_at));
  bindings.bind(6, TimestampTzGetDatum(event.received_at));
  bind_jsonb(bindings, 7, event.properties);
  bind_jsonb(bindings, 8, event.context);

  for (auto place : chosen) {
    const auto &input = group.inputs[place];
    if (!input.usable) {
      add_odd(input.number, observed);
      continue;
    }
    Answer answer{true, input.key != nullptr, false, false, 0, 0, nullptr};
    pg::call([&] {
      if (input.condition) {
        const auto holds = input.condition->evaluate();
        answer.holds = !holds.is_null && DatumGetBool(holds.datum);
      }
      if (answer.holds && input.key) {
        const auto key = input.key->evaluate();
        answer.key_is_null = key.is_null;
        answer.key = key.is_null ? 0 : PointerGetDatum(PG_DETOAST_DATUM_PACKED(key.datum));
      }
      if (!answer.holds || !input.value)
        return;
      const auto value = input.value->evaluate();
      answer.value_is_null = value.is_null;
      answer.value = value.datum;
      if (!value.is_null && input.decimal)
        answer.decimal = OidOutputFunctionCall(input.output, value.datum);
      else if (!value.is_null && input.length == -1)
        answer.value = PointerGetDatum(PG_DETOAST_DATUM_PACKED(value.datum));
    });
    if (!answer.holds)
      continue;
    InputValue said;
    said.input = input.number;
    if (answer.has_key)
      said.set_key(answer.key_is_null ? std::nullopt : std::optional(payload(answer.key)));
    std::uint64_t plain = answer.value;
    if (input.value && answer.value_is_null) {
      said.kind = InputValue::Kind::null;
    } else if (answer.decimal) {
      const auto decimal = core::parse_decimal(answer.decimal);
      said.kind = decimal ? InputValue::Kind::decimal : InputValue::Kind::odd;
      if (decimal) {
        said.mantissa = decimal->mantissa;
        said.scale = decimal->scale;
      }
    } else if (input.value) {
      const auto length = static_cast<std::size_t>(input.length);
      said.set_bytes(input.by_value     ? std::string_view(reinterpret_cast<const char *>(&plain), length)
                     : input.length > 0 ? std::string_view(DatumGetPointer(answer.value), length)
                                        : payload(answer.value));
    }
    core::pack(said, observed.values);
    observed.inputs.push_back(said.input);
  }
}

} // namespace cdp::segment
