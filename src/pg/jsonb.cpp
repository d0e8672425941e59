#include "pg/jsonb.hpp"

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
  const auto digest = hash_.finish();
  pg_uuid_t result;
  memcpy(result.data, digest.data(), UUID_LEN);
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
