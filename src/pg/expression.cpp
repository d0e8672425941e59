#include "pg/expression.hpp"

extern "C" {
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/analyze.h"
#include "parser/parse_node.h"
#include "parser/parse_param.h"
#include "parser/parse_type.h"
#include "parser/parser.h"
#include "utils/inval.h"
#include "utils/syscache.h"
}
#undef printf
#undef snprintf

namespace cdp::pg {

Bindings::Bindings(const std::vector<Oid> &types) : types_(types) {
  const int count = static_cast<int>(types.size());
  memory_ =
      call([] { return AllocSetContextCreate(TopMemoryContext, "cdp expressions", ALLOCSET_DEFAULT_SIZES); });
  call([&] {
    MemoryContext before = MemoryContextSwitchTo(memory_);
    params_ = makeParamList(count);
    context_ = CreateStandaloneExprContext();
    context_->ecxt_param_list_info = params_;
    for (int i = 0; i < count; ++i) {
      params_->params[i].ptype = types[static_cast<std::size_t>(i)];
      params_->params[i].pflags = 0;
      params_->params[i].isnull = true;
    }
    MemoryContextSwitchTo(before);
  });
}

Bindings::~Bindings() {
  MemoryContextDelete(memory_);
}

void Bindings::reset() {
  ResetExprContext(context_);
}

Expression::Expression(const std::string &sql, Bindings &bindings) : bindings_(&bindings) {
  const std::string text = "SELECT " + sql;
  auto types = bindings.types_;
  call([&] {
    MemoryContext before = MemoryContextSwitchTo(bindings.memory_);
    ParseState *parse = make_parsestate(nullptr);
    parse->p_sourcetext = pstrdup(text.c_str());
    auto *oids = static_cast<Oid *>(palloc(sizeof(Oid) * std::max<std::size_t>(types.size(), 1)));
    std::copy(types.begin(), types.end(), oids);
    setup_parse_fixed_parameters(parse, oids, static_cast<int>(types.size()));
    auto *raw = linitial_node(RawStmt, raw_parser(parse->p_sourcetext, RAW_PARSE_DEFAULT));
    Query *query = transformTopLevelStmt(parse, raw);
    Expr *planned = expression_planner(linitial_node(TargetEntry, query->targetList)->expr);
    type_ = exprType(reinterpret_cast<Node *>(planned));
    state_ = ExecInitExprWithParams(planned, bindings.params_);
    free_parsestate(parse);
    MemoryContextSwitchTo(before);
  });
}

std::uint64_t function_changes() {
  static std::uint64_t changes = 0;
  static const bool listening = call([] {
    for (int cache : {PROCOID, TYPEOID})
      CacheRegisterSyscacheCallback(
          cache, [](Datum, int, uint32) { ++changes; }, 0);
    return true;
  });
  (void)listening;
  return changes;
}

Oid type_named(const std::string &name) {
  return call([&] {
    Oid type;
    int32 modifier;
    parseTypeString(name.c_str(), &type, &modifier, 0);
    return type;
  });
}

} // namespace cdp::pg
