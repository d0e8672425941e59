// A second thread of this backend, for work that is plain C++: jobs run in it, one after the other, while the
// backend does something else. A job must call nothing of PostgreSQL and touch nothing that the backend
// changes meanwhile. All signals stay with the backend, and it outlives the thread, however it ends. One at a
// time.
#pragma once
#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>

namespace cdp::pg {

class Helper {
public:
  Helper();  // may throw std::system_error
  ~Helper(); // waits for the job at hand; those that were not begun are not run
  Helper(const Helper &) = delete;
  Helper &operator=(const Helper &) = delete;

  // One job. It is waited for before this goes, so it may refer to whatever was there before.
  class Job {
  public:
    Job(Helper &helper, std::function<void()> body);
    ~Job();
    Job(const Job &) = delete;
    Job &operator=(const Job &) = delete;
    void wait();                    // throws what the job threw
    void wait(void (*meanwhile)()); // the same, and calls that every few milliseconds; what it throws, too

  private:
    Helper &helper_;
    std::size_t number_;
  };

  // Whether there is a core for it, and the administrator wants more than one to be used for a query.
  static bool is_worthwhile();

  // Set when nobody waits for what jobs do: a long one looks at it now and then, and ends. Nothing is given
  // to the helper after that.
  const std::atomic<bool> &given_up() const;
  void give_up();

private:
  struct Thread;
  std::unique_ptr<Thread> thread_;
};

} // namespace cdp::pg
