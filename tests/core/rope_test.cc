// SPDX-License-Identifier: Apache-2.0
// Expected values: the formulas of transformers 5, modeling_rope_utils.py, computed by numpy in
// float32 (whose pow may differ from ours by an ulp).
#include <gtest/gtest.h>

#include <cmath>

#include "core/model/config.h"

namespace lamina {
namespace {

struct Point {
  size_t index;
  float value;
};

ModelConfig config(int32_t head_dim, double theta, int32_t positions) {
  ModelConfig c;
  c.head_dim = head_dim;
  c.rope_theta = theta;
  c.max_positions = positions;
  return c;
}

void expect_points(const RopeFrequencies& got, std::initializer_list<Point> want) {
  for (const Point& p : want) {
    EXPECT_NEAR(got.inv_freq[p.index], p.value, std::fabs(p.value) * 4e-7f) << "index " << p.index;
  }
}

TEST(Rope, Default) {
  const auto f = rope_frequencies(config(64, 10000, 2048), 2048);
  ASSERT_EQ(f.inv_freq.size(), 32u);
  EXPECT_EQ(f.attention_factor, 1.0f);
  expect_points(f, {{0, 1.0f},
                    {1, 0.749894202f},
                    {5, 0.237137392f},
                    {16, 0.00999999978f},
                    {31, 0.00013335215f}});
  expect_points(
      rope_frequencies(config(80, 500000, 2048), 2048),
      {{1, 0.720320463f}, {5, 0.193922758f}, {16, 0.00525305513f}, {39, 2.77654112e-06f}});
}

TEST(Rope, Linear) {
  ModelConfig c = config(64, 10000, 2048);
  c.rope.type = RopeType::kLinear;
  c.rope.factor = 4;
  expect_points(rope_frequencies(c, 2048), {{0, 0.25f},
                                            {1, 0.18747355f},
                                            {5, 0.059284348f},
                                            {16, 0.00249999994f},
                                            {31, 3.33380376e-05f}});
}

TEST(Rope, DynamicTakesItsBaseFromTheContext) {
  ModelConfig c = config(64, 10000, 2048);
  c.rope.type = RopeType::kDynamic;
  c.rope.factor = 2;
  expect_points(
      rope_frequencies(c, 8192),
      {{0, 1.0f}, {1, 0.70426935f}, {5, 0.17325823f}, {16, 0.00366286072f}, {31, 1.90503069e-05f}});
  expect_points(rope_frequencies(c, 100), {{1, 0.749894202f}, {31, 0.00013335215f}});
}

TEST(Rope, Llama3) {
  ModelConfig c = config(128, 500000, 131072);
  c.rope = {.type = RopeType::kLlama3,
            .factor = 8,
            .low_freq_factor = 1,
            .high_freq_factor = 4,
            .original_max_positions = 8192};
  expect_points(rope_frequencies(c, 4096), {{0, 1.0f},
                                            {1, 0.814617217f},
                                            {28, 0.00321144611f},
                                            {29, 0.00216657063f},
                                            {30, 0.00137189368f},
                                            {32, 0.000524846022f},
                                            {34, 0.000178507791f},
                                            {35, 9.5562129e-05f},
                                            {36, 7.78465546e-05f},
                                            {40, 3.42810235e-05f},
                                            {63, 3.06892588e-07f}});
  c.head_dim = 64;
  c.rope.factor = 32;
  expect_points(rope_frequencies(c, 4096), {{1, 0.66360122f},
                                            {14, 0.00321144611f},
                                            {15, 0.00129054801f},
                                            {16, 0.000429556705f},
                                            {17, 9.70828623e-05f},
                                            {18, 1.94616387e-05f},
                                            {20, 8.57025589e-06f},
                                            {31, 9.4183072e-08f}});
}

TEST(Rope, Yarn) {
  ModelConfig c = config(64, 10000, 163840);
  c.rope = {.type = RopeType::kYarn, .factor = 40, .original_max_positions = 4096};
  const auto f = rope_frequencies(c, 4096);
  expect_points(f, {{0, 1.0f},
                    {9, 0.0749894157f},
                    {10, 0.0562341288f},
                    {11, 0.0390069261f},
                    {13, 0.0183781441f},
                    {16, 0.00550000044f},
                    {20, 0.000790569407f},
                    {22, 0.00017782794f},
                    {23, 3.3338034e-05f},
                    {24, 2.49999994e-05f},
                    {31, 3.33380353e-06f}});
  EXPECT_FLOAT_EQ(f.attention_factor, 1.3688879454113936f);
}

TEST(Rope, YarnOptions) {
  ModelConfig c = config(64, 10000, 163840);
  c.rope = {.type = RopeType::kYarn,
            .factor = 40,
            .original_max_positions = 4096,
            .mscale = 1.0,
            .mscale_all_dim = 0.8};
  EXPECT_FLOAT_EQ(rope_frequencies(c, 1).attention_factor, 1.0569662567531275f);
  c.rope.attention_factor = 1.25;
  EXPECT_FLOAT_EQ(rope_frequencies(c, 1).attention_factor, 1.25f);
  c.rope.truncate = false;
  expect_points(rope_frequencies(c, 1), {{10, 0.0562341288f},
                                         {11, 0.0403675847f},
                                         {13, 0.0188600607f},
                                         {16, 0.00552406255f},
                                         {20, 0.000722638157f},
                                         {22, 0.000118387645f},
                                         {23, 3.3338034e-05f}});
}

TEST(Rope, OriginalLengthDefaultsToMaxPositions) {
  ModelConfig c = config(64, 10000, 4096);
  c.rope = {.type = RopeType::kYarn, .factor = 40};
  ModelConfig d = config(64, 10000, 163840);
  d.rope = {.type = RopeType::kYarn, .factor = 40, .original_max_positions = 4096};
  EXPECT_EQ(rope_frequencies(c, 1).inv_freq, rope_frequencies(d, 1).inv_freq);
}

TEST(Rope, FillRoundsTheAngleToFloat) {
  ModelConfig c = config(128, 500000, 131072);
  c.rope = {.type = RopeType::kLlama3,
            .factor = 8,
            .low_freq_factor = 1,
            .high_freq_factor = 4,
            .original_max_positions = 8192};
  float cos[64], sin[64];
  rope_frequencies(c, 131072).fill(100000, cos, sin);
  EXPECT_NEAR(cos[0], -0.9993608f, 1e-7f);
  EXPECT_NEAR(sin[0], 0.0357487984f, 1e-7f);
  EXPECT_NEAR(cos[30], 0.505603373f, 2e-5f);  // an ulp of the frequency is 1.5e-5 of the angle
  EXPECT_NEAR(sin[30], -0.862766027f, 2e-5f);
  EXPECT_NEAR(sin[63], 0.0306844413f, 1e-7f);
}

TEST(Rope, FillAppliesTheAttentionFactor) {
  const RopeFrequencies f{{0.5f}, 1.5f};
  float cos = 0, sin = 0;
  f.fill(3, &cos, &sin);
  EXPECT_NEAR(cos, 1.5 * std::cos(1.5), 1e-6);
  EXPECT_NEAR(sin, 1.5 * std::sin(1.5), 1e-6);
}

}  // namespace
}  // namespace lamina
