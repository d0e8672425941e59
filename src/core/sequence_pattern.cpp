// The language of patterns:
//   pattern: part {"->" part} [";" "all" "within" interval]
//   part: number {("within" | "after") interval} | "not" number ["within" interval]
//   interval: {number unit}
#include "sequence.hpp"
#include "text.hpp"

#include <algorithm>
#include <array>

namespace cdp::core {

namespace {

constexpr char kExample[] =
    "An example: '1 -> 2 within 24 hours -> not 3 -> 4 after 1 day; all within 30 days'.";

struct Unit {
  std::string_view name;
  Timestamp length; // 0: it has none
};

constexpr Timestamp kHour = 3600 * kMicrosPerSecond;

constexpr std::array kUnits = {
    Unit{"microsecond", 1},
    Unit{"us", 1},
    Unit{"millisecond", 1000},
    Unit{"ms", 1000},
    Unit{"second", kMicrosPerSecond},
    Unit{"sec", kMicrosPerSecond},
    Unit{"s", kMicrosPerSecond},
    Unit{"minute", 60 * kMicrosPerSecond},
    Unit{"min", 60 * kMicrosPerSecond},
    Unit{"hour", kHour},
    Unit{"hr", kHour},
    Unit{"h", kHour},
    Unit{"day", kMicrosPerDay},
    Unit{"d", kMicrosPerDay},
    Unit{"week", 7 * kMicrosPerDay},
    Unit{"w", 7 * kMicrosPerDay},
    Unit{"month", 0},
    Unit{"mon", 0},
    Unit{"quarter", 0},
    Unit{"year", 0},
    Unit{"decade", 0},
};

const Unit *find_unit(std::string_view word) {
  const auto named = [&](std::string_view name) {
    return std::find_if(kUnits.begin(), kUnits.end(), [&](const Unit &unit) { return unit.name == name; });
  };
  auto unit = named(word);
  if (unit == kUnits.end() && word.size() > 2 && word.back() == 's')
    unit = named(word.substr(0, word.size() - 1));
  return unit == kUnits.end() ? nullptr : &*unit;
}

bool is_space(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

// One token ahead. After the first error nothing is taken any more.
class PatternParser {
public:
  PatternParser(std::string_view text, unsigned step_count) : text_(text), step_count_(step_count) {
    advance();
  }

  std::variant<Sequence, PatternError> run() {
    while (part() && take("->"))
      ;
    if (!error_ && made_.steps.empty())
      refuse("a step that happens must come here", "Besides what must not happen, name a step that must.");
    const bool all = take(";") && expect("all") && expect("within");
    if (all)
      made_.all_within = interval();
    if (!token_.empty())
      refuse(all ? "the pattern must end here"
                 : "\"->\", \"within\", \"after\" or \"; all within\" must come here");
    if (error_)
      return std::move(*error_);
    made_.behind = std::move(pending_);
    return std::move(made_);
  }

private:
  // The next token: a number, a word, "->" or one character; empty at the end.
  void advance() {
    at_ += token_.size();
    while (at_ < text_.size() && is_space(text_[at_]))
      ++at_;
    const auto rest = text_.substr(at_);
    const auto run = [&](auto belongs) {
      return std::find_if_not(rest.begin(), rest.end(), belongs) - rest.begin();
    };
    std::size_t size = std::min<std::size_t>(rest.size(), 1);
    if (rest.empty())
      size = 0;
    else if (is_ascii_digit(rest[0]))
      size = run(is_ascii_digit);
    else if (is_ascii_letter(rest[0]))
      size = run(is_ascii_letter);
    else if (rest.starts_with("->"))
      size = 2;
    else
      while (size < rest.size() && (rest[size] & 0xC0) == 0x80) // the rest of a UTF-8 character
        ++size;
    token_ = rest.substr(0, size);
    word_ = ascii_lower(token_);
  }

  // Always false, so that it ends what it is said in. The first error counts.
  bool refuse(const std::string &why, const char *hint = kExample) {
    if (error_)
      return false;
    const auto characters = std::count_if(text_.begin(), text_.begin() + static_cast<std::ptrdiff_t>(at_),
                                          [](char c) { return (c & 0xC0) != 0x80; });
    const int position = static_cast<int>(characters) + 1;
    const auto where = token_.empty() ? std::string("its end") : "\"" + shorten(token_, 40) + "\"";
    error_ = {"invalid sequence pattern at " + where + ", character " + std::to_string(position) + ": " + why,
              hint, position};
    return false;
  }

  bool take(std::string_view word) {
    if (error_ || word_ != word)
      return false;
    advance();
    return true;
  }

  bool expect(std::string_view word) {
    return take(word) || refuse("\"" + std::string(word) + "\" must come here");
  }

  bool part() {
    if (take("not"))
      return absence();
    Sequence::Step step;
    if (!number_of_step(step.step, "the number of a step, or \"not\", must come here"))
      return false;
    if (limited_ && !made_.steps.empty()) {
      at_ = *limited_;
      token_ = text_.substr(at_, 6);
      return refuse("only before the first step and after the last one has \"not\" a \"within\"",
                    "Between two steps \"not\" always means the whole time between them.");
    }
    if (made_.steps.size() == kMaxSequenceSteps)
      return refuse("a pattern has at most 64 steps that happen");
    if (!gaps(step))
      return false;
    if (made_.steps.empty())
      made_.before = std::move(pending_);
    else
      for (const auto &absence : pending_)
        step.absent |= absence.step;
    pending_.clear();
    limited_.reset();
    made_.steps.push_back(step);
    return true;
  }

  bool gaps(Sequence::Step &step) {
    for (bool within = false, after = false;;) {
      const bool is_within = word_ == "within", is_after = word_ == "after";
      if (error_ || !(is_within || is_after))
        break;
      if (made_.steps.empty())
        return refuse("there is no step before the first one");
      if (is_within ? within : after)
        return refuse("it is said twice");
      (is_within ? within : after) = true;
      advance();
      (is_within ? step.within : step.after) = interval();
      if (!error_ && step.after > step.within)
        return refuse("no time is both after and within these");
    }
    return !error_;
  }

  bool absence() {
    Sequence::Absence absence{0, kInfinity};
    if (!number_of_step(absence.step, "the number of a step must come here"))
      return false;
    if (word_ == "after")
      return refuse("\"not\" has no \"after\"",
                    "Give the gap to the step that happens: '1 -> not 3 -> 2 after 1 day'.");
    if (const auto place = at_; take("within")) {
      limited_ = place;
      absence.within = interval();
    }
    pending_.push_back(absence);
    return !error_;
  }

  bool is_number() const { return !token_.empty() && is_ascii_digit(token_[0]); }

  // The value of a number token; so large a one is as good as any other too large.
  std::int64_t number() const {
    std::int64_t value = 0;
    for (const char digit : token_)
      if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, digit - '0', &value))
        return kInfinity;
    return value;
  }

  bool number_of_step(std::uint64_t &step, const char *expected) {
    if (error_ || !is_number())
      return refuse(expected);
    const auto value = number();
    if (value < 1 || value > step_count_)
      return refuse("there " +
                        (step_count_ == 1 ? std::string("is one step")
                                          : "are " + std::to_string(step_count_) + " steps") +
                        ", numbered from 1",
                    "Each boolean after the pattern is a step: the first of them is step 1.");
    step = std::uint64_t{1} << (value - 1);
    advance();
    return true;
  }

  Timestamp interval() {
    Timestamp sum = 0;
    do {
      if (error_ || !is_number())
        return refuse("an interval such as 24 hours must come here"), 0;
      const auto count = number();
      advance();
      const auto *unit = find_unit(word_);
      if (!unit)
        return refuse("a unit of time must come here",
                      "There are microseconds, milliseconds, seconds, minutes, hours, days (of 24 hours) and "
                      "weeks, in whole numbers: 1 day 12 hours."),
               0;
      if (unit->length == 0)
        return refuse("its length is not fixed", "Give days or weeks instead, such as 30 days."), 0;
      Timestamp span;
      if (__builtin_mul_overflow(count, unit->length, &span) || __builtin_add_overflow(sum, span, &sum))
        return refuse("the interval is too long"), 0;
      advance();
    } while (is_number());
    if (sum == 0)
      refuse("the interval before it must be longer than nothing");
    return sum;
  }

  const std::string_view text_;
  const unsigned step_count_;
  std::size_t at_ = 0;
  std::string_view token_;
  std::string word_; // the token in lower case
  Sequence made_;
  std::vector<Sequence::Absence> pending_; // until we know what comes next
  std::optional<std::size_t> limited_;     // where one of them has a "within"
  std::optional<PatternError> error_;
};

} // namespace

std::variant<Sequence, PatternError> Sequence::parse(std::string_view pattern, unsigned step_count) {
  return PatternParser(pattern, std::min(step_count, kMaxSequenceSteps)).run();
}

std::variant<Timestamp, PatternError> funnel_length(std::int64_t months, std::int64_t days, Timestamp rest) {
  if (months != 0)
    return PatternError{
        "the length of a funnel must not be given in months or years, whose length is not fixed",
        "Give days instead: interval '30 days'.", 0};
  Timestamp length;
  if (__builtin_mul_overflow(days, kMicrosPerDay, &length) || __builtin_add_overflow(length, rest, &length) ||
      length <= 0)
    return PatternError{"the length of a funnel must be positive", "An example: interval '7 days'.", 0};
  return length;
}

} // namespace cdp::core
