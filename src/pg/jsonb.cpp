#include "pg/jsonb.hpp"

#include <vector>

#include <openssl/evp.h>

extern "C" {
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

std::string keep_jsonb(std::string_view content) {
  std::string kept(VARHDRSZ, '\0');
  kept.append(content);
  SET_VARSIZE(kept.data(), kept.size());
  return kept;
}

std::string text_of_kept(std::string &kept) {
  const auto made = jsonb_text(kept.data());
  std::string text(made);
  call([&] { pfree(const_cast<char *>(made.data())); });
  return text;
}

namespace {

void must(bool ok) {
  if (!ok)
    throw Error(ERRCODE_INTERNAL_ERROR, "SHA-256 failed");
}

// Contexts that nobody uses: making one, and finding the algorithm, takes longer than to hash a message.
auto &idle = *new std::vector<EVP_MD_CTX *>;

const EVP_MD *sha256() {
  static EVP_MD *const found = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  must(found != nullptr);
  return found;
}

} // namespace

ContentHash::ContentHash() : context_(idle.empty() ? EVP_MD_CTX_new() : idle.back()) {
  if (!idle.empty())
    idle.pop_back();
  must(context_ && EVP_DigestInit_ex(context_, sha256(), nullptr) == 1);
}

ContentHash::~ContentHash() {
  idle.push_back(context_);
}

void ContentHash::add_bytes(const void *bytes, std::size_t size) {
  must(EVP_DigestUpdate(context_, bytes, size) == 1);
}

ContentHash &ContentHash::add(std::string_view part) {
  add(static_cast<std::int64_t>(part.size()));
  add_bytes(part.data(), part.size());
  return *this;
}

ContentHash &ContentHash::add(std::int64_t part) {
  uint8 bytes[8];
  for (int i = 0; i < 8; ++i)
    bytes[i] = static_cast<uint8>(static_cast<std::uint64_t>(part) >> (8 * i)); // the same on every machine
  add_bytes(bytes, sizeof bytes);
  return *this;
}

pg_uuid_t ContentHash::finish() {
  unsigned char digest[EVP_MAX_MD_SIZE];
  must(EVP_DigestFinal_ex(context_, digest, nullptr) == 1);
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
