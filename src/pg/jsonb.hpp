// JSON text to jsonb and back, and hashes of content. Results live in the current memory context; may throw
// PgError.
#pragma once
#include "pg/guard.hpp"

struct evp_md_ctx_st; // OpenSSL's

namespace cdp::pg {

// nullptr for an empty text, which stands for SQL NULL.
void *parse_jsonb(const std::string &text);

// jsonb's own spelling: the same content gives the same text, whatever its spaces and key order were.
// The view lives as long as the memory context; empty for nullptr.
std::string_view jsonb_text(void *jsonb);

// A jsonb to keep, from its content without a length, as Cells::text and Rows::view give it; and its text.
std::string keep_jsonb(std::string_view content);
std::string text_of_kept(std::string &kept);

// Collects the parts of a content and gives the first 128 bits of the SHA-256 over them; lengths are hashed
// too, so that no part runs into the next.
class ContentHash {
public:
  ContentHash();
  ~ContentHash();
  ContentHash(const ContentHash &) = delete;
  ContentHash &operator=(const ContentHash &) = delete;

  ContentHash &add(std::string_view part);
  ContentHash &add(std::int64_t part);
  void add_bytes(const void *bytes, std::size_t size); // as they are, without their length
  pg_uuid_t finish();

private:
  ::evp_md_ctx_st *context_;
};

// First 128 bits of the SHA-256 of the text itself, as sha256(convert_to(text, 'UTF8')) gives in SQL.
pg_uuid_t hash_text(std::string_view text);

// As 32 hexadecimal digits, which is a spelling of a uuid, too.
std::string uuid_text(const pg_uuid_t &value);

inline bool operator==(const pg_uuid_t &a, const pg_uuid_t &b) {
  return memcmp(a.data, b.data, UUID_LEN) == 0;
}
inline bool operator<(const pg_uuid_t &a, const pg_uuid_t &b) {
  return memcmp(a.data, b.data, UUID_LEN) < 0;
}

} // namespace cdp::pg
