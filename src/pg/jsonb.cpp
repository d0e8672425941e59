#include "pg/jsonb.hpp"

extern "C" {
#include "common/cryptohash.h"
#include "common/sha2.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
}

namespace cdp::pg {

void *parse_jsonb(const std::string &text) {
  if (text.empty())
    return nullptr;
  return call([&] { return DatumGetPointer(DirectFunctionCall1(jsonb_in, CStringGetDatum(text.c_str()))); });
}

std::string_view jsonb_text(void *jsonb) {
  if (!jsonb)
    return {};
  auto *value = static_cast<Jsonb *>(jsonb);
  return call([&] {
    StringInfoData out;
    initStringInfo(&out);
    (void)JsonbToCString(&out, &value->root, static_cast<int>(VARSIZE(value)));
    return std::string_view(out.data, static_cast<std::size_t>(out.len));
  });
}

static void must(bool ok) {
  if (!ok)
    throw Error(ERRCODE_INTERNAL_ERROR, "SHA-256 failed");
}

ContentHash::ContentHash() {
  context_ = call([] { return pg_cryptohash_create(PG_SHA256); });
  must(context_ && pg_cryptohash_init(static_cast<pg_cryptohash_ctx *>(context_)) == 0);
}

ContentHash::~ContentHash() {
  pg_cryptohash_free(static_cast<pg_cryptohash_ctx *>(context_));
}

ContentHash &ContentHash::add(std::string_view part) {
  add(static_cast<std::int64_t>(part.size()));
  add_bytes(part.data(), part.size());
  return *this;
}

void ContentHash::add_bytes(const void *bytes, std::size_t size) {
  must(pg_cryptohash_update(static_cast<pg_cryptohash_ctx *>(context_), static_cast<const uint8 *>(bytes),
                            size) == 0);
}

ContentHash &ContentHash::add(std::int64_t part) {
  uint8 bytes[8];
  for (int i = 0; i < 8; ++i)
    bytes[i] = static_cast<uint8>(static_cast<std::uint64_t>(part) >> (8 * i)); // the same on every machine
  add_bytes(bytes, sizeof bytes);
  return *this;
}

pg_uuid_t ContentHash::finish() {
  uint8 digest[PG_SHA256_DIGEST_LENGTH];
  must(pg_cryptohash_final(static_cast<pg_cryptohash_ctx *>(context_), digest, sizeof digest) == 0);
  pg_uuid_t result;
  memcpy(result.data, digest, UUID_LEN);
  return result;
}

std::string uuid_text(const pg_uuid_t &value) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string out;
  for (unsigned char byte : value.data) {
    out += digits[byte >> 4];
    out += digits[byte & 15];
  }
  return out;
}

pg_uuid_t hash_text(std::string_view text) {
  ContentHash hash;
  hash.add_bytes(text.data(), text.size());
  return hash.finish();
}

} // namespace cdp::pg
