// Hashes that only this database can make, and secrets. May throw PgError.
#pragma once
#include "pg/guard.hpp"

namespace cdp::pg {

// The 32 bytes of an HMAC-SHA-256, and of a plain SHA-256.
std::string hmac_sha256(std::string_view key, std::string_view text);
std::string sha256(std::string_view text);

std::string hex(std::string_view bytes);

// So many random bytes, fit for a secret.
std::string random_bytes(std::size_t count);

// Takes as long whatever the texts are; of the same length.
bool same_secret(std::string_view a, std::string_view b);

} // namespace cdp::pg
