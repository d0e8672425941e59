// The inbox: its oldest lines are decided, and deleted in the same transaction. Where many wait, other
// processes take parts of them at the same time.
#include "pipeline/drain.hpp"

#include <algorithm>
#include <chrono>
#include <optional>

#include "collect/months.hpp"
#include "pipeline/company.hpp"
#include "pipeline/ingest.hpp"
#include "pipeline/share.hpp"

#include "pg/function.hpp"

using namespace cdp;

namespace {

using std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr std::size_t kMostBytes = 32 << 20; // of lines decided at once

// A line costs less in a large batch. But whoever waits for a person waits for a batch: none is larger than
// what takes half a second at the pace of the one before.
class BatchSize {
public:
  std::int32_t of(std::int32_t most) const { return std::min(most, size_); }
  void learn(std::size_t lines, steady_clock::duration took) {
    if (lines < static_cast<std::size_t>(kFewest))
      return; // its pace is that of what is done once a batch
    const auto fit = 500ms * static_cast<std::int64_t>(lines) / std::max<steady_clock::duration>(took, 1ms);
    size_ = static_cast<std::int32_t>(std::clamp<std::int64_t>(fit, kFewest, kMost));
  }

private:
  static constexpr std::int32_t kFewest = 1000, kMost = 100'000;
  std::int32_t size_ = kFewest;
};

// Who are the people of a line is found out twice for it to be shared out: that has to pay.
constexpr std::int32_t kWorthSharing = 2000;

// While a month's table is wanted nothing is shared out. The worker makes it after this batch: a small one,
// for then others can go on.
constexpr std::int32_t kWhileMonthWaits = 500;

// A window of the inbox. Parts of the window before may still be on their way until ours are taken.
class Window {
public:
  Window(std::int32_t size, std::int32_t worth) {
    weights_ = more_wait && size > 1 ? pipeline::company().weights() : std::vector<double>{1};
    if (pipeline::company().is_awaited())
      size = std::min(size, worth);
    const bool wanted_before = std::exchange(month_wanted, weights_.size() > 1 && is_month_wanted());
    if (month_wanted) {
      weights_ = {1};
      size = std::min(size, wanted_before ? size : kWhileMonthWaits);
    }
    // As many lines for each as one would take alone.
    const auto wide = 1 / *std::max_element(weights_.begin(), weights_.end());
    oldest_ = collect::read_inbox(static_cast<std::int32_t>(size * wide),
                                  static_cast<std::size_t>(static_cast<double>(kMostBytes) * wide),
                                  pipeline::company().out());
    is_large_ = oldest_.lines.size() >= static_cast<std::size_t>(worth);
    more_wait = size > 1 && oldest_.lines.size() >= static_cast<std::size_t>(std::min(size, worth));
    parts_.resize(weights_.size());
    if (is_large_ && parts_.size() > 1)
      pg::try_in_subtransaction([&] { // which lets go of its tables: we are going to wait for others
        sharing_.emplace(oldest_.lines);
        return false;
      });
    if (more_wait)
      pipeline::company().gather(); // they arrive while we decide
  }

  bool is_large() const { return is_large_; }

  // Gives the others theirs, and leaves ours.
  collect::Oldest take_ours() {
    if (!sharing_) {
      in_other_hands = {};
      return std::move(oldest_);
    }
    std::vector<std::size_t> part_of, sizes(parts_.size());
    pg::try_in_subtransaction([&] { // as above
      part_of = sharing_->share_out(oldest_.lines, weights_, in_other_hands);
      return false;
    });
    for (auto part : part_of)
      ++sizes[part];
    pipeline::company().begin(sizes);
    pipeline::reserve_numbers(oldest_.lines);
    for (std::size_t part = 0; part < parts_.size(); ++part) {
      parts_[part].lines.reserve(sizes[part]);
      parts_[part].places.reserve(sizes[part]);
    }
    for (std::size_t i = 0; i < part_of.size(); ++i) {
      auto &part = parts_[part_of[i]];
      part.lines.push_back(std::move(oldest_.lines[i]));
      part.places.push_back(oldest_.places[i]);
    }
    if (!pipeline::company().give(parts_))
      collect::read_anew();
    return std::move(parts_[0]);
  }

private:
  static bool is_month_wanted() {
    bool wanted = false;
    pg::try_in_subtransaction([&] { // as above
      wanted = collect::months_wait();
      return false;
    });
    return wanted;
  }

  static inline pipeline::InOtherHands in_other_hands;
  static inline bool more_wait = false, month_wanted = false; // the last time
  bool is_large_ = false;
  collect::Oldest oldest_;
  std::optional<pipeline::Sharing> sharing_; // none: all is ours
  std::vector<double> weights_;
  std::vector<collect::Oldest> parts_; // ours first
};

// Those that have had nothing to do for a while leave.
void note_work(bool many) {
  constexpr auto patience = 10s;
  static steady_clock::time_point last;
  if (many)
    last = steady_clock::now();
  else if (steady_clock::now() - last > patience)
    pipeline::company().let_go();
}

// One line is the very oldest. It is not to blame for what others failed with: their lines are still there.
std::int64_t finish_before_one(pipeline::Company &company) {
  try {
    return company.finish();
  } catch (const Error &) {
    return 0;
  }
}

} // namespace

std::int64_t pipeline::decide(const collect::Oldest &oldest) {
  auto outcome = ingest(oldest.lines);
  collect::write_quarantine(outcome.candidates, oldest.lines);
  collect::erase_inbox(oldest.places);
  return static_cast<std::int64_t>(oldest.lines.size());
}

// cdp_internal.drain_inbox(most integer): decides the oldest lines of the inbox; how many, those that others
// were given the last time included.
CDP_FUNCTION(cdp_drain_inbox) {
  static BatchSize size;
  const auto most = PG_GETARG_INT32(0);
  auto &company = pipeline::company();
  pg::Session session;
  pg::run_once("SELECT cdp_internal.take_turn('cdp.inbox')");
  collect::lock_inbox();
  std::int64_t by_others = most > 1 ? 0 : finish_before_one(company);
  if (company.out().empty())
    pg::run_once("SELECT cdp_internal.await_turns('cdp.inbox', 1)"); // somebody else's
  Window window(size.of(most), std::min(most, kWorthSharing));
  by_others += company.finish();
  const auto began = steady_clock::now();
  const auto ours = window.take_ours();
  if (!ours.lines.empty())
    pipeline::decide(ours);
  size.learn(ours.lines.size(), steady_clock::now() - began);
  note_work(window.is_large());
  PG_RETURN_INT64(static_cast<std::int64_t>(ours.lines.size()) + by_others);
}
