// What only background.cpp needs of the shared table of databases; the rest is in background.hpp.
#pragma once
#include "pg/background.hpp"

namespace cdp::pg::workers {

// While preloading: reserves the table, and lets DROP DATABASE send the worker away.
void install_table();
// This process is the launcher (InvalidOid) or the worker of a database, from now until it exits.
void enter(Oid database);
// Why it is about to leave; unless said otherwise, it failed.
void say(Farewell farewell);

} // namespace cdp::pg::workers
