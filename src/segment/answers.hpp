// What PostgreSQL said of a rule for a few integers, on which alone the answer depends: most people have the
// same few counts. Owns its memory; nothing here throws.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace cdp::segment {

enum class Told : std::int8_t { unknown, no, yes };

class Answers {
public:
  static constexpr std::size_t kMostValues = 4;
  using Values = std::array<std::int64_t, kMostValues>;
  struct Answer {
    Values values{};
    Told holds = Told::unknown, is_over = Told::unknown;
  };

  // To be read and filled in; one that was not asked for lately makes room.
  Answer &of(const Values &values) {
    std::uint64_t hash = 0;
    for (auto value : values)
      hash = (hash ^ static_cast<std::uint64_t>(value)) * 0x9E3779B97F4A7C15;
    auto &answer = answers_[hash >> (64 - kBits)];
    if (answer.values != values)
      answer = {values, Told::unknown, Told::unknown};
    return answer;
  }

private:
  static constexpr int kBits = 10;
  std::vector<Answer> answers_ = std::vector<Answer>(std::size_t{1} << kBits);
};

} // namespace cdp::segment
