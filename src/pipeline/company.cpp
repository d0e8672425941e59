#include "pipeline/company.hpp"

#include <algorithm>
#include <cstring>
#include <unordered_map>

#include "pipeline/drain.hpp"

namespace cdp::pipeline {

int inbox_workers = 2;
bool may_have_company = false;

namespace {

using namespace std::chrono_literals;

constexpr auto kRetry = 10s; // after a process could not be started, or went away

struct Taken {
  std::int64_t lines;
  std::chrono::nanoseconds took;
};

template <class T> void append(std::string &bytes, const T *values, std::size_t count) {
  static_assert(std::is_trivially_copyable_v<T>);
  bytes.append(reinterpret_cast<const char *>(values), count * sizeof(T));
}

template <class T> void take(std::string_view &bytes, T *values, std::size_t count) {
  static_assert(std::is_trivially_copyable_v<T>);
  std::memcpy(static_cast<void *>(values), bytes.data(), count * sizeof(T));
  bytes.remove_prefix(count * sizeof(T));
}

// A job: of each line its place, and the ids that are reserved for it.
std::string job_of(const collect::Oldest &part) {
  std::string job;
  for (std::size_t i = 0; i < part.places.size(); ++i) {
    const auto &ids = part.lines[i].reserved;
    const std::size_t count = ids.size();
    append(job, &part.places[i], 1);
    append(job, &count, 1);
    append(job, ids.data(), count);
  }
  return job;
}

collect::Oldest lines_of(std::string_view job) {
  std::unordered_map<std::uint64_t, std::vector<std::int64_t>> reserved;
  std::vector<ItemPointerData> places;
  while (!job.empty()) {
    std::size_t count;
    take(job, &places.emplace_back(), 1);
    take(job, &count, 1);
    auto &ids = reserved[collect::number_of(places.back())];
    ids.resize(count);
    take(job, ids.data(), count);
  }
  auto oldest = collect::read_inbox(places);
  for (std::size_t i = 0; i < oldest.lines.size(); ++i)
    oldest.lines[i].reserved = std::move(reserved.at(collect::number_of(oldest.places[i])));
  return oldest;
}

} // namespace

Company &company() {
  static auto &ours = *new Company; // never destroyed: a process ends without asking C++
  return ours;
}

std::size_t Company::most() {
  return static_cast<std::size_t>(may_have_company ? inbox_workers - 1 : 0);
}

void Company::gather() {
  const auto now = std::chrono::steady_clock::now();
  // One that has our lines is asked for them first.
  const auto gone =
      std::erase_if(companions_, [](const auto &one) { return !one->is_busy() && one->is_gone(); });
  if (gone > 0)
    not_before_ = now + kRetry;
  const auto wanted = most();
  while (companions_.size() > wanted && !companions_.back()->is_busy())
    companions_.pop_back();
  while (companions_.size() < wanted && now >= not_before_) {
    if (auto one = pg::Companion::start(pg::inbox_process))
      companions_.push_back(std::move(one));
    else
      not_before_ = now + kRetry;
  }
}

std::vector<double> Company::weights() {
  gather();
  const auto connected = std::count_if(companions_.begin(), companions_.end(),
                                       [](const auto &one) { return one->is_connected(); });
  const auto others = std::min(connected, static_cast<std::ptrdiff_t>(most()));
  if (others == 0)
    return {1};
  const double ours = our_weight_ * 2 / static_cast<double>(others + 1);
  std::vector<double> weights(static_cast<std::size_t>(others) + 1, (1 - ours) / static_cast<double>(others));
  weights[0] = ours;
  return weights;
}

void Company::let_go() {
  companions_.clear();
}

void Company::give(const std::vector<collect::Oldest> &parts) {
  std::size_t part = 1;
  for (auto &one : companions_)
    if (part < parts.size() && one->is_connected()) {
      const auto &theirs = parts[part++];
      if (theirs.places.empty())
        continue;
      one->give(job_of(theirs));
      out_.insert(out_.end(), theirs.places.begin(), theirs.places.end());
    }
  given_at_ = steady_clock::now();
  for (auto &one : companions_)
    if (one->is_busy())
      one->await_acceptance();
}

std::int64_t Company::finish() {
  if (out_.empty())
    return 0;
  const auto ours = steady_clock::now() - given_at_;
  for (auto &one : companions_)
    if (one->is_busy())
      one->await_acceptance();
  // By a lock, which is seen where somebody waits for us and they for them.
  pg::run_once("SELECT cdp_internal.await_turns('cdp.inbox', 1)");
  std::int64_t lines = 0;
  std::chrono::nanoseconds longest{0};
  std::exception_ptr failed;
  for (auto &one : companions_)
    if (one->is_busy())
      try {
        const auto answer = one->answer();
        std::string_view bytes = answer;
        Taken taken;
        take(bytes, &taken, 1);
        lines += taken.lines;
        longest = std::max(longest, taken.took);
      } catch (const Error &) {
        failed = std::current_exception();
      }
  out_.clear();
  if (failed)
    std::rethrow_exception(failed);
  learn(ours, longest);
  return lines;
}

// Whoever was done first gets more.
void Company::learn(steady_clock::duration ours, steady_clock::duration theirs) {
  const auto our_time = static_cast<double>(ours.count()), their_time = static_cast<double>(theirs.count());
  our_weight_ *= 1 + (their_time - our_time) / std::max(their_time, our_time) / 2;
  our_weight_ = std::clamp(our_weight_, 0.1, 0.6);
}

// As much of the way of a message as drain_inbox does, in a transaction of its own. Others see by the shared
// turn that lines are being decided.
void keep_company(Oid database) {
  pg::serve(pg::inbox_process, database, "draining cdp.inbox", "waiting for lines",
            [](std::string_view job, const pg::Accept &accept) {
              const auto began = std::chrono::steady_clock::now();
              Taken taken{0, 0ns};
              pg::Session session;
              // Who gave us the job has the extension's lock until we accept. For all other locks we may
              // have to wait, which nobody sees that it waits for.
              pg::run_once("SELECT cdp_internal.share_turn('cdp.inbox', 1)");
              accept();
              if (pg::extension_exists()) {
                collect::lock_inbox();
                taken.lines = decide(lines_of(job));
                taken.took = std::chrono::steady_clock::now() - began;
              }
              std::string answer;
              append(answer, &taken, 1);
              return answer;
            });
}

} // namespace cdp::pipeline
