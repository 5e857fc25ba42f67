// SPDX-License-Identifier: Apache-2.0
#include "core/engine/kv_pool.h"

#include <gtest/gtest.h>

namespace lamina {
namespace {

TEST(KvPool, GivesLowestPageFirstAndReportsExhaustion) {
  KvPool pool(3);
  EXPECT_EQ(*pool.allocate(), 0);
  EXPECT_EQ(*pool.allocate(), 1);
  EXPECT_EQ(*pool.allocate(), 2);
  const auto none = pool.allocate();
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, Code::kResourceExhausted);
  pool.release(2);
  pool.release(0);
  EXPECT_EQ(*pool.allocate(), 0);
}

TEST(KvPages, ReserveIsAllOrNothing) {
  KvPool pool(3);
  KvPages pages(&pool);
  ASSERT_TRUE(pages.reserve(65));
  EXPECT_EQ(pages.pages().size(), 2u);
  EXPECT_FALSE(pages.reserve(4 * kPageSize));
  EXPECT_EQ(pages.pages().size(), 2u);
  EXPECT_EQ(pool.n_free(), 1);
}

TEST(KvPages, PageBoundaryIsExact) {
  KvPool pool(4);
  KvPages pages(&pool);
  ASSERT_TRUE(pages.reserve(0));
  EXPECT_EQ(pages.pages().size(), 0u);
  ASSERT_TRUE(pages.reserve(kPageSize));
  EXPECT_EQ(pages.pages().size(), 1u);
  ASSERT_TRUE(pages.reserve(kPageSize + 1));
  EXPECT_EQ(pages.pages().size(), 2u);
}

TEST(KvPages, SharedPagesLiveUntilTheLastOwner) {
  KvPool pool(4);
  KvPages a(&pool);
  ASSERT_TRUE(a.reserve(3 * kPageSize));
  {
    KvPages b = a.share(2);
    EXPECT_TRUE(pool.shared(a.pages()[1]));
    EXPECT_FALSE(pool.shared(a.pages()[2]));
    a.truncate(0);
    EXPECT_EQ(pool.n_free(), 2);
    EXPECT_EQ(b.pages().size(), 2u);
  }
  EXPECT_EQ(pool.n_free(), 4);
}

TEST(KvPages, EraseMovesLaterEntriesDown) {
  KvPool pool(4);
  KvPages a(&pool);
  ASSERT_TRUE(a.reserve(3 * kPageSize));
  a.erase(1);
  ASSERT_EQ(a.pages().size(), 2u);
  EXPECT_EQ(a.pages()[1], 2);
  EXPECT_EQ(pool.n_free(), 2);
}

}  // namespace
}  // namespace lamina
