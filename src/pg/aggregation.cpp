#include "pg/aggregation.hpp"

extern "C" {
#include "catalog/pg_aggregate.h"
#include "catalog/pg_collation.h"
#include "nodes/execnodes.h"
#include "parser/parse_agg.h"
#include "utils/datum.h"
#include "utils/regproc.h"
#include "utils/syscache.h"
}

namespace cdp::pg {

namespace {

FmgrInfo *prepared(Oid function, Expr *called_as) {
  auto *made = static_cast<FmgrInfo *>(palloc0(sizeof(FmgrInfo)));
  fmgr_info(function, made);
  fmgr_info_set_expr(reinterpret_cast<Node *>(called_as), made);
  return made;
}

} // namespace

Aggregation::Aggregation(const std::string &name, Oid argument, Oid result) {
  call([&] {
    MemoryContext before = MemoryContextSwitchTo(TopMemoryContext);
    const Oid function = DatumGetObjectId(DirectFunctionCall1(regprocedurein, CStringGetDatum(name.c_str())));
    const AclResult may = pg_proc_aclcheck(function, GetUserId(), ACL_EXECUTE);
    if (may != ACLCHECK_OK)
      aclcheck_error(may, OBJECT_AGGREGATE, get_func_name(function));
    prepare(function, argument, result);
    context_ = makeNode(ExprContext);
    as_called_ = makeNode(AggState);
    as_called_->curaggcontext = context_;
    MemoryContextSwitchTo(before);
  });
}

// As nodeAgg.c does it.
void Aggregation::prepare(Oid function, Oid argument, Oid result) {
  HeapTuple found = SearchSysCache1(AGGFNOID, ObjectIdGetDatum(function));
  if (!HeapTupleIsValid(found))
    elog(ERROR, "cache lookup failed for aggregate %u", function);
  const auto *row = reinterpret_cast<Form_pg_aggregate>(GETSTRUCT(found));
  const Oid state = resolve_aggregate_transtype(function, row->aggtranstype, &argument, 1);
  get_typlenbyval(state, &state_length_, &state_by_value_);
  Expr *called_as = nullptr;
  build_aggregate_transfn_expr(&argument, 1, 0, false, state, DEFAULT_COLLATION_OID, row->aggtransfn,
                               InvalidOid, &called_as, nullptr);
  add_ = prepared(row->aggtransfn, called_as);
  if (OidIsValid(row->aggfinalfn)) {
    finish_arguments_ = row->aggfinalextra ? 2 : 1;
    build_aggregate_finalfn_expr(&argument, finish_arguments_, state, result, DEFAULT_COLLATION_OID,
                                 row->aggfinalfn, &called_as);
    finish_ = prepared(row->aggfinalfn, called_as);
  }
  bool is_null;
  const Datum start = SysCacheGetAttr(AGGFNOID, found, Anum_pg_aggregate_agginitval, &is_null);
  if (!is_null) {
    Oid input, parameter;
    getTypeInputInfo(state, &input, &parameter);
    initial_ = {OidInputFunctionCall(input, TextDatumGetCString(start), parameter, -1), false};
  }
  first_is_state_ = add_->fn_strict && is_null;
  ReleaseSysCache(found);
}

void Aggregation::add(const Value &value) {
  if (add_->fn_strict && value.is_null)
    return;
  if (first_is_state_ && state_.is_null) {
    state_ = {datumCopy(value.datum, state_by_value_, state_length_), false};
    return;
  }
  LOCAL_FCINFO(called, 2);
  InitFunctionCallInfoData(*called, add_, 2, DEFAULT_COLLATION_OID, reinterpret_cast<Node *>(as_called_),
                           nullptr);
  called->args[0] = {state_.datum, state_.is_null};
  called->args[1] = {value.datum, value.is_null};
  state_.datum = FunctionCallInvoke(called);
  state_.is_null = called->isnull;
}

Aggregation::Value Aggregation::over(std::span<const Value> values, MemoryContext memory) {
  MemoryContext before = MemoryContextSwitchTo(memory);
  context_->ecxt_per_tuple_memory = memory;
  state_ = initial_;
  if (!initial_.is_null) // which may be changed in place
    state_.datum = datumCopy(initial_.datum, state_by_value_, state_length_);
  for (const auto &value : values)
    add(value);
  auto result = state_;
  if (finish_) {
    LOCAL_FCINFO(called, 2);
    InitFunctionCallInfoData(*called, finish_, finish_arguments_, DEFAULT_COLLATION_OID,
                             reinterpret_cast<Node *>(as_called_), nullptr);
    called->args[0] = {state_.datum, state_.is_null};
    called->args[1] = {0, true};
    const bool unknown = finish_->fn_strict && (state_.is_null || finish_arguments_ > 1);
    result.datum = unknown ? 0 : FunctionCallInvoke(called);
    result.is_null = unknown || called->isnull;
  }
  MemoryContextSwitchTo(before);
  return result;
}

} // namespace cdp::pg
