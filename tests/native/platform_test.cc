// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>

#include "native/platform/files.h"
#include "native/platform/mapping.h"
#include "native/platform/memory_facts.h"
#include "native/platform/parallel.h"
#include "native/platform/paths.h"
#include "native/platform/sha256.h"
#include "native/platform/signals.h"
#include "native/platform/terminal.h"
#include "tests/support/checkpoint_writer.h"
#include "tests/support/temp_dir.h"

namespace lamina {
namespace {

using testing::HasSubstr;
using namespace test;

TEST(Files, ReadsWholeFilesUpToALimit) {
  TempDir dir;
  spill(dir / "f", "hello");
  EXPECT_EQ(*read_file(dir / "f", 5), "hello");
  EXPECT_EQ(read_file(dir / "f", 4).error().code, Code::kResourceExhausted);
  const auto missing = read_file(dir / "g", 5);
  EXPECT_EQ(missing.error().code, Code::kNotFound);
  EXPECT_THAT(missing.error().message, HasSubstr(dir / "g"));
  EXPECT_EQ(read_file(dir.path(), 5).error().code, Code::kIo);
  ASSERT_EQ(::mkfifo((dir / "pipe").c_str(), 0600), 0);
  EXPECT_THAT(read_file(dir / "pipe", 5).error().message, HasSubstr("not a regular file"));
}

TEST(Files, ReplacesAtomically) {
  TempDir dir;
  ASSERT_TRUE(write_file_atomic(dir / "f", "one", 0600));
  struct stat s {};
  ASSERT_EQ(::stat((dir / "f").c_str(), &s), 0);
  EXPECT_EQ(s.st_mode & 0777, 0600u);
  ASSERT_TRUE(write_file_atomic(dir / "f", "two"));
  EXPECT_EQ(slurp(dir / "f"), "two");
  EXPECT_EQ(files_below(dir.path()).size(), 1u) << "nothing temporary stays";
  EXPECT_FALSE(write_file_atomic(dir / "no/where", "x"));
  // A directory in the way: the attempt fails and leaves no temporary file.
  std::filesystem::create_directories(dir / "d/inside");
  EXPECT_FALSE(write_file_atomic(dir / "d", "x"));
  EXPECT_EQ(files_below(dir.path()).size(), 1u);
}

TEST(Files, FullDeviceIsAnError) {
  const FileDescriptor fd(::open("/dev/full", O_WRONLY));
  ASSERT_TRUE(fd.is_open());
  const auto result = write_exactly(fd.get(), "/dev/full", std::as_bytes(std::span("text")));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Code::kIo);
  EXPECT_THAT(result.error().message, HasSubstr("No space left"));
}

TEST(Files, SourceEndsWhereTheFileEnds) {
  TempDir dir;
  spill(dir / "f", "0123456789");
  const auto source = FileSource::open(dir / "f");
  ASSERT_TRUE(source);
  std::byte bytes[4];
  ASSERT_TRUE((*source)->read(6, bytes));
  EXPECT_EQ(static_cast<char>(bytes[3]), '9');
  const auto beyond = (*source)->read(7, bytes);
  EXPECT_EQ(beyond.error().code, Code::kIntegrity);
  EXPECT_THAT(beyond.error().message, HasSubstr("ends at byte 10"));
}

TEST(Files, PathsAreTakenApart) {
  EXPECT_EQ(join_path("a", "b"), "a/b");
  EXPECT_EQ(join_path("a/", "b"), "a/b");
  EXPECT_EQ(join_path("", "b"), "b");
  EXPECT_EQ(parent_path("a/b/c"), "a/b");
  EXPECT_EQ(parent_path("/a"), "/");
  EXPECT_EQ(parent_path("a"), ".");
  EXPECT_EQ(base_name("/x/model/"), "model");
  EXPECT_EQ(base_name("model"), "model");
  TempDir dir;
  ASSERT_TRUE(make_directories(dir / "x/y/z"));
  ASSERT_TRUE(make_directories(dir / "x/y/z"));
  spill(dir / "x/f", "");
  EXPECT_FALSE(make_directories(dir / "x/f"));
  EXPECT_FALSE(make_directories(dir / "x/f/g"));
}

TEST(Paths, FollowXdg) {
  ::setenv("XDG_CONFIG_HOME", "/c", 1);
  ::setenv("XDG_CACHE_HOME", "relative", 1);
  ::unsetenv("XDG_DATA_HOME");
  ::setenv("XDG_STATE_HOME", "", 1);
  ::setenv("HOME", "/home/x", 1);
  EXPECT_EQ(config_directory(), "/c/lamina");
  EXPECT_EQ(cache_directory(), "/home/x/.cache/lamina");
  EXPECT_EQ(data_directory(), "/home/x/.local/share/lamina");
  EXPECT_EQ(state_directory(), "/home/x/.local/state/lamina");
}

TEST(Sha256, AgreesWithTheStandard) {
  EXPECT_EQ(sha256_hex(std::string_view("abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256_hex(std::string_view()),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  Sha256 sha;
  const std::string block(1000, 'a');
  for (int i = 0; i < 1000; ++i) sha.update(std::as_bytes(std::span(block)));
  EXPECT_EQ(sha.hex(), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Parallel, RunsEachOnce) {
  for (int threads : {0, 1, 2, 7, 100}) {
    std::vector<std::atomic<int>> runs(1000);
    ASSERT_TRUE(parallel_for(threads, runs.size(), [&](size_t i) -> Result<void> {
      ++runs[i];
      return {};
    }));
    for (const auto& n : runs) EXPECT_EQ(n, 1);
  }
  EXPECT_TRUE(parallel_for(4, 0, [](size_t) -> Result<void> { std::abort(); }));
}

TEST(Parallel, ReturnsTheFirstFailureAndStops) {
  std::atomic<int> runs{0};
  const auto result = parallel_for(4, 100'000, [&](size_t i) -> Result<void> {
    ++runs;
    if (i >= 10) return make_error(Code::kIo, "item %zu", i);
    return {};
  });
  ASSERT_FALSE(result);
  EXPECT_LT(runs, 1000);
  EXPECT_EQ(parallel_for(
                1, 9, [](size_t i) -> Result<void> { return make_error(Code::kIo, "item %zu", i); })
                .error()
                .message,
            "item 0");
}

TEST(Mapping, AnonymousMemoryIsAlignedAndZero) {
  const auto m = Mapping::anonymous(3'000'000);
  ASSERT_TRUE(m);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(m->data()) % kHugePage, 0u);
  EXPECT_EQ(m->size(), 2 * kHugePage);
  EXPECT_EQ(m->data()[0], std::byte{0});
  m->data()[m->size() - 1] = std::byte{1};
  EXPECT_EQ(Mapping::anonymous(0).error().code, Code::kOutOfMemory);
  EXPECT_EQ(Mapping::anonymous(SIZE_MAX).error().code, Code::kOutOfMemory);
  EXPECT_EQ(Mapping::anonymous(SIZE_MAX / 4).error().code, Code::kOutOfMemory);
}

TEST(MemoryFacts, ArePlausible) {
  const MemoryFacts before = memory_facts();
  EXPECT_GT(before.resident, 100'000u);
  EXPECT_GE(before.peak_resident, before.resident);
  EXPECT_GT(before.available, 1'000'000u);
  EXPECT_LE(before.available, before.total);
  auto m = Mapping::anonymous(32 << 20);
  ASSERT_TRUE(m);
  for (size_t i = 0; i < m->size(); i += 4096) m->data()[i] = std::byte{1};
  EXPECT_GE(memory_facts().resident, before.resident + (30 << 20));
}

TEST(Terminal, PipesAreNone) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  EXPECT_FALSE(is_terminal(ends[1]));
  EXPECT_FALSE(wants_colour(ends[1]));
  EXPECT_EQ(terminal_columns(ends[1]), 80);
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST(Terminal, ColourIsWelcomeUnlessRefused) {
  const FileDescriptor terminal(::posix_openpt(O_RDWR | O_NOCTTY));
  if (!terminal.is_open()) GTEST_SKIP() << "no pseudo-terminals here";
  ::unsetenv("NO_COLOR");
  ::setenv("TERM", "xterm", 1);
  EXPECT_TRUE(wants_colour(terminal.get()));
  ::setenv("NO_COLOR", "", 1);
  EXPECT_TRUE(wants_colour(terminal.get()));
  ::setenv("NO_COLOR", "1", 1);
  EXPECT_FALSE(wants_colour(terminal.get()));
  ::unsetenv("NO_COLOR");
  ::setenv("TERM", "dumb", 1);
  EXPECT_FALSE(wants_colour(terminal.get()));
}

// In a process of its own: the second signal leaves.
int signals_until_exit(int number) {
  const pid_t child = ::fork();
  if (child == 0) {
    install_interrupt_handler();
    ::raise(number);
    if (!interrupted()) ::_exit(1);
    ::raise(SIGPIPE);
    ::raise(number);
    ::_exit(2);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(Signals, SecondOneLeaves) {
  EXPECT_EQ(signals_until_exit(SIGINT), 130);
  EXPECT_EQ(signals_until_exit(SIGTERM), 143);
  EXPECT_FALSE(interrupted());
}

}  // namespace
}  // namespace lamina
