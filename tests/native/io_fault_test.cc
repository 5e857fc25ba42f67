// SPDX-License-Identifier: Apache-2.0
// Every system call of a conversion and of a load fails once, at each place where it is made. The
// program is linked with --wrap, so that calls to write() arrive at __wrap_write().
#include <errno.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cstdarg>

#include "native/convert/convert.h"
#include "native/platform/model_loader.h"
#include "tests/support/checkpoint_writer.h"
#include "tests/support/temp_dir.h"

namespace {

enum class Fault { kNone, kError, kInterrupted, kShort };

std::atomic<Fault> fault{Fault::kNone};
std::atomic<long> calls_until_fault{-1};  // counts down; at 0 the call fails

bool due() { return fault != Fault::kNone && calls_until_fault.fetch_sub(1) == 0; }

// Whether this call fails with errno set. An interrupted or shortened call is no failure of the
// caller's, who must go on.
bool fails(int error) {
  if (fault == Fault::kShort || !due()) return false;
  errno = fault == Fault::kInterrupted ? EINTR : error;
  return true;
}

size_t shortened(size_t n) { return fault == Fault::kShort && due() ? n / 2 : n; }

}  // namespace

extern "C" {
ssize_t __real_write(int, const void*, size_t);
ssize_t __real_pread(int, void*, size_t, off_t);
int __real_fsync(int);
int __real_rename(const char*, const char*);
int __real_renameat2(int, const char*, int, const char*, unsigned);
int __real_mkostemp(char*, int);

ssize_t __wrap_write(int fd, const void* bytes, size_t n) {
  if (fails(EIO)) return -1;
  return __real_write(fd, bytes, n > 1 ? shortened(n) : n);
}
ssize_t __wrap_pread(int fd, void* bytes, size_t n, off_t at) {
  if (fails(EIO)) return -1;
  return __real_pread(fd, bytes, n > 1 ? shortened(n) : n, at);
}
int __wrap_fsync(int fd) { return fails(EIO) ? -1 : __real_fsync(fd); }
int __wrap_rename(const char* from, const char* to) {
  return fault == Fault::kError && fails(EIO) ? -1 : __real_rename(from, to);
}
int __wrap_renameat2(int a, const char* from, int b, const char* to, unsigned flags) {
  return fault == Fault::kError && fails(EIO) ? -1 : __real_renameat2(a, from, b, to, flags);
}
int __wrap_mkostemp(char* name, int flags) {
  return fault == Fault::kError && fails(ENOSPC) ? -1 : __real_mkostemp(name, flags);
}
}

namespace lamina {
namespace {

using namespace test;
namespace fs = std::filesystem;

class IoFaults : public testing::Test {
 protected:
  void SetUp() override {
    CheckpointSpec spec;
    spec.layers = 1;
    spec.hidden = 16;
    spec.intermediate = 32;
    spec.head_dim = 8;
    write_checkpoint(dir / "source", spec);
    ASSERT_TRUE(convert(options("whole")));
    want = files_below(dir / "whole");
  }
  void TearDown() override { fault = Fault::kNone; }

  ConvertOptions options(const std::string& name) {
    ConvertOptions o;
    o.source = dir / "source";
    o.destination = dir / name;
    o.shard_bytes = 12288;
    o.threads = 2;
    o.name = "m";
    return o;
  }

  // Runs `step` with its 1st, 2nd, ... call failing until a run makes fewer calls than that. The
  // step is told whether a fault is to be survived. Returns how many places there were.
  long at_every_call(Fault kind, const std::function<void()>& step) {
    long places = 0;
    for (;; ++places) {
      calls_until_fault = places;
      fault = kind;
      step();
      fault = Fault::kNone;
      if (calls_until_fault >= 0 || testing::Test::HasFatalFailure()) return places;
    }
  }

  TempDir dir;
  std::map<std::string, std::string> want;
};

TEST_F(IoFaults, ConversionFailsCleanlyAndGoesOn) {
  const ConvertOptions o = options("model");
  const long places = at_every_call(Fault::kError, [&] {
    const auto report = convert(o);
    const bool hit = calls_until_fault < 0;
    fault = Fault::kNone;
    if (!report) {
      EXPECT_TRUE(hit) << report.error().message;
      EXPECT_EQ(report.error().code, Code::kIo) << report.error().message;
    }
    // What is visible is whole, even when a sync failed after the last rename.
    if (fs::exists(o.destination)) {
      EXPECT_EQ(files_below(o.destination), want);
    } else {
      ASSERT_TRUE(convert(o));
      EXPECT_EQ(files_below(o.destination), want);
    }
    fs::remove_all(o.destination);
    fs::remove_all(o.destination + ".partial");
  });
  EXPECT_GT(places, 30);
}

TEST_F(IoFaults, InterruptedAndShortCallsAreContinued) {
  const ConvertOptions o = options("model");
  for (const Fault kind : {Fault::kInterrupted, Fault::kShort}) {
    const long places = at_every_call(kind, [&] {
      const auto report = convert(o);
      ASSERT_TRUE(report) << report.error().message;
      fault = Fault::kNone;
      EXPECT_EQ(files_below(o.destination), want);
      fs::remove_all(o.destination);
    });
    EXPECT_GT(places, 30);
  }
}

TEST_F(IoFaults, LoadingFailsCleanly) {
  for (const LoadMode mode : {LoadMode::kMap, LoadMode::kHuge}) {
    LoadOptions o;
    o.mode = mode;
    o.cache_directory = dir / "cache";
    const long places = at_every_call(Fault::kError, [&] {
      const auto model = load_model(dir / "whole", o);
      if (calls_until_fault < 0) {
        ASSERT_FALSE(model);
        EXPECT_EQ(model.error().code, Code::kIo) << model.error().message;
      } else {
        ASSERT_TRUE(model) << model.error().message;
      }
    });
    EXPECT_GE(places, 2);
    at_every_call(Fault::kShort, [&] { ASSERT_TRUE(load_model(dir / "whole", o)); });
  }
}

}  // namespace
}  // namespace lamina
