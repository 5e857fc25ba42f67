// SPDX-License-Identifier: Apache-2.0
#include "core/engine/prefix_cache.h"

#include <gmock/gmock.h>

namespace lamina {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// `pages` of tokens, those from page `other` on of another text.
std::vector<int32_t> text(int32_t pages, int32_t other = 100) {
  std::vector<int32_t> tokens;
  for (int32_t i = 0; i < pages * kPageSize; ++i) tokens.push_back(i + (i / kPageSize >= other ? 7 : 0));
  return tokens;
}

class PrefixCacheTest : public ::testing::Test {
 protected:
  // A table of n new pages, whose text is kept and which is then let go, or not.
  KvPages keep(PrefixCache& cache, const std::vector<int32_t>& tokens) {
    KvPages table(&pool_);
    EXPECT_TRUE(table.reserve(static_cast<int32_t>(tokens.size())));
    cache.insert(tokens, table.pages());
    return table;
  }
  static std::vector<int32_t> found(PrefixCache& cache, const std::vector<int32_t>& tokens) {
    const auto pages = cache.find(tokens);
    return {pages.begin(), pages.end()};
  }

  KvPool pool_{8};
};

TEST_F(PrefixCacheTest, FindsTheLongestBeginningOfWholePages) {
  PrefixCache cache(&pool_);
  const auto kept = keep(cache, text(3));
  EXPECT_THAT(found(cache, text(3)), ElementsAre(0, 1, 2));
  EXPECT_THAT(found(cache, text(5)), ElementsAre(0, 1, 2));
  auto part = text(3);
  part.pop_back();
  EXPECT_THAT(found(cache, part), ElementsAre(0, 1));
  EXPECT_THAT(found(cache, text(3, 1)), ElementsAre(0));
  EXPECT_THAT(found(cache, text(3, 0)), IsEmpty());
  part.erase(part.begin(), part.begin() + kPageSize);  // the second page's text, first
  EXPECT_THAT(found(cache, part), IsEmpty());
}

TEST_F(PrefixCacheTest, BranchesShareTheirStem) {
  PrefixCache cache(&pool_);
  keep(cache, text(2));
  KvPages other(&pool_);
  for (int32_t page : cache.find(text(1))) other.append_shared(page);
  ASSERT_TRUE(other.reserve(2 * kPageSize));
  cache.insert(text(2, 1), other.pages());
  EXPECT_EQ(cache.n_pages(), 3);
  EXPECT_THAT(found(cache, text(2)), ElementsAre(0, 1));
  EXPECT_THAT(found(cache, text(2, 1)), ElementsAre(0, 2));
}

TEST_F(PrefixCacheTest, EqualHashesOfUnequalTextsAreNotMixedUp) {
  for (uint64_t mask : {uint64_t{0}, uint64_t{1}, uint64_t{3}}) {
    PrefixCache cache(&pool_, mask);
    for (int32_t other : {0, 1, 2, 100}) keep(cache, text(3, other));
    for (int32_t other : {0, 1, 2, 3, 100}) {
      const auto pages = found(cache, text(4, other));
      EXPECT_LE(pages.size(), 3u);
      EXPECT_EQ(pages.empty(), other == 0 ? false : mask == 0 || pages.empty());
    }
    cache.clear();
    EXPECT_EQ(pool_.n_free(), 8);
  }
}

TEST_F(PrefixCacheTest, EvictsWhatWasUsedLeastRecentlyAndEndsBeforeBeginnings) {
  PrefixCache cache(&pool_);
  keep(cache, text(2));
  const auto pages = keep(cache, text(2, 0));  // owned by somebody, too
  keep(cache, text(1, 50));                    // the first text again: used
  EXPECT_EQ(cache.n_pages(), 4);
  EXPECT_EQ(cache.n_evictable(), 2);
  EXPECT_TRUE(cache.evict());
  EXPECT_THAT(found(cache, text(2)), ElementsAre(0));
  EXPECT_TRUE(cache.evict());
  EXPECT_THAT(found(cache, text(2)), IsEmpty());
  EXPECT_FALSE(cache.evict()) << "the rest is in use";
  EXPECT_THAT(found(cache, text(2, 0)), ElementsAre(2, 3));
}

TEST_F(PrefixCacheTest, GivesWayToAllocations) {
  PrefixCache cache(&pool_);
  pool_.set_reclaim([&] { return cache.evict(); });
  keep(cache, text(8));
  EXPECT_EQ(pool_.n_free(), 0);
  KvPages table(&pool_);
  ASSERT_TRUE(table.reserve(3 * kPageSize));
  EXPECT_EQ(found(cache, text(8)).size(), 5u);
  EXPECT_FALSE(table.reserve(9 * kPageSize));
  EXPECT_EQ(table.pages().size(), 3u);
}

TEST_F(PrefixCacheTest, AnotherTakesWhatWasUsedLast) {
  PrefixCache cache(&pool_);
  keep(cache, text(3));
  keep(cache, text(3, 0));
  cache.find(text(2));  // the most recent two pages
  KvPool pool(4);
  PrefixCache other(&pool);
  std::vector<int32_t> copied;
  other.take(cache, [&](int32_t page) {
    copied.push_back(page);
    return pool.allocate();  // four times
  });
  EXPECT_THAT(copied, ElementsAre(0, 1, 3, 4, 5));
  EXPECT_EQ(found(other, text(3)).size(), 2u);
  EXPECT_EQ(found(other, text(3, 0)).size(), 2u);
  EXPECT_EQ(other.n_evictable(), 4);
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(other.evict());
  EXPECT_EQ(pool.n_free(), 4);
  EXPECT_EQ(found(cache, text(3)).size(), 3u) << "the other one keeps its own";
}

}  // namespace
}  // namespace lamina
