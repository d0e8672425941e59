// The lines of cdp.inbox. May throw Error and PgError.
#pragma once
#include "collect/candidate.hpp"

namespace cdp::collect {

struct Oldest {
  std::vector<Incoming> lines;
  std::vector<ItemPointerData> places;
};

// Comes before its lines are read: who gets a lock on the table between reading and deleting would wait for
// us, and we for them.
void lock_inbox();

// The oldest lines but those at some places, at most so many; none is begun when there are so many bytes
// already.
Oldest read_inbox(std::int32_t most, std::size_t most_bytes, const std::vector<ItemPointerData> &but = {});

// Whether there were any when the inbox was read last.
bool lines_wait();

// Not all that was read was decided: the next time the inbox is read from its beginning.
void read_anew();

// Those that are still at these places, in that order.
Oldest read_inbox(const std::vector<ItemPointerData> &places);

// A place as a number.
std::uint64_t number_of(const ItemPointerData &place);

// Deletes them where they were read, in that order: else an index would be searched for each. Throws when
// somebody changed one meanwhile.
void erase_inbox(const std::vector<ItemPointerData> &places);

} // namespace cdp::collect
