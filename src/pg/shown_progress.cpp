#include "pg/shown_progress.hpp"

#include <algorithm>
#include <exception>

extern "C" {
#include "miscadmin.h"
#include "storage/lock.h"
}

namespace cdp::pg {

namespace {

constexpr int kFirst = 0xD0; // the last number of the lock; see cdp.progress

std::uint32_t fitting(std::uint64_t number) {
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(number, 0xFFFFFFFFu));
}

LOCKTAG tag_of(Task task, std::uint32_t total, std::uint32_t done) {
  LOCKTAG tag;
  SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, total, done,
                       static_cast<std::uint16_t>(kFirst + static_cast<int>(task)));
  return tag;
}

} // namespace

ShownProgress::ShownProgress(Task task, std::uint64_t total)
    : task_(task), total_(fitting(total)), exceptions_(std::uncaught_exceptions()) {
  take(0);
}

// On an exception the (sub)transaction's abort lets go.
ShownProgress::~ShownProgress() {
  if (std::uncaught_exceptions() == exceptions_)
    let_go();
}

void ShownProgress::take(std::uint32_t done) {
  const LOCKTAG tag = tag_of(task_, total_, done);
  call([&] { LockAcquire(&tag, ShareLock, false, false); });
  shown_ = done;
  holds_ = true;
  at_ = std::chrono::steady_clock::now();
}

void ShownProgress::let_go() {
  if (!holds_)
    return;
  const LOCKTAG tag = tag_of(task_, total_, shown_);
  LockRelease(&tag, ShareLock, false);
  holds_ = false;
}

void ShownProgress::show() {
  const auto done = fitting(done_);
  if (done == shown_ || std::chrono::steady_clock::now() - at_ < std::chrono::milliseconds(100))
    return;
  let_go();
  take(done);
}

} // namespace cdp::pg
