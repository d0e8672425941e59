#include "sha256.hpp"

#include <gtest/gtest.h>
#include <random>
#include <string>

namespace cdp::core {
namespace {

std::string hex(const Sha256::Digest &digest) {
  std::string text;
  for (const auto byte : digest)
    for (const auto half : {byte >> 4, byte & 15})
      text += "0123456789abcdef"[half];
  return text;
}

std::string digest_of(const std::string &text) {
  Sha256 hash;
  hash.add(text.data(), text.size());
  return hex(hash.finish());
}

TEST(Sha256, TheStandardsExamples) {
  EXPECT_EQ(digest_of(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(digest_of("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(digest_of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(digest_of(std::string(1'000'000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, InPiecesAsInOne) {
  std::mt19937 random(1);
  for (int run = 0; run < 2000; ++run) {
    std::string text(random() % 400, '\0');
    for (auto &c : text)
      c = static_cast<char>(random());
    Sha256 hash;
    for (std::size_t from = 0; from < text.size();) {
      const auto size = std::min<std::size_t>(text.size() - from, random() % 150);
      hash.add(text.data() + from, size);
      from += size;
    }
    EXPECT_EQ(hex(hash.finish()), digest_of(text));
  }
}

TEST(Sha256, ProcessorsInstructionsSayTheSame) {
  std::mt19937 random(2);
  for (int run = 0; run < 1000; ++run) {
    std::array<std::uint32_t, 8> one;
    for (auto &word : one)
      word = static_cast<std::uint32_t>(random());
    auto other = one;
    unsigned char bytes[192];
    for (auto &byte : bytes)
      byte = static_cast<unsigned char>(random());
    const auto blocks = random() % 4;
    detail::sha256_blocks(one, bytes, blocks);
    detail::sha256_blocks_portable(other, bytes, blocks);
    EXPECT_EQ(one, other);
  }
}

} // namespace
} // namespace cdp::core
