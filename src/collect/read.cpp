#include "core/json.hpp"
#include "core/json_text.hpp"

#include <algorithm>
#include <array>
#include <tuple>

#include "collect/candidate.hpp"
#include "pg/jsonb_make.hpp"
#include "pg/time_zone.hpp"

namespace cdp::collect {

namespace {

const Timestamp kEarliest = core::midnight_utc(1900, 1, 1);

bool may_be_received_at(Timestamp time, Timestamp now) {
  return time <= now && time >= kEarliest;
}
bool may_be_source(const std::string &name) {
  return !name.empty() && name.size() <= 255;
}

void take_apart(Candidate &candidate, std::string_view text) {
  auto parsed = core::parse_message(text, candidate.defaults);
  if (auto *rejection = std::get_if<core::Rejection>(&parsed)) {
    candidate.quarantine({rejection->code, rejection->reason, rejection->detail, rejection->message_id});
    return;
  }
  candidate.message = std::move(std::get<core::Message>(parsed));
  if (candidate.message.region.empty())
    candidate.message.region = candidate.rules->region;
}

// What a source's treatment leaves of a message, and what else is kept of it when it cannot be taken.
void take_treated(Candidate &candidate, const core::Treatment &treatment) {
  const auto text = core::json::trim_space(candidate.text);
  const bool sound = text.size() <= core::kMaxJsonBytes && !core::json::validate(text, core::kMaxJsonDepth) &&
                     core::json::kind_of(text) == core::json::Kind::object;
  if (sound) {
    candidate.text = treatment.message(text);
    candidate.defaults.context = treatment.context(candidate.defaults.context);
    return take_apart(candidate, candidate.text);
  }
  take_apart(candidate, candidate.text);
  candidate.refusal.detail.clear(); // it may show what is not to be kept
  candidate.text = withheld(candidate.text.size());
}

// Times that were written without a zone are those of the source's clocks.
void settle_times(Candidate &candidate) {
  auto &message = candidate.message;
  if (const auto &zone = candidate.rules->time_zone; !zone.empty()) {
    static const Timestamp last = core::midnight_utc(10'000, 1, 1);
    for (const auto &[is_local, field, time] :
         {std::tuple(message.timestamp_is_local, "timestamp", &message.timestamp),
          std::tuple(message.original_timestamp_is_local, "originalTimestamp", &message.original_timestamp),
          std::tuple(message.sent_at_is_local, "sentAt", &message.sent_at),
          std::tuple(message.received_at_is_local, "receivedAt", &message.received_at)}) {
      if (!is_local || !*time)
        continue;
      *time = pg::at_time_zone(**time, zone);
      if (**time < kEarliest || **time >= last)
        return candidate.quarantine({"invalid_timestamp",
                                     std::string("`") + field +
                                         "` lies, in the time zone of its source, outside "
                                         "the years 1900 to 9999",
                                     core::format_iso8601(**time), message.message_id});
    }
  }
  candidate.occurred_at = core::occurred_at(message, candidate.received_at);
}

// Of traits, properties, context and extra, as jsonb spells them; empty: jsonb_text knows.
using Spellings = std::array<std::string, 4>;

// The JSON parts become jsonb. False: some are for PostgreSQL's own parser, which may refuse them.
bool make_jsonb(Candidate &candidate, Spellings &spellings) {
  const auto &message = candidate.message;
  bool all = true;
  const auto make = [&](const std::string &text, std::size_t place) {
    void *made = pg::make_jsonb(text, spellings[place]);
    all = all && (made || text.empty());
    return made;
  };
  candidate.traits = make(message.traits, 0);
  candidate.properties = make(message.properties, 1);
  candidate.context = make(message.context, 2);
  candidate.extra = make(message.extra, 3);
  return all;
}

// Throws what PostgreSQL's own parser has to say.
void parse_jsonb(Candidate &candidate) {
  const auto &message = candidate.message;
  const auto parse = [](void *&made, const std::string &text) {
    if (!made)
      made = pg::parse_jsonb(text);
  };
  parse(candidate.traits, message.traits);
  parse(candidate.properties, message.properties);
  parse(candidate.context, message.context);
  parse(candidate.extra, message.extra);
}

// What make_jsonb left: one that jsonb refuses goes to quarantine.
void parse_rare(std::vector<Candidate> &candidates, const std::vector<std::size_t> &rare) {
  if (rare.empty())
    return;
  pg::Failure failure;
  const bool fine = pg::subtransaction(
      [&] {
        for (auto i : rare)
          parse_jsonb(candidates[i]);
      },
      failure);
  for (auto i : rare) // which ones does jsonb refuse?
    if (!fine && !pg::subtransaction([&] { parse_jsonb(candidates[i]); }, failure))
      candidates[i].quarantine(
          {"invalid_json", failure.message, failure.detail, candidates[i].message.message_id});
}

std::vector<Spellings> make_jsonb_of_all(std::vector<Candidate> &candidates) {
  std::vector<Spellings> spellings(candidates.size());
  std::vector<std::size_t> rare;
  for (std::size_t i = 0; i < candidates.size(); ++i)
    if (candidates[i].fate == Fate::open && !make_jsonb(candidates[i], spellings[i]))
      rare.push_back(i);
  parse_rare(candidates, rare);
  return spellings;
}

// What a message says, without how it travelled: sentAt and receivedAt differ from try to try.
// Keyed where parts of it are not to be stored: nobody else can tell by trying what they were.
pg_uuid_t content_hash(const Candidate &candidate, const Spellings &spellings, std::string_view secret) {
  const auto &message = candidate.message;
  pg::ContentHash hash;
  if (!secret.empty())
    hash.add(secret);
  hash.add(core::to_string(message.type)).add(message.event).add(message.group_id);
  hash.add(static_cast<std::int64_t>(message.identifiers.size()));
  for (const auto &identifier : message.identifiers)
    hash.add(identifier.type).add(identifier.value);
  hash.add(message.timestamp.value_or(core::kMinusInfinity));
  hash.add(message.original_timestamp.value_or(core::kMinusInfinity));
  const std::array parts{candidate.traits, candidate.properties, candidate.context, candidate.extra};
  for (std::size_t i = 0; i < parts.size(); ++i)
    hash.add(spellings[i].empty() ? pg::jsonb_text(parts[i]) : spellings[i]);

  return hash.finish();
}

std::string content_id(const pg_uuid_t &hash) {
  return std::string(kContentId) + pg::uuid_text(hash);
}

// A message without an id is itself when it says when it happened, and otherwise a new one every time.
void give_id(Candidate &candidate, const Incoming &line) {
  auto &id = candidate.message.message_id;
  candidate.has_own_id = !id.empty();
  if (id.empty() && line.message_id)
    id = *line.message_id;
  if (candidate.plain_hash && (candidate.has_own_id || candidate.message.has_timestamp()))
    candidate.plain_key = pg::hash_text(id.empty() ? content_id(*candidate.plain_hash) : id);
  if (id.empty()) {
    pg_uuid_t value = candidate.content_hash;
    if (!candidate.message.has_timestamp() && !pg_strong_random(value.data, UUID_LEN))
      throw Error(ERRCODE_INTERNAL_ERROR, "could not draw a random messageId");
    id = candidate.message.has_timestamp() ? content_id(value) : "random-" + pg::uuid_text(value);
  }
  candidate.key = pg::hash_text(id);
}

// A message of a source that does not store all of it, as it came: only its hash is taken.
struct Original {
  std::size_t of;
  Candidate form;
};

// What is known of a message is what came, not what is left of it: so a repeat is one, whatever the rules
// were.
void hash_keyed(std::vector<Candidate> &candidates, std::vector<Original> &originals,
                const std::vector<Incoming> &lines) {
  if (originals.empty())
    return;
  const auto secret = privacy_secret();
  std::vector<Candidate> forms;
  for (auto &original : originals)
    forms.push_back(std::move(original.form));
  const auto came = make_jsonb_of_all(forms);
  for (std::size_t i = 0; i < forms.size(); ++i) {
    auto &candidate = candidates[originals[i].of];
    if (candidate.fate != Fate::open)
      continue;
    candidate.knows_content = true;
    if (const auto &came_as = lines[candidate.incoming].came_as) {
      candidate.content_hash = *came_as;
    } else if (forms[i].fate == Fate::open) {
      candidate.content_hash = content_hash(forms[i], came[i], secret);
      candidate.plain_hash = content_hash(forms[i], came[i], "");
    } else {
      candidate.content_hash = content_hash(candidate, {}, secret);
    }
  }
}

std::string paths_text(std::vector<std::string> paths, const std::vector<std::string> &others) {
  for (const auto &path : others)
    if (std::find(paths.begin(), paths.end(), path) == paths.end())
      paths.push_back(path);
  return core::json::Text().add(paths).str();
}

// The last step, once its content is hashed.
void name(Candidate &candidate, const Incoming &line) {
  if ((candidate.known_by == KnownBy::id || candidate.known_by == KnownBy::own_id) &&
      !candidate.message.message_id.empty())
    candidate.content_hash = kAnyContent;
  give_id(candidate, line);
  settle_times(candidate);
}

// Reads one line after the other, each as far as it can be read by itself, while it is at hand.
class LineReader {
public:
  enum class Depth { outline, whole };
  LineReader(const std::vector<Incoming> &lines, Depth depth, std::size_t expected)
      : lines_(lines), depth_(depth) {
    candidates.reserve(expected);
  }

  std::vector<Candidate> candidates;
  std::vector<Original> originals;
  std::vector<std::size_t> unnamed, rare; // still to be hashed; for PostgreSQL's parser before

  void read(std::size_t i, const std::shared_ptr<const SourceRules> &rules) {
    const auto &line = lines_[i];
    const auto text = content(line.text);
    if (text.empty())
      return;
    begin(i, rules);
    if (!may_be_received_at(line.received_at, now_))
      return refuse(text, {"invalid_received_at", "the receipt time lies in the future, or before 1900",
                           core::format_iso8601(line.received_at), ""});
    if (!may_be_source(line.source))
      return refuse(
          text, {"invalid_source", "a source has a name of 1 to 255 bytes", line.source.substr(0, 100), ""});
    if (!treatment_ && !is_keyed() && !core::may_be_batch(text))
      return take(add({}, {}), text);
    auto split = core::split_batch(text);
    if (auto *rejection = std::get_if<core::Rejection>(&split))
      return refuse(text, {rejection->code, rejection->reason, treatment_ ? "" : rejection->detail,
                           treatment_ ? "" : rejection->message_id});
    auto &batch = std::get<core::Batch>(split);
    for (auto &message : batch.messages) {
      pg::check_for_interrupts();
      auto &candidate = add(std::move(message), batch.defaults);
      take(candidate, candidate.text);
    }
  }

private:
  // What a retried message has of its treatment already is not done again.
  void begin(std::size_t i, const std::shared_ptr<const SourceRules> &rules) {
    line_ = i;
    rules_ = rules;
    const auto &hashed = lines_[i].hashed;
    treatment_ = rules->treatment;
    if (treatment_ && hashed)
      treatment_ = std::make_shared<core::Treatment>(treatment_->without(*hashed));
    treated_as_.clear();
    if (treatment_ || hashed)
      treated_as_ = paths_text(hashed.value_or(std::vector<std::string>()),
                               treatment_ ? treatment_->hashed() : std::vector<std::string>());
  }

  Candidate &add(std::string json, const core::BatchDefaults &defaults) {
    auto &candidate = candidates.emplace_back();
    candidate.incoming = line_;
    candidate.text = std::move(json);
    candidate.defaults = defaults;
    candidate.received_at = lines_[line_].received_at;
    candidate.rules = rules_;
    candidate.treated_as = treated_as_;
    candidate.known_by = lines_[line_].known_by;
    return candidate;
  }

  void refuse(std::string_view text, Refusal why) {
    add(treatment_ ? treated_line(*treatment_, std::string(text)) : std::string(text), {})
        .quarantine(std::move(why));
  }

  bool is_keyed() const { return rules_->is_keyed || lines_[line_].came_as; }

  void take(Candidate &candidate, std::string_view text) {
    if (is_keyed() && depth_ == Depth::whole) {
      originals.push_back({candidates.size() - 1, candidate});
      take_apart(originals.back().form, text);
    }
    if (treatment_)
      take_treated(candidate, *treatment_);
    else
      take_apart(candidate, text);
    if (depth_ == Depth::outline)
      forget_contents(candidate);
    else if (candidate.fate == Fate::open)
      make(candidate);
  }

  void make(Candidate &candidate) {
    const auto place = candidates.size() - 1;
    const bool made = make_jsonb(candidate, spellings_);
    if (!made)
      rare.push_back(place);
    if (!made || is_keyed())
      return unnamed.push_back(place);
    candidate.content_hash = content_hash(candidate, spellings_, "");
    name(candidate, lines_[candidate.incoming]);
    if (!rules_->plan)
      forget_contents(candidate);
  }

  // The memory that is at hand serves the next one.
  static void forget_contents(Candidate &candidate) {
    auto &message = candidate.message;
    message.traits = message.properties = message.context = message.extra = std::string();
  }

  const std::vector<Incoming> &lines_;
  const Depth depth_;
  Spellings spellings_;
  const Timestamp now_ = GetCurrentTimestamp();
  std::size_t line_ = 0;
  std::shared_ptr<const SourceRules> rules_;
  std::shared_ptr<const core::Treatment> treatment_;
  std::string treated_as_;
};

} // namespace

std::string_view content(std::string_view line) {
  if (line.starts_with("\xEF\xBB\xBF"))
    line.remove_prefix(3);
  return line.find_first_not_of(" \t\r\n") == std::string_view::npos ? std::string_view() : line;
}

bool read_outline(const Incoming &line, const SourceRules &rules, Timestamp now, core::Outline &outline) {
  if (rules.treatment || rules.is_keyed || line.came_as || !may_be_received_at(line.received_at, now) ||
      !may_be_source(line.source) || !core::read_outline(content(line.text), outline))
    return false;
  if (outline.region.empty())
    outline.region = rules.region;
  return true;
}

std::vector<Candidate> read_outlines(const std::vector<Incoming> &lines, std::span<const std::size_t> which,
                                     const Sources &sources) {
  LineReader reader(lines, LineReader::Depth::outline, which.size());
  for (auto i : which)
    reader.read(i, sources.of(lines[i].source).rules);
  return std::move(reader.candidates);
}

std::vector<Candidate> read(const std::vector<Incoming> &lines, const Sources &sources) {
  LineReader reader(lines, LineReader::Depth::whole, lines.size());
  for (std::size_t i = 0; i < lines.size(); ++i)
    reader.read(i, sources.of(lines[i].source).rules);
  auto &candidates = reader.candidates;
  parse_rare(candidates, reader.rare);
  hash_keyed(candidates, reader.originals, lines);
  for (auto i : reader.unnamed) {
    auto &candidate = candidates[i];
    if (candidate.fate != Fate::open)
      continue;
    if (!candidate.knows_content)
      candidate.content_hash = content_hash(candidate, {}, "");
    name(candidate, lines[candidate.incoming]);
  }
  return std::move(candidates);
}

} // namespace cdp::collect
