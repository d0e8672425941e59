#include "pg/helper.hpp"

#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

#include <pthread.h>
#include <signal.h>

#include "pg/guard.hpp"

extern "C" {
#include "optimizer/cost.h"
#include "storage/ipc.h"
}

namespace cdp::pg {

struct Helper::Thread {
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::pair<std::size_t, std::function<void()>>> jobs;
  std::map<std::size_t, std::exception_ptr> failures;
  std::size_t given = 0, done = 0;
  bool stopping = false;
  std::atomic<bool> given_up = false;
  std::thread thread;

  void work();
  void stop() noexcept;
};

namespace {

std::function<void()> &stop_latest = *new std::function<void()>; // never destroyed: exit comes later

// A backend that is told to exit runs its exit handlers on top of whatever it was doing.
void stop_at_exit(int, Datum) {
  if (stop_latest)
    stop_latest();
}

void listen_for_exit() {
  static const bool listening = call([] {
    before_shmem_exit(stop_at_exit, 0);
    return true;
  });
  (void)listening;
}

} // namespace

void Helper::Thread::work() {
  std::unique_lock lock(mutex);
  while (true) {
    changed.wait(lock, [&] { return stopping || !jobs.empty(); });
    if (stopping)
      return;
    const auto [number, job] = std::move(jobs.front());
    jobs.pop_front();
    lock.unlock();
    std::exception_ptr failure;
    try {
      job();
    } catch (...) {
      failure = std::current_exception();
    }
    lock.lock();
    if (failure)
      failures.emplace(number, failure);
    done = number;
    changed.notify_all();
  }
}

void Helper::Thread::stop() noexcept {
  if (!thread.joinable())
    return;
  given_up = true;
  {
    const std::lock_guard lock(mutex);
    stopping = true;
  }
  changed.notify_all();
  thread.join();
}

Helper::Helper() : thread_(std::make_unique<Thread>()) {
  listen_for_exit();
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    thread_->thread = std::thread([thread = thread_.get()] { thread->work(); });
  } catch (...) {
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    throw;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  stop_latest = [thread = thread_.get()] { thread->stop(); };
}

Helper::~Helper() {
  thread_->stop();
  stop_latest = nullptr;
}

Helper::Job::Job(Helper &helper, std::function<void()> body) : helper_(helper) {
  auto &thread = *helper.thread_;
  {
    const std::lock_guard lock(thread.mutex);
    number_ = thread.given + 1;
    thread.jobs.emplace_back(number_, std::move(body));
    thread.given = number_;
  }
  thread.changed.notify_all();
}

Helper::Job::~Job() {
  auto &thread = *helper_.thread_;
  std::unique_lock lock(thread.mutex);
  thread.changed.wait(lock, [&] { return thread.done >= number_; });
  thread.failures.erase(number_);
}

void Helper::Job::wait() {
  auto &thread = *helper_.thread_;
  std::unique_lock lock(thread.mutex);
  thread.changed.wait(lock, [&] { return thread.done >= number_; });
  if (const auto failure = thread.failures.find(number_); failure != thread.failures.end())
    std::rethrow_exception(std::exchange(failure->second, nullptr));
}

void Helper::Job::wait(void (*meanwhile)()) {
  auto &thread = *helper_.thread_;
  const auto is_done = [&] { return thread.done >= number_; };
  while (true) {
    {
      std::unique_lock lock(thread.mutex);
      if (thread.changed.wait_for(lock, std::chrono::milliseconds(5), is_done))
        break;
    }
    meanwhile();
  }
  wait();
}

const std::atomic<bool> &Helper::given_up() const {
  return thread_->given_up;
}

void Helper::give_up() {
  thread_->given_up = true;
}

bool Helper::is_worthwhile() {
  return std::thread::hardware_concurrency() > 1 && max_parallel_workers_per_gather > 0;
}

} // namespace cdp::pg
