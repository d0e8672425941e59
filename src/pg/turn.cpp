#include "pg/function.hpp"

extern "C" {
#include "miscadmin.h"
#include "storage/lock.h"
}

namespace {

// As an advisory lock of a transaction, but no pg_advisory_lock() can meet it: nobody else may stop us by
// one.
LOCKTAG turn(FunctionCallInfo fcinfo) {
  LOCKTAG tag;
  SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, PG_GETARG_OID(0), PG_GETARG_INT32(1), 0xCE);
  return tag;
}

} // namespace

// cdp_internal.take_turn(work regclass, part integer): waits until nobody else does this work, until the
// transaction ends.
CDP_FUNCTION(cdp_take_turn) {
  const LOCKTAG tag = turn(fcinfo);
  cdp::pg::call([&] { LockAcquire(&tag, ExclusiveLock, false, false); });
  PG_RETURN_VOID();
}

// cdp_internal.share_turn(work regclass, part integer): until the transaction ends somebody does a part of
// this work, beside others who do.
CDP_FUNCTION(cdp_share_turn) {
  const LOCKTAG tag = turn(fcinfo);
  cdp::pg::call([&] { LockAcquire(&tag, AccessShareLock, false, false); });
  PG_RETURN_VOID();
}

// cdp_internal.await_turns(work regclass, part integer): waits until nobody does a part of this work any
// more.
CDP_FUNCTION(cdp_await_turns) {
  const LOCKTAG tag = turn(fcinfo);
  cdp::pg::call([&] {
    LockAcquire(&tag, AccessExclusiveLock, false, false);
    LockRelease(&tag, AccessExclusiveLock, false);
  });
  PG_RETURN_VOID();
}

// cdp_internal.try_turn(work regclass, part integer): the same without waiting; false: somebody else does it.
CDP_FUNCTION(cdp_try_turn) {
  const LOCKTAG tag = turn(fcinfo);
  PG_RETURN_BOOL(cdp::pg::call([&] { return LockAcquire(&tag, ExclusiveLock, false, true); }) !=
                 LOCKACQUIRE_NOT_AVAIL);
}
