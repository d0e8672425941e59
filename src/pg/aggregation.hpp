// One of PostgreSQL's aggregates of one argument, run by itself over values that are at hand, in their order.
// Under the rights and settings in force. Lives as long as the backend: what it looks up is never freed.
#pragma once
#include <span>

#include "pg/guard.hpp"

struct AggState;
struct ExprContext;

namespace cdp::pg {

class Aggregation {
public:
  // `name` as regprocedure reads and writes it. May throw PgError, also when it must not be called.
  Aggregation(const std::string &name, Oid argument, Oid result);

  struct Value {
    Datum datum;
    bool is_null;
  };
  // In this memory, which also holds all that is needed on the way. Only inside pg::call: may ereport.
  Value over(std::span<const Value> values, MemoryContext memory);

private:
  void prepare(Oid function, Oid argument, Oid result);
  void add(const Value &value);

  FmgrInfo *add_ = nullptr, *finish_ = nullptr; // finish_: nullptr when the state is the result
  int finish_arguments_ = 1;
  bool state_by_value_ = true, first_is_state_ = false;
  int16 state_length_ = 0;
  Value initial_{0, true}, state_{0, true};
  ::AggState *as_called_ = nullptr; // aggregates ask it where their memory is
  ::ExprContext *context_ = nullptr;
};

} // namespace cdp::pg
