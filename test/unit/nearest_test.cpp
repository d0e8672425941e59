#include "core/nearest.hpp"

#include <gtest/gtest.h>

using cdp::core::misspelling;
using cdp::core::nearest;

TEST(Nearest, CountsWhatIsWrong) {
  EXPECT_EQ(misspelling("", ""), 0u);
  EXPECT_EQ(misspelling("", "abc"), 3u);
  EXPECT_EQ(misspelling("Product Added", "product added"), 0u);
  EXPECT_EQ(misspelling("Product Aded", "Product Added"), 1u);
  EXPECT_EQ(misspelling("Prodcut", "Product"), 1u);
  EXPECT_EQ(misspelling("kitten", "sitting"), 3u);
}

TEST(Nearest, FindsWhatWasMeant) {
  EXPECT_EQ(nearest("Ordr Completed", {"Order Cancelled", "Order Completed"}), "Order Completed");
  EXPECT_EQ(nearest("country", {"email", "plan"}), std::nullopt);
  EXPECT_EQ(nearest("x", {}), std::nullopt);
  EXPECT_EQ(nearest("Project Created", {"Product Removed", "Product Added"}), std::nullopt);
  EXPECT_EQ(nearest("abc", {"abd", "abe"}), "abd");
  EXPECT_EQ(nearest("ab", {"ac", "AB"}), "AB");
}
