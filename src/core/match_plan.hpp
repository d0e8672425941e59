// How two records are held against each other, as steps: each asks one thing of the two and says which step
// is next if it is so, and which if not. What a level's condition says, with AND, OR and NOT, is in these
// turns. Throws std::bad_alloc only.
#pragma once

#include <cstdint>
#include <vector>

#include "match_model.hpp"

namespace cdp::core::match {

bool stands(double value, Sign sign, double bound);

struct Step {
  enum class Kind : std::uint8_t {
    unknown,  // a feature of one side is
    truth,    // a feature of one side is true
    equal,    // two features are known and the same
    unequal,  // known and not the same
    reaches,  // a measure is known and at least the bound
    within,   // at most the bound
    measured, // stands to the bound as the sign says
    apart,    // numbers are known and stand so to the bound
    end       // nothing is asked: `yes` is the gamma
  };
  Kind kind = Kind::end;
  Sign sign = Sign::equal;
  bool right = false; // whose feature, of unknown and truth
  bool wanted = true; // of truth and numbers: false when it must be known and not so
  int a = -1, b = -1; // features
  int pair = -1;      // of the model, of what is measured
  int yes = 0, no = 0;
  double bound = 0;
};

/// The steps of one comparison; the first is where it begins.
std::vector<Step> steps_of(const Model &model, const Comparison &comparison);

} // namespace cdp::core::match
