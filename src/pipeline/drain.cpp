// The inbox: its oldest lines are decided, and deleted in the same transaction.
#include <algorithm>
#include <chrono>

#include "collect/inbox.hpp"
#include "pipeline/ingest.hpp"

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

} // namespace

// cdp_internal.drain_inbox(most integer): decides the oldest lines of the inbox; how many.
CDP_FUNCTION(cdp_drain_inbox) {
  static BatchSize size;
  const auto began = steady_clock::now();
  pg::Session session;
  pg::run_once("SELECT cdp_internal.take_turn('cdp.inbox')");
  const auto oldest = collect::read_inbox(size.of(PG_GETARG_INT32(0)), kMostBytes);
  if (oldest.lines.empty())
    PG_RETURN_INT64(0);
  auto outcome = pipeline::ingest(oldest.lines);
  collect::write_quarantine(outcome.candidates, oldest.lines);
  collect::erase_inbox(oldest.places);
  size.learn(oldest.lines.size(), steady_clock::now() - began);
  PG_RETURN_INT64(static_cast<std::int64_t>(oldest.lines.size()));
}
