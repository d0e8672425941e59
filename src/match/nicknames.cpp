// What a given name may stand for, by the table of nicknames: read once a query, and each name looked up
// once.
#include "core/normalize.hpp"
#include "pg/function.hpp"
#include "pg/spi.hpp"

#include <memory>
#include <set>
#include <unordered_map>

using namespace cdp;

namespace {

struct NameForms {
  std::unordered_multimap<std::string, std::string> names;           // by nickname
  std::unordered_map<std::string, std::optional<std::string>> found; // by what was asked

  void read() {
    static pg::Statement select("SELECT nickname, name FROM cdp.nicknames", pg::Statement::Reads::whatever,
                                pg::callers);
    pg::Session session;
    select.each({}, [&](const pg::Rows &rows) {
      for (std::size_t i = 0; i < rows.size(); ++i)
        names.emplace(rows.text(i, 1), rows.text(i, 2));
    });
  }

  // Each with U+001F behind it, in order; nothing for what is no name.
  std::optional<std::string> forms(const std::string &given) const {
    const auto normal = core::normalize(core::Normalizer::name, given, "");
    const auto *name = std::get_if<core::Normalized>(&normal);
    if (!name)
      return std::nullopt;
    const auto first = name->value.substr(0, name->value.find(' '));
    std::set<std::string> all{name->value, first};
    for (const auto &nickname : {name->value, first})
      for (auto [at, end] = names.equal_range(nickname); at != end; ++at)
        all.insert(at->second);
    std::string listed;
    for (const auto &form : all)
      listed += form + '\x1F';
    return listed;
  }
};

// Kept as long as the call's place in a query, and freed with it.
NameForms &kept_forms(FunctionCallInfo fcinfo) {
  if (auto *kept = static_cast<NameForms *>(fcinfo->flinfo->fn_extra))
    return *kept;
  auto made = std::make_unique<NameForms>();
  made->read();
  pg::call([&] {
    auto *callback = static_cast<MemoryContextCallback *>(
        MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(MemoryContextCallback)));
    callback->func = [](void *forms) { delete static_cast<NameForms *>(forms); };
    callback->arg = made.get();
    MemoryContextRegisterResetCallback(fcinfo->flinfo->fn_mcxt, callback);
  });
  fcinfo->flinfo->fn_extra = made.get();
  return *made.release();
}

} // namespace

// cdp_internal.listed_name_forms(given_name text)
CDP_FUNCTION(cdp_listed_name_forms) {
  constexpr std::size_t kMostKept = 100000;
  auto &kept = kept_forms(fcinfo);
  auto given = pg::text_argument(fcinfo, 0);
  if (kept.found.size() > kMostKept)
    kept.found.clear();
  auto found = kept.found.find(given);
  if (found == kept.found.end()) {
    auto forms = kept.forms(given);
    found = kept.found.emplace(std::move(given), std::move(forms)).first;
  }
  if (!found->second)
    PG_RETURN_NULL();
  return pg::text_result(*found->second);
}
