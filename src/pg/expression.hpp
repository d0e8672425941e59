// A scalar expression, planned once and evaluated many times, under the settings and as the role in force at
// the time. Lives until it is destroyed; what it computes lives in its own memory until reset().
#pragma once
#include <string>
#include <vector>

#include "pg/guard.hpp"

extern "C" {
#include "executor/executor.h"
}
#undef printf
#undef fprintf
#undef sprintf
#undef snprintf

namespace cdp::pg {

// SQL parameters shared by expressions: $1 and on, bound by number from 1.
class Bindings {
public:
  explicit Bindings(const std::vector<Oid> &types);
  ~Bindings();
  Bindings(const Bindings &) = delete;
  Bindings &operator=(const Bindings &) = delete;

  void bind(int number, Datum value) noexcept {
    params_->params[number - 1].value = value;
    params_->params[number - 1].isnull = false;
  }
  void bind_null(int number) noexcept { params_->params[number - 1].isnull = true; }
  MemoryContext memory() const noexcept { return context_->ecxt_per_tuple_memory; } // until reset()
  void reset(); // frees what expressions computed

private:
  friend class Expression;
  MemoryContext memory_;
  ExprContext *context_;
  ParamListInfo params_;
  std::vector<Oid> types_;
};

class Expression {
public:
  // Parses and plans the text under the search_path in force. Bindings must outlive it.
  Expression(const std::string &sql, Bindings &bindings);

  struct Value {
    Datum datum;
    bool is_null;
  };
  // Only inside pg::call: may ereport.
  Value evaluate() const {
    Value value;
    value.datum = ExecEvalExprSwitchContext(state_, bindings_->context_, &value.is_null);
    return value;
  }
  Oid type() const noexcept { return type_; }
  const Node *tree() const noexcept { return reinterpret_cast<const Node *>(state_->expr); } // as planned

private:
  Bindings *bindings_;
  ExprState *state_ = nullptr;
  Oid type_ = InvalidOid;
};

// Grows whenever a function or type changes: expressions that use other people's are made anew then.
std::uint64_t function_changes();

// The type a name stands for, as format_type spelled it; an unknown one is an error.
Oid type_named(const std::string &name);

} // namespace cdp::pg
