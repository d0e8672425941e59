#include "pg/keyed_hash.hpp"

extern "C" {
#include "common/cryptohash.h"
#include "common/hmac.h"
#include "common/sha2.h"
}

namespace cdp::pg {

namespace {

const uint8 *bytes_of(std::string_view text) {
  return reinterpret_cast<const uint8 *>(text.data());
}

void must(bool ok) {
  if (!ok)
    throw Error(ERRCODE_INTERNAL_ERROR, "SHA-256 failed");
}

} // namespace

std::string hmac_sha256(std::string_view key, std::string_view text) {
  std::string digest(PG_SHA256_DIGEST_LENGTH, '\0');
  auto *context = call([] { return pg_hmac_create(PG_SHA256); });
  must(context);
  const bool ok = pg_hmac_init(context, bytes_of(key), key.size()) == 0 &&
                  pg_hmac_update(context, bytes_of(text), text.size()) == 0 &&
                  pg_hmac_final(context, reinterpret_cast<uint8 *>(digest.data()), digest.size()) == 0;
  pg_hmac_free(context);
  must(ok);
  return digest;
}

std::string sha256(std::string_view text) {
  std::string digest(PG_SHA256_DIGEST_LENGTH, '\0');
  auto *context = call([] { return pg_cryptohash_create(PG_SHA256); });
  must(context);
  const bool ok = pg_cryptohash_init(context) == 0 &&
                  pg_cryptohash_update(context, bytes_of(text), text.size()) == 0 &&
                  pg_cryptohash_final(context, reinterpret_cast<uint8 *>(digest.data()), digest.size()) == 0;
  pg_cryptohash_free(context);
  must(ok);
  return digest;
}

std::string hex(std::string_view bytes) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string out;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    out += digits[byte >> 4];
    out += digits[byte & 15];
  }
  return out;
}

std::string random_bytes(std::size_t count) {
  std::string bytes(count, '\0');
  if (!pg_strong_random(bytes.data(), count))
    throw Error(ERRCODE_INTERNAL_ERROR, "could not draw random bytes");
  return bytes;
}

bool same_secret(std::string_view a, std::string_view b) {
  unsigned char differs = a.size() != b.size();
  for (std::size_t i = 0; i < a.size() && i < b.size(); ++i)
    differs |= static_cast<unsigned char>(a[i] ^ b[i]);
  return differs == 0;
}

} // namespace cdp::pg
