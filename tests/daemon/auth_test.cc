// SPDX-License-Identifier: Apache-2.0
#include "native/daemon/auth.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "tests/support/temp_dir.h"

namespace lamina::daemon {
namespace {

using test::TempDir;
using testing::HasSubstr;

TEST(Auth, MakesATokenOnce) {
  TempDir dir;
  std::string path = dir.path() + "/config/token";
  auto first = load_or_create_token(path);
  ASSERT_TRUE(first.has_value()) << first.error().message;
  EXPECT_EQ(first->size(), kTokenLength);
  struct stat facts {};
  ASSERT_EQ(::stat(path.c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777, 0600u);
  EXPECT_EQ(load_or_create_token(path).value(), *first);
  EXPECT_NE(load_or_create_token(dir.path() + "/other").value(), *first);
}

TEST(Auth, RefusesATokenThatOthersKnow) {
  TempDir dir;
  std::string path = dir.path() + "/token";
  ASSERT_TRUE(load_or_create_token(path).has_value());
  ASSERT_EQ(::chmod(path.c_str(), 0644), 0);
  auto open = load_or_create_token(path);
  ASSERT_FALSE(open.has_value());
  EXPECT_THAT(open.error().message, HasSubstr("chmod 600"));
}

TEST(Auth, RefusesWhatIsNoToken) {
  TempDir dir;
  std::string path = dir.path() + "/token";
  std::ofstream(path) << "short\n";
  ASSERT_EQ(::chmod(path.c_str(), 0600), 0);
  EXPECT_FALSE(load_or_create_token(path).has_value());
}

TEST(Auth, FindsTheToken) {
  EXPECT_EQ(bearer_token("Bearer abc", ""), "abc");
  EXPECT_EQ(bearer_token("", "lamina.v1, bearer.abc"), "abc");
  EXPECT_EQ(bearer_token("", "bearer.abc ,lamina.v1"), "abc");
  EXPECT_EQ(bearer_token("", "lamina.v1"), "");
  EXPECT_EQ(bearer_token("Basic abc", ""), "");
  EXPECT_TRUE(equal_in_constant_time("abc", "abc"));
  EXPECT_FALSE(equal_in_constant_time("abc", "abcd"));
  EXPECT_FALSE(equal_in_constant_time("", "abcd"));
}

TEST(Auth, KnowsLoopback) {
  for (const char* own : {"localhost", "LOCALHOST", "127.0.0.1", "127.9.9.9", "::1", "[::1]"}) {
    EXPECT_TRUE(is_loopback(own)) << own;
  }
  for (const char* other : {"0.0.0.0", "::", "192.168.0.1", "127.0.0.1.example", "example", ""}) {
    EXPECT_FALSE(is_loopback(other)) << other;
  }
}

TEST(Auth, RefusesExposure) {
  NetOptions options;
  EXPECT_TRUE(check_exposure(options, false).has_value());
  options.host = "0.0.0.0";
  auto bare = check_exposure(options, false);
  ASSERT_FALSE(bare.has_value());
  EXPECT_THAT(bare.error().message, HasSubstr("needs a token and TLS"));
  EXPECT_TRUE(check_exposure(options, true).has_value());
  options.token = "x";
  EXPECT_THAT(check_exposure(options, false).error().message, HasSubstr("needs TLS"));
  options.tls_certificate = options.tls_key = "x.pem";
  EXPECT_TRUE(check_exposure(options, false).has_value());
  options.token.clear();
  EXPECT_THAT(check_exposure(options, false).error().message, HasSubstr("needs a token"));
}

}  // namespace
}  // namespace lamina::daemon
