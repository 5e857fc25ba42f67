// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>

namespace lamina::test {

// A fresh directory, removed with everything in it at the end. In memory where that can be had:
// the files under test are synced, which a busy disk makes slow.
class TempDir {
 public:
  TempDir() {
    const bool memory = ::access("/dev/shm", W_OK) == 0;
    std::string name = (memory ? std::string("/dev/shm") : testing::TempDir()) + "/lamina-XXXXXX";
    EXPECT_NE(::mkdtemp(name.data()), nullptr);
    path_ = name;
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

}  // namespace lamina::test
