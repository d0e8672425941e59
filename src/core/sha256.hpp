// SHA-256 (FIPS 180-4) for hashes of many short texts: libraries spend more on a context than a text takes.
// Uses the processor's instructions where there are any.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace cdp::core {

class Sha256 {
public:
  using Digest = std::array<unsigned char, 32>;

  void add(const void *bytes, std::size_t size) {
    if (size < kBlock - used_) {
      std::memcpy(block_ + used_, bytes, size);
      used_ += size;
      length_ += size;
    } else {
      add_long(static_cast<const unsigned char *>(bytes), size);
    }
  }
  Digest finish(); // nothing may follow

private:
  static constexpr std::size_t kBlock = 64;

  void add_long(const unsigned char *bytes, std::size_t size);

  std::array<std::uint32_t, 8> state_{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  unsigned char block_[kBlock];
  std::size_t used_ = 0;
  std::uint64_t length_ = 0;
};

namespace detail {
/// Without the processor's instructions, for tests to hold the two against each other.
void sha256_blocks_portable(std::array<std::uint32_t, 8> &state, const unsigned char *bytes,
                            std::size_t blocks);
void sha256_blocks(std::array<std::uint32_t, 8> &state, const unsigned char *bytes, std::size_t blocks);
} // namespace detail

} // namespace cdp::core
