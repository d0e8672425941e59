#include "sequence.hpp"

#include <algorithm>
#include <gtest/gtest.h>
#include <random>

namespace cdp::core {
namespace {

// A pattern as a person means it; the parser gets it only as text, the oracle only as this.
struct Part {
  bool happens = true;
  int step = 1;
  std::optional<Timestamp> within, after;
};
struct Meant {
  std::vector<Part> parts;
  std::optional<Timestamp> all_within;
};

struct Match {
  std::uint64_t binding;
  Timestamp start, end;
};

using Random = std::mt19937;
using Events = std::vector<SequenceEvent>;

bool meets(const SequenceEvent &event, int step) {
  return event.steps >> (step - 1) & 1;
}

// Tries every event for every step, and then asks of each assignment whether it is a match: no cleverness.
class Oracle {
public:
  Oracle(const Meant &meant, const Events &events) : meant_(meant), events_(events) { assign(0, {}); }
  std::vector<Match> matches;

private:
  using Chosen = std::vector<const SequenceEvent *>; // one a part, null for what must not happen

  void assign(std::size_t part, Chosen chosen) {
    if (part == meant_.parts.size()) {
      if (holds(chosen))
        matches.push_back(
            {happened(chosen).front()->binding, happened(chosen).front()->at, happened(chosen).back()->at});
      return;
    }
    chosen.push_back(nullptr);
    if (!meant_.parts[part].happens)
      return assign(part + 1, chosen);
    for (const auto &event : events_)
      if (meets(event, meant_.parts[part].step)) {
        chosen.back() = &event;
        assign(part + 1, chosen);
      }
  }

  static Chosen happened(Chosen chosen) {
    std::erase(chosen, nullptr);
    return chosen;
  }

  bool holds(const Chosen &chosen) const {
    const SequenceEvent *before = nullptr;
    for (std::size_t i = 0; i < chosen.size(); ++i) {
      if (!chosen[i])
        continue;
      if (before) {
        const auto gap = chosen[i]->at - before->at;
        const auto &part = meant_.parts[i];
        if (gap <= 0 || before->binding != chosen[i]->binding || (part.within && gap > *part.within) ||
            (part.after && gap < *part.after))
          return false;
      }
      before = chosen[i];
    }
    for (std::size_t i = 0; i < chosen.size(); ++i)
      if (!chosen[i] && disturbed(chosen, i))
        return false;
    const auto all = happened(chosen);
    return !meant_.all_within || all.back()->at - all.front()->at <= *meant_.all_within;
  }

  bool disturbed(const Chosen &chosen, std::size_t part) const {
    const SequenceEvent *before = nullptr, *behind = nullptr;
    for (std::size_t i = 0; i < chosen.size(); ++i)
      if (chosen[i] && i < part)
        before = chosen[i];
      else if (chosen[i] && !behind)
        behind = chosen[i];
    const auto &absent = meant_.parts[part];
    return std::any_of(events_.begin(), events_.end(), [&](const SequenceEvent &event) {
      return meets(event, absent.step) && event.binding == (before ? before : behind)->binding &&
             (!before || event.at > before->at) && (!behind || event.at < behind->at) &&
             (!absent.within || (before ? event.at - before->at : behind->at - event.at) <= *absent.within);
    });
  }

  const Meant &meant_;
  const Events &events_;
};

// The most matches one after another, by trying all.
std::int64_t most(const std::vector<Match> &matches, std::uint64_t binding, Timestamp later_than) {
  std::int64_t best = 0;
  std::vector<Timestamp> tried;
  for (const auto &match : matches)
    if (match.binding == binding && match.start > later_than &&
        std::find(tried.begin(), tried.end(), match.end) == tried.end()) {
      tried.push_back(match.end);
      best = std::max(best, 1 + most(matches, binding, match.end));
    }
  return best;
}

std::string write(Timestamp span, Random &random) {
  constexpr const char *kMinutes[] = {" minutes", "min", " MIN", "\tminute", " mins"};
  if (random() % 3 == 0)
    return std::to_string(span * 60) + (random() % 2 ? " seconds" : "s");
  if (span > 1 && random() % 3 == 0)
    return "1 minute " + std::to_string((span - 1) * 60'000) + " ms";
  return std::to_string(span) + kMinutes[random() % 5];
}

std::string write(const Meant &meant, Random &random) {
  std::string text;
  for (const auto &part : meant.parts) {
    if (!text.empty())
      text += random() % 2 ? " -> " : "->";
    text += (part.happens ? "" : "not ") + std::to_string(part.step);
    const bool turned = random() % 2;
    if (part.within && !turned)
      text += " within " + write(*part.within, random);
    if (part.after)
      text += " after " + write(*part.after, random);
    if (part.within && turned)
      text += " within " + write(*part.within, random);
  }
  if (meant.all_within)
    text += "; all within " + write(*meant.all_within, random);
  return text;
}

Meant random_meaning(Random &random, int steps) {
  const auto span = [&](int most) { return std::optional<Timestamp>(1 + random() % most); };
  Meant meant;
  const auto absences = [&](bool edge) {
    while (random() % 3 == 0) {
      meant.parts.push_back({false, static_cast<int>(1 + random() % steps), {}, {}});
      if (edge && random() % 2)
        meant.parts.back().within = span(6);
    }
  };
  const auto happening = 1 + random() % 4;
  for (std::size_t i = 0; i < happening; ++i) {
    absences(i == 0);
    meant.parts.push_back({true, static_cast<int>(1 + random() % steps), {}, {}});
    auto &part = meant.parts.back();
    if (i > 0 && random() % 2)
      part.within = span(8);
    if (i > 0 && random() % 3 == 0)
      part.after = span(part.within ? static_cast<int>(*part.within) : 5);
  }
  absences(true);
  if (random() % 3 == 0)
    meant.all_within = span(14);
  return meant;
}

Events random_events(Random &random, int steps, Timestamp unit) {
  Events events(random() % 11);
  const int bindings = random() % 3 ? 1 : 2;
  for (auto &event : events)
    event = {static_cast<Timestamp>(random() % 16) * unit, random() % (std::uint64_t{1} << steps),
             random() % bindings};
  std::shuffle(events.begin(), events.end(), random);
  sort_events(events);
  return events;
}

Sequence parsed(std::string_view pattern, unsigned steps) {
  auto result = Sequence::parse(pattern, steps);
  if (auto *error = std::get_if<PatternError>(&result))
    ADD_FAILURE() << pattern << ": " << error->message;
  return std::get<Sequence>(std::move(result));
}

Meant in_minutes(Meant meant) {
  const auto scale = [](std::optional<Timestamp> &span) {
    if (span)
      *span *= 60 * kMicrosPerSecond;
  };
  for (auto &part : meant.parts) {
    scale(part.within);
    scale(part.after);
  }
  scale(meant.all_within);
  return meant;
}

TEST(Sequence, AgreesWithTryingEverything) {
  Random random(11);
  int found = 0, several = 0, with_absence = 0;
  for (int round = 0; round < 60'000; ++round) {
    const int steps = 1 + static_cast<int>(random() % 4);
    const auto short_meaning = random_meaning(random, steps);
    const auto pattern = write(short_meaning, random);
    const auto meant = in_minutes(short_meaning);
    const auto events = random_events(random, steps, 60 * kMicrosPerSecond);
    const auto sequence = parsed(pattern, steps);
    const auto matches = Oracle(meant, events).matches;
    std::optional<Timestamp> last;
    for (const auto &match : matches)
      last = std::max(last, std::optional(match.end));
    ASSERT_EQ(sequence.matches(events), !matches.empty()) << pattern << ", round " << round;
    ASSERT_EQ(sequence.last(events), last) << pattern << ", round " << round;
    const auto count = most(matches, 0, kMinusInfinity) + most(matches, 1, kMinusInfinity);
    ASSERT_EQ(sequence.count(events), count) << pattern << ", round " << round;

    auto fewer = events; // what no step of the pattern needs makes no difference
    std::erase_if(fewer, [&](const SequenceEvent &event) { return !(event.steps & sequence.steps_used()); });
    ASSERT_EQ(sequence.count(fewer), count) << pattern << ", round " << round;
    found += !matches.empty();
    several += count > 1;
    with_absence += !matches.empty() && std::any_of(meant.parts.begin(), meant.parts.end(),
                                                    [](const Part &part) { return !part.happens; });
  }
  EXPECT_GT(found, 10'000); // the test means something
  EXPECT_GT(several, 2'000);
  EXPECT_GT(with_absence, 2'000);
}

TEST(Sequence, FunnelsAgreeWithTryingEverything) {
  Random random(12);
  for (int round = 0; round < 20'000; ++round) {
    const int steps = 1 + static_cast<int>(random() % 4);
    const auto events = random_events(random, steps, 1);
    const auto within = static_cast<Timestamp>(1 + random() % 12);
    int depth = 0;
    Meant meant{{}, within};
    for (int step = 1; step <= steps; ++step) {
      meant.parts.push_back({true, step, {}, {}});
      if (!Oracle(meant, events).matches.empty())
        depth = step;
    }
    ASSERT_EQ(funnel_depth(events, steps, within), depth) << "round " << round;
  }
}

Events at_hours(std::initializer_list<std::pair<int, std::uint64_t>> happened) {
  Events events;
  for (const auto &[hour, steps] : happened)
    events.push_back({hour * 3600 * kMicrosPerSecond, steps, 0});
  sort_events(events);
  return events;
}

TEST(Sequence, TakingTheFirstOrTheLatestIsNotEnough) {
  // The first 1 is too long before 2, the latest is too short before it.
  const auto window = parsed("1 -> 2 after 2 hours within 5 hours", 2);
  EXPECT_TRUE(window.matches(at_hours({{0, 1}, {4, 1}, {7, 1}, {8, 2}})));
  EXPECT_FALSE(window.matches(at_hours({{0, 1}, {7, 1}, {8, 2}})));
  // The 2 nearest to 1 is disturbed before 3, the one after the disturbance is too far.
  const auto chain = parsed("1 -> 2 within 3 hours -> not 4 -> 3", 4);
  EXPECT_FALSE(chain.matches(at_hours({{0, 1}, {1, 2}, {2, 8}, {4, 2}, {5, 4}})));
  EXPECT_TRUE(chain.matches(at_hours({{0, 1}, {1, 2}, {2, 8}, {3, 2}, {5, 4}})));
}

TEST(Sequence, EqualInstantsHaveNoOrder) {
  const auto sequence = parsed("1 -> 2", 2);
  EXPECT_FALSE(sequence.matches(at_hours({{1, 1}, {1, 2}})));
  EXPECT_FALSE(sequence.matches(at_hours({{1, 3}})));
  EXPECT_TRUE(sequence.matches(at_hours({{1, 3}, {2, 3}})));
  EXPECT_TRUE(parsed("1 -> not 3 -> 2", 3).matches(at_hours({{1, 1}, {1, 4}, {2, 2}, {2, 4}})));
}

TEST(Sequence, TheEndsOfTimeDoNotOverflow) {
  constexpr Timestamp kFirst = kMinusInfinity + 1, kLast = kInfinity - 1;
  const Events events = {{kFirst, 1, 0}, {kLast, 2, 0}};
  EXPECT_TRUE(parsed("1 -> 2 after 15000000 weeks", 2).matches(events));
  EXPECT_FALSE(parsed("1 -> 2 within 15000000 weeks", 2).matches(events));
  EXPECT_FALSE(parsed("1 -> 2; all within 15000000 weeks", 2).matches(events));
  EXPECT_TRUE(parsed("1 -> not 2 within 15000000 weeks", 2).matches(events));
  EXPECT_TRUE(parsed("not 1 within 15000000 weeks -> 2", 2).matches(events));
  EXPECT_EQ(funnel_depth(events, 2, kLast), 1);
}

TEST(Sequence, AMillionEventsTakeTheirTime) {
  Events events;
  for (int i = 0; i < 1'000'000; ++i)
    events.push_back({i, std::uint64_t{1} << (i % 3), 0});
  const auto sequence = parsed("1 -> 2 within 1 day -> 3 within 1 day -> 1 after 1 ms", 3);
  EXPECT_TRUE(sequence.matches(events));
  EXPECT_EQ(parsed("1 -> 2 -> 3", 3).count(events), 333'333);
}

TEST(Sequence, StepsMayBeSixtyFour) {
  EXPECT_EQ(parsed("64", 64).steps_used(), std::uint64_t{1} << 63);
  EXPECT_EQ(parsed("not 1 -> 2 -> not 3 -> 4 -> not 5 within 1 d", 5).steps_used(), 31u);
}

struct Wrong {
  const char *pattern;
  int position;
  const char *says;
};

class WrongPattern : public testing::TestWithParam<Wrong> {};

TEST_P(WrongPattern, IsRefusedWithItsPlace) {
  const auto result = Sequence::parse(GetParam().pattern, 4);
  const auto *error = std::get_if<PatternError>(&result);
  ASSERT_TRUE(error) << GetParam().pattern;
  EXPECT_EQ(error->position, GetParam().position) << GetParam().pattern << ": " << error->message;
  EXPECT_NE(error->message.find(GetParam().says), std::string::npos) << error->message;
  EXPECT_NE(error->message.find("character " + std::to_string(GetParam().position)), std::string::npos);
  EXPECT_FALSE(error->hint.empty());
}

INSTANTIATE_TEST_SUITE_P(
    Pattern, WrongPattern,
    testing::Values(
        Wrong{"", 1, "at its end"}, Wrong{"  ", 3, "at its end"}, Wrong{"one", 1, "at \"one\""},
        Wrong{"1 ->", 5, "at its end"}, Wrong{"1 -> -> 2", 6, "at \"->\""}, Wrong{"1 2", 3, "at \"2\""},
        Wrong{"1 > 2", 3, "at \">\""}, Wrong{"1 → 2", 3, "at \"→\""}, Wrong{"1 -> é", 6, "at \"é\""},
        Wrong{"0", 1, "are 4 steps"}, Wrong{"1 -> 5", 6, "are 4 steps"},
        Wrong{"1 -> not 99999999999999999999", 10, "are 4 steps"}, Wrong{"not 1", 6, "a step that happens"},
        Wrong{"not", 4, "number of a step"}, Wrong{"not not 1", 5, "at \"not\""},
        Wrong{"1 within 2 days", 3, "no step before"}, Wrong{"not 2 -> 1 after 2 days", 12, "no step before"},
        Wrong{"1 -> 2 withn 24 hours", 8, "at \"withn\""}, Wrong{"1 -> 2 within hours", 15, "an interval"},
        Wrong{"1 -> 2 within 24", 17, "a unit"}, Wrong{"1 -> 2 within 1.5 hours", 16, "a unit"},
        Wrong{"1 -> 2 within -1 hours", 15, "an interval"}, Wrong{"1 -> 2 within 1 fortnight", 17, "a unit"},
        Wrong{"1 -> 2 within 1 month", 17, "not fixed"}, Wrong{"1 -> 2 within 2 Years", 17, "not fixed"},
        Wrong{"1 -> 2 after 0 days", 20, "longer than nothing"},
        Wrong{"1 -> 2 within 99999999999 weeks", 27, "too long"},
        Wrong{"1 -> 2 within 99999999999999999999 us 1 us", 41, "too long"},
        Wrong{"1 -> 2 within 1 day within 2 days", 21, "twice"},
        Wrong{"1 -> 2 after 1 d after 2 d", 18, "twice"},
        Wrong{"1 -> 2 within 1 day after 2 days", 33, "both after and within"},
        Wrong{"1 -> not 2 within 1 day -> 3", 12, "only before the first step"},
        Wrong{"1 -> not 2 after 1 day", 12, "no \"after\""},
        Wrong{"1; within 2 days", 4, "\"all\" must come here"}, Wrong{"1; all 2 days", 8, "\"within\" must"},
        Wrong{"1; all within", 14, "an interval"}, Wrong{"1; all within 1 day -> 2", 21, "must end here"},
        Wrong{"1; all within 1 day;", 20, "must end here"}));

TEST(Pattern, HasAtMostSixtyFourStepsThatHappen) {
  std::string pattern = "1";
  for (int i = 1; i < 64; ++i)
    pattern += "->1";
  EXPECT_EQ(parsed(pattern, 1).steps.size(), 64u);
  const auto longer = Sequence::parse(pattern + " -> 1", 1);
  EXPECT_NE(std::get<PatternError>(longer).message.find("at most 64"), std::string::npos);
}

TEST(Pattern, AnyTextGivesAPatternOrAnError) {
  Random random(13);
  constexpr const char *kPieces[] = {"1",      "2",     "->",  "not", "within", "after", "all",  ";",
                                     "3 days", "week",  " ",   "\n",  "-",      "é",     "\xC3", "0",
                                     "4h",     "month", "NOT", "99",  "1 d",    ".",     "\x01", "us"};
  for (int round = 0; round < 100'000; ++round) {
    std::string text;
    for (auto pieces = random() % 12; pieces > 0; --pieces)
      text += kPieces[random() % std::size(kPieces)] + std::string(random() % 2, ' ');
    const auto result = Sequence::parse(text, 2);
    if (const auto *error = std::get_if<PatternError>(&result)) {
      ASSERT_GE(error->position, 1) << text;
      ASSERT_LE(error->position, static_cast<int>(text.size()) + 1) << text;
    } else {
      ASSERT_FALSE(std::get<Sequence>(result).steps.empty()) << text;
    }
  }
}

} // namespace
} // namespace cdp::core
