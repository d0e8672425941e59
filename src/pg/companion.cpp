#include "pg/companion.hpp"

#include <cstring>
#include <utility>

extern "C" {
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/dsm.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "storage/shm_mq.h"
}

namespace cdp::pg {

namespace {

// A segment of memory: a queue of jobs, and one of what the companion says of them.
constexpr Size kJobs = 128 << 10, kAnswers = 16 << 10; // more is sent in pieces

// What the first byte says; after it come how long it took and the answer, or the error's state, message and
// detail.
enum Said : char { connected = 'c', accepted = 'a', done = 'd', failed = 'f' };

shm_mq *jobs_of(dsm_segment *segment) {
  return static_cast<shm_mq *>(dsm_segment_address(segment));
}
shm_mq *answers_of(dsm_segment *segment) {
  return reinterpret_cast<shm_mq *>(static_cast<char *>(dsm_segment_address(segment)) + kJobs);
}

bool send(shm_mq_handle *queue, std::string_view text) {
  return call([&] { return shm_mq_send(queue, text.size(), text.data(), false, true); }) == SHM_MQ_SUCCESS;
}

// SHM_MQ_WOULD_BLOCK only when it must not wait.
shm_mq_result receive(shm_mq_handle *queue, bool wait, std::string &text) {
  Size size = 0;
  void *data = nullptr;
  const auto result = call([&] { return shm_mq_receive(queue, &size, &data, !wait); });
  if (result == SHM_MQ_SUCCESS)
    text.assign(static_cast<const char *>(data), size);
  return result;
}

std::string answer_text(std::chrono::nanoseconds took, const std::string &answer) {
  std::string text(1, done);
  text.append(reinterpret_cast<const char *>(&took), sizeof took);
  return text + answer;
}

std::string failure_text(const Failure &failure) {
  return std::string(1, failed) + std::to_string(failure.sqlstate) + '\0' + failure.message + '\0' +
         failure.detail;
}

[[noreturn]] void throw_failure(std::string_view text) {
  const auto message = text.find('\0') + 1, detail = text.find('\0', message) + 1;
  throw Error(std::stoi(std::string(text.substr(1))), std::string(text.substr(message, detail - message - 1)),
              std::string(text.substr(detail)));
}

Error lost() {
  return Error(ERRCODE_CONNECTION_FAILURE, "a process that was given work is gone", "",
               "What it had not committed is done again.");
}

} // namespace

// ---- In the process that starts it

struct Companion::Queues {
  dsm_segment *segment = nullptr;
  shm_mq_handle *jobs = nullptr, *answers = nullptr;
};

std::unique_ptr<Companion> Companion::start(const ProcessKind &kind) {
  auto queues = std::make_unique<Queues>();
  const bool started = call([&] {
    queues->segment = dsm_create(kJobs + kAnswers, DSM_CREATE_NULL_IF_MAXSEGMENTS);
    if (!queues->segment)
      return false;
    const auto before = MemoryContextSwitchTo(TopMemoryContext); // it outlives transactions
    dsm_pin_mapping(queues->segment);
    shm_mq *jobs = shm_mq_create(jobs_of(queues->segment), kJobs);
    shm_mq *answers = shm_mq_create(answers_of(queues->segment), kAnswers);
    shm_mq_set_sender(jobs, MyProc);
    shm_mq_set_receiver(answers, MyProc);
    BackgroundWorker worker;
    describe(kind, worker);
    worker.bgw_main_arg = ObjectIdGetDatum(MyDatabaseId);
    worker.bgw_notify_pid = MyProcPid;
    const dsm_handle handle = dsm_segment_handle(queues->segment);
    memcpy(worker.bgw_extra, &handle, sizeof handle);
    BackgroundWorkerHandle *process = nullptr;
    const bool registered = RegisterDynamicBackgroundWorker(&worker, &process);
    if (registered) {
      queues->jobs = shm_mq_attach(jobs, queues->segment, process);
      queues->answers = shm_mq_attach(answers, queues->segment, process);
    } else {
      dsm_detach(queues->segment);
    }
    MemoryContextSwitchTo(before);
    return registered;
  });
  return started ? std::unique_ptr<Companion>(new Companion(std::move(queues))) : nullptr;
}

Companion::Companion(std::unique_ptr<Queues> queues) : queues_(std::move(queues)) {}

Companion::~Companion() {
  call([&] {
    shm_mq_detach(queues_->jobs);
    shm_mq_detach(queues_->answers);
    dsm_detach(queues_->segment);
  });
}

bool Companion::hear(bool wait) {
  std::string text;
  const auto result = receive(queues_->answers, wait, text);
  if (result == SHM_MQ_DETACHED)
    gone_ = true;
  if (result != SHM_MQ_SUCCESS)
    return false;
  if (text[0] == connected)
    connected_ = true;
  else if (text[0] == accepted)
    accepted_ = true;
  else
    said_ = std::move(text);
  return true;
}

bool Companion::is_connected() {
  if (!connected_ && !gone_)
    hear(false);
  return connected_ && !gone_;
}

bool Companion::is_gone() {
  if (!gone_ && !busy_)
    hear(false);
  return gone_;
}

void Companion::begin() {
  said_.clear();
  accepted_ = false;
  busy_ = true;
  give("begin");
}

void Companion::give(std::string_view job) {
  const bool was_gone = std::exchange(gone_, true); // should we be interrupted: half a job has no end
  gone_ = was_gone || !send(queues_->jobs, job);
}

void Companion::await_acceptance() {
  while (!accepted_ && said_.empty() && !gone_)
    hear(true);
}

std::string Companion::answer() {
  while (said_.empty() && !gone_)
    hear(true);
  busy_ = false;
  if (said_.empty())
    throw lost();
  if (said_[0] == failed)
    throw_failure(said_);
  std::memcpy(&took_, said_.data() + 1, sizeof took_);
  return said_.substr(1 + sizeof took_);
}

// ---- Inside a companion

void serve(const ProcessKind &kind, Oid database, const char *activity, const char *idle,
           const std::function<std::string(const Accept &accept)> &work) {
  begin_companion(kind, database);
  shm_mq_handle *jobs = nullptr, *answers = nullptr;
  call([&] {
    const auto before = MemoryContextSwitchTo(TopMemoryContext);
    dsm_handle handle;
    memcpy(&handle, MyBgworkerEntry->bgw_extra, sizeof handle);
    dsm_segment *segment = dsm_attach(handle);
    if (!segment)
      proc_exit(0); // who started us is gone
    dsm_pin_mapping(segment);
    shm_mq_set_receiver(jobs_of(segment), MyProc);
    shm_mq_set_sender(answers_of(segment), MyProc);
    jobs = shm_mq_attach(jobs_of(segment), segment, nullptr);
    answers = shm_mq_attach(answers_of(segment), segment, nullptr);
    MemoryContextSwitchTo(before);
  });
  const auto say = [&](const std::string &text) {
    if (!send(answers, text))
      call([] { proc_exit(0); });
  };
  say(std::string(1, connected));
  report_idle(idle);
  std::string job;
  for (;;) {
    sleep(milliseconds(0)); // settings may have changed
    const auto heard = receive(jobs, false, job);
    if (heard == SHM_MQ_DETACHED)
      call([] { proc_exit(0); });
    if (heard == SHM_MQ_WOULD_BLOCK) {
      sleep(std::chrono::seconds(10)); // a job, and whoever lets it go, wakes it
      continue;
    }
    std::string text;
    Failure failure;
    bool given = false;
    std::chrono::steady_clock::time_point began;
    const auto await_job = [&] {
      if (receive(jobs, true, job) != SHM_MQ_SUCCESS)
        call([] { proc_exit(0); });
      given = true;
      began = std::chrono::steady_clock::now();
    };
    const Accept accept = [&] {
      say(std::string(1, accepted));
      await_job();
      return job;
    };
    const bool committed = transaction(
        activity, [&] { text = work(accept); }, failure, false);
    say(committed ? answer_text(std::chrono::steady_clock::now() - began, text) : failure_text(failure));
    if (!given) // it failed before: the job that is still to come is not the beginning of the next
      await_job();
    report_idle(idle);
  }
}

} // namespace cdp::pg
