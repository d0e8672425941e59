// People whose messages are kept out: only keyed hashes of their identifiers are known.
#include <map>

#include "collect/candidate.hpp"
#include "pg/function.hpp"
#include "pg/keyed_hash.hpp"

namespace cdp::collect {

namespace {

std::string hash_of(const std::string &secret, const Name &name) {
  std::string text = "suppress";
  text.push_back('\0');
  text.append(name.first).push_back('\0');
  return pg::hmac_sha256(secret, text.append(name.second));
}

} // namespace

void suppress(std::vector<Candidate> &candidates, const std::vector<std::vector<Name>> &names) {
  static pg::Statement select("SELECT hash, suppression_id FROM cdp_internal.suppressions "
                              "WHERE hash = ANY ($1) AND lifted_at IS NULL",
                              pg::few_keys);
  const auto secret = privacy_secret();
  std::map<Name, std::string> hashes;
  for (const auto &of_one : names)
    for (const auto &name : of_one)
      if (auto [place, is_new] = hashes.try_emplace(name); is_new)
        place->second = hash_of(secret, name);
  if (hashes.empty())
    return;
  std::vector<std::string> asked;
  for (const auto &[name, hash] : hashes)
    asked.push_back(hash);
  std::map<std::string, std::int64_t> suppressed;
  {
    auto rows = select.run(pg::Params().byteas(asked));
    for (std::size_t i = 0; i < rows.size(); ++i)
      suppressed.emplace(rows.bytes(i, 1), rows.bigint(i, 2));
  }
  for (std::size_t i = 0; i < candidates.size() && !suppressed.empty(); ++i)
    for (const auto &name : names[i])
      if (const auto found = suppressed.find(hashes.at(name)); found != suppressed.end()) {
        candidates[i].fate = Fate::suppressed;
        candidates[i].suppression_id = found->second;
        break;
      }
}

} // namespace cdp::collect

// cdp_internal.suppression_hash(type text, value text): of a normal value.
CDP_FUNCTION(cdp_suppression_hash) {
  using namespace cdp;
  pg::Session session;
  const auto hash = collect::hash_of(collect::privacy_secret(),
                                     {pg::text_argument(fcinfo, 0), pg::text_argument(fcinfo, 1)});
  return pg::call([&] {
    auto *result = static_cast<bytea *>(SPI_palloc(VARHDRSZ + hash.size()));
    SET_VARSIZE(result, VARHDRSZ + hash.size());
    memcpy(VARDATA(result), hash.data(), hash.size());
    return PointerGetDatum(result);
  });
}
