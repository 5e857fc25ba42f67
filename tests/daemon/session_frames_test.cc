// SPDX-License-Identifier: Apache-2.0
#include "native/daemon/session_frames.h"

#include <gtest/gtest.h>

#include <random>

namespace lamina::daemon {
namespace {

std::vector<std::string> take(SessionFrames& frames, size_t most = SIZE_MAX) {
  std::vector<std::string> out;
  for (SessionFrames::Frame* f; out.size() < most && (f = frames.next()) != nullptr;) {
    out.push_back(f->id + std::to_string(f->seq));
    frames.sent();
  }
  return out;
}

TEST(SessionFrames, TellsAgainWhatDidNotArrive) {
  SessionFrames frames(1 << 20);
  for (int64_t seq = 1; seq <= 3; ++seq) {
    frames.add({"a", seq, "x", {}});
    frames.add({"b", seq, "x", {}});
  }
  EXPECT_EQ(take(frames, 4), (std::vector<std::string>{"a1", "b1", "a2", "b2"}));
  EXPECT_TRUE(frames.rewind({{"a", 2}, {"c", 9}}).empty());
  EXPECT_EQ(take(frames), (std::vector<std::string>{"b1", "b2", "a3", "b3"}));
  EXPECT_FALSE(frames.waiting());
  EXPECT_EQ(frames.waiting_bytes(), 0u);
  EXPECT_TRUE(frames.rewind({{"a", 3}, {"b", 3}}).empty());
  EXPECT_EQ(frames.bytes(), 0u);
}

TEST(SessionFrames, KeepsWhatWasNotSentAndSaysWhatIsGone) {
  SessionFrames frames(4 * (SessionFrames::kOverhead + 2));
  for (int64_t seq = 1; seq <= 8; ++seq) frames.add({"a", seq, "x", {}});
  EXPECT_EQ(take(frames).size(), 8u);  // nothing unsent is dropped, however much it is
  frames.add({"b", 1, "x", {}});
  EXPECT_LE(frames.bytes(), 4 * (SessionFrames::kOverhead + 2));
  EXPECT_EQ(frames.rewind({{"a", 5}}), std::vector<std::string>());
  EXPECT_EQ(take(frames), (std::vector<std::string>{"a6", "a7", "a8", "b1"}));
  EXPECT_EQ(frames.rewind({{"a", 4}}), std::vector<std::string>{"a"});
  EXPECT_EQ(take(frames), (std::vector<std::string>{"b1"}));
}

// Random traffic, cuts and resumes: what a client hears is whole and in order.
TEST(SessionFrames, LosesAndDoublesNothing) {
  std::mt19937 random(7);
  for (int round = 0; round < 50; ++round) {
    SessionFrames frames(1 << 20);
    std::map<std::string, int64_t> said, heard;
    for (int step = 0; step < 400; ++step) {
      const std::string id(1, static_cast<char>('a' + random() % 3));
      switch (random() % 4) {
        case 0:
        case 1:
          frames.add({id, ++said[id], "x", {}});
          break;
        case 2:
          if (SessionFrames::Frame* f = frames.next()) {
            const bool lost = random() % 8 == 0;  // the connection was cut with this on its way
            if (!lost) {
              ASSERT_EQ(f->seq, ++heard[f->id]);
            }
            frames.sent();
            if (lost) {
              ASSERT_TRUE(frames.rewind(heard).empty());
            }
          }
          break;
        default:
          if (random() % 16 == 0) {
            ASSERT_TRUE(frames.rewind(heard).empty());
          }
      }
    }
    ASSERT_TRUE(frames.rewind(heard).empty());
    while (SessionFrames::Frame* f = frames.next()) {
      ASSERT_EQ(f->seq, ++heard[f->id]);
      frames.sent();
    }
    EXPECT_EQ(heard, said);
  }
}

}  // namespace
}  // namespace lamina::daemon
