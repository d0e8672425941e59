#include "pipeline/company.hpp"

#include <algorithm>
#include <cstring>

#include "pipeline/drain.hpp"

#include "pg/sequence.hpp"

namespace cdp::pipeline {

int inbox_workers = 1;
bool may_have_company = false;

namespace {

using namespace std::chrono_literals;

constexpr std::string_view kNothing = "nothing"; // a job
constexpr auto kRetry = 10s;                     // after a process could not be started, or went away

template <class T> void append(std::string &bytes, const T *values, std::size_t count) {
  static_assert(std::is_trivially_copyable_v<T>);
  bytes.append(reinterpret_cast<const char *>(values), count * sizeof(T));
}

template <class T> void take(std::string_view &bytes, T *values, std::size_t count) {
  static_assert(std::is_trivially_copyable_v<T>);
  std::memcpy(static_cast<void *>(values), bytes.data(), count * sizeof(T));
  bytes.remove_prefix(count * sizeof(T));
}

template <class T> void append_list(std::string &bytes, const std::vector<T> &values) {
  const std::size_t count = values.size();
  append(bytes, &count, 1);
  append(bytes, values.data(), count);
}

template <class T> std::vector<T> take_list(std::string_view &bytes) {
  std::size_t count;
  take(bytes, &count, 1);
  std::vector<T> values(count);
  take(bytes, values.data(), count);
  return values;
}

// A job: of each line its place, and the ids and numbers that are reserved for it.
std::string job_of(const collect::Oldest &part) {
  std::string job;
  for (std::size_t i = 0; i < part.places.size(); ++i) {
    append(job, &part.places[i], 1);
    append(job, &part.lines[i].last_number, 1);
    append_list(job, part.lines[i].reserved);
    append_list(job, part.lines[i].numbers);
    append_list(job, part.lines[i].seen);
  }
  return job;
}

collect::Oldest lines_of(std::string_view job) {
  std::vector<collect::Incoming> given;
  std::vector<ItemPointerData> places;
  while (!job.empty()) {
    take(job, &places.emplace_back(), 1);
    auto &line = given.emplace_back();
    take(job, &line.last_number, 1);
    line.reserved = take_list<std::int64_t>(job);
    line.numbers = take_list<std::int64_t>(job);
    line.seen = take_list<std::uint64_t>(job);
  }
  auto oldest = collect::read_inbox(places);
  std::size_t at = 0;
  for (std::size_t i = 0; i < oldest.lines.size(); ++i, ++at) {
    while (collect::number_of(places[at]) != collect::number_of(oldest.places[i])) // it is gone
      ++at;
    oldest.lines[i].last_number = given[at].last_number;
    oldest.lines[i].reserved = std::move(given[at].reserved);
    oldest.lines[i].numbers = std::move(given[at].numbers);
    oldest.lines[i].seen = std::move(given[at].seen);
  }
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
    if (auto one = pg::Companion::start(pg::inbox_process)) {
      companions_.push_back(std::move(one));
      started_at_ = now;
    } else {
      not_before_ = now + kRetry;
    }
  }
}

bool Company::is_awaited() const {
  constexpr auto patience = 500ms;
  return steady_clock::now() - started_at_ < patience &&
         std::any_of(companions_.begin(), companions_.end(),
                     [](const auto &one) { return !one->is_busy() && !one->is_connected(); });
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

void Company::begin(const std::vector<std::size_t> &sizes) {
  begun_.assign(sizes.size(), nullptr);
  std::size_t part = 1;
  for (auto &one : companions_)
    if (part < sizes.size() && one->is_connected()) {
      if (sizes[part] > 0) {
        begun_[part] = one.get();
        one->begin();
      }
      ++part;
    }
  for (auto *one : begun_)
    if (one)
      one->await_acceptance();
}

bool Company::give(const std::vector<collect::Oldest> &parts) {
  bool all = true;
  for (std::size_t part = 1; part < parts.size(); ++part)
    if (auto *one = std::exchange(begun_[part], nullptr)) {
      out_.insert(out_.end(), parts[part].places.begin(), parts[part].places.end());
      one->give(job_of(parts[part]));
    } else {
      all = all && parts[part].places.empty();
    }
  given_at_ = steady_clock::now();
  return all;
}

std::int64_t Company::finish() {
  if (std::none_of(companions_.begin(), companions_.end(), [](const auto &one) { return one->is_busy(); }))
    return 0;
  for (auto *one : begun_) // we were interrupted before we gave it something
    if (one)
      one->give(kNothing);
  begun_.clear();
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
        std::int64_t decided;
        take(bytes, &decided, 1);
        lines += decided;
        longest = std::max(longest, one->took());
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
            [](const pg::Accept &accept) {
              std::int64_t lines = 0;
              pg::Session session;
              // Who gave us the job has the extension's lock until we accept. For all other locks we may
              // have to wait, which nobody sees that it waits for.
              pg::run_once("SELECT cdp_internal.share_turn('cdp.inbox', 1)");
              pg::have_transaction_id(); // before numbers are drawn for us
              const auto job = accept();
              if (job != kNothing && pg::extension_exists()) {
                collect::lock_inbox();
                lines = decide(lines_of(job));
              }
              std::string answer;
              append(answer, &lines, 1);
              return answer;
            });
}

} // namespace cdp::pipeline
