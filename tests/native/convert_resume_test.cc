// SPDX-License-Identifier: Apache-2.0
// Conversions that are stopped: by the user, by SIGKILL at any moment, by a full disk.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>

#include "native/convert/convert.h"
#include "native/platform/model_loader.h"
#include "tests/support/checkpoint_writer.h"
#include "tests/support/temp_dir.h"

namespace lamina {
namespace {

using testing::HasSubstr;
using namespace test;
namespace fs = std::filesystem;

// Runs `body` in a process of its own.
pid_t spawn(const std::function<int()>& body) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(body());
  EXPECT_GT(child, 0);
  return child;
}

int exit_status(pid_t child) {
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return status;
}

class Resume : public testing::Test {
 protected:
  void SetUp() override {
    CheckpointSpec spec;
    spec.hidden = 64;
    spec.intermediate = 192;
    spec.layers = 6;
    spec.dtype = "F16";
    write_checkpoint(dir / "source", spec);
    ConvertOptions o = options(dir / "whole");
    ASSERT_TRUE(convert(o));
    want = files_below(o.destination);
  }

  ConvertOptions options(const std::string& destination) {
    ConvertOptions o;
    o.source = dir / "source";
    o.destination = destination;
    o.shard_bytes = 16384;
    o.threads = 2;
    o.name = "m";
    return o;
  }

  static size_t noted_shards(const std::string& destination) {
    const std::string journal = slurp(destination + ".partial/convert.journal");
    return static_cast<size_t>(std::count(journal.begin(), journal.end(), '\n')) - 1;
  }

  // Converts until at least `shards` are finished, then stops; returns how many are.
  size_t stop_after(ConvertOptions o, size_t shards) {
    std::atomic<bool> cancel{false};
    o.cancel = &cancel;
    const auto report =
        convert(o, [&](const ConvertProgress&) { cancel = noted_shards(o.destination) >= shards; });
    EXPECT_FALSE(report);
    if (report) return 0;
    EXPECT_EQ(report.error().code, Code::kCancelled);
    EXPECT_FALSE(fs::exists(o.destination));
    const size_t noted = noted_shards(o.destination);
    EXPECT_GE(noted, shards);
    return noted;
  }

  size_t finish(const ConvertOptions& o) {
    const auto report = convert(o);
    EXPECT_TRUE(report) << report.error().message;
    EXPECT_EQ(files_below(o.destination), want);
    EXPECT_FALSE(fs::exists(o.destination + ".partial"));
    return report ? report->reused_shards : 0;
  }

  TempDir dir;
  std::map<std::string, std::string> want;
};

TEST_F(Resume, GoesOnWhereItWasStopped) {
  const ConvertOptions o = options(dir / "model");
  const size_t noted = stop_after(o, 3);
  EXPECT_EQ(finish(o), noted);
}

TEST_F(Resume, ReportsTheSameErrors) {
  const auto whole = convert(options(dir / "again"));
  const ConvertOptions o = options(dir / "model");
  stop_after(o, 4);
  const auto resumed = convert(o);
  ASSERT_TRUE(whole && resumed);
  EXPECT_EQ(resumed->worst_error, whole->worst_error);
  EXPECT_EQ(resumed->worst_tensor, whole->worst_tensor);
  EXPECT_EQ(resumed->mean_error, whole->mean_error);
  EXPECT_EQ(resumed->manifest_sha256, whole->manifest_sha256);
}

TEST_F(Resume, OtherOptionsBeginAnew) {
  const ConvertOptions o = options(dir / "model");
  stop_after(o, 3);
  ConvertOptions other = o;
  other.group = 32;
  const auto report = convert(other);
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->reused_shards, 0u);
}

TEST_F(Resume, AChangedSourceBeginsAnew) {
  const ConvertOptions o = options(dir / "model");
  stop_after(o, 3);
  const std::string weights = o.source + "/model.safetensors";
  fs::last_write_time(weights, fs::last_write_time(weights) + std::chrono::seconds(5));
  EXPECT_EQ(finish(o), 0u);
}

TEST_F(Resume, DamagedRemainsAreDoneAgain) {
  const ConvertOptions o = options(dir / "model");
  const size_t noted = stop_after(o, 4);
  const std::string partial = o.destination + ".partial";
  std::string shard = slurp(partial + "/shards/00001.bin");
  shard[100] = static_cast<char>(shard[100] ^ 1);
  spill(partial + "/shards/00001.bin", shard);
  fs::resize_file(partial + "/shards/00002.bin", 10);
  fs::remove(partial + "/shards/00003.bin");
  spill(partial + "/shards/00077.bin", "stray");
  spill(partial + "/manifest.json.k3J9aa", "stray");
  EXPECT_EQ(finish(o), noted - 3);
}

TEST_F(Resume, ATornJournalLineIsNoShard) {
  const ConvertOptions o = options(dir / "model");
  const size_t noted = stop_after(o, 3);
  const std::string journal = o.destination + ".partial/convert.journal";
  const std::string text = slurp(journal);
  spill(journal, text.substr(0, text.size() - 7));
  EXPECT_EQ(finish(o), noted - 1);
  stop_after(options(dir / "other"), 3);
  spill(dir / "other.partial/convert.journal", "garbage\n" + text);
  EXPECT_EQ(finish(options(dir / "other")), 0u);
}

TEST_F(Resume, RemainsAreNoModel) {
  const ConvertOptions o = options(dir / "model");
  stop_after(o, 3);
  const std::string partial = o.destination + ".partial";
  const auto model = load_model(partial, {});
  ASSERT_FALSE(model);
  EXPECT_THAT(model.error().message, HasSubstr("unfinished"));
  // Even when everything is there but the last rename.
  fs::copy(dir / "whole", dir / "complete.partial", fs::copy_options::recursive);
  EXPECT_THAT(load_model(dir / "complete.partial", {}).error().message, HasSubstr("unfinished"));
}

TEST_F(Resume, OneConversionAtATime) {
  ConvertOptions o = options(dir / "model");
  int checked = 0;
  const auto report = convert(o, [&](const ConvertProgress&) {
    if (checked++ > 0) return;
    const auto second = convert(o);
    ASSERT_FALSE(second);
    EXPECT_THAT(second.error().message, HasSubstr("another conversion"));
  });
  EXPECT_TRUE(report) << report.error().message;
  EXPECT_GT(checked, 0);
  EXPECT_EQ(files_below(o.destination), want);
}

// Seconds that one undisturbed conversion takes, to spread interruptions over.
double duration_of(const ConvertOptions& o) {
  const auto report = convert(o);
  EXPECT_TRUE(report);
  return report ? report->seconds : 0.0;
}

// A process is killed at forty different moments; each time the folder is either absent or whole,
// and in the end its bytes are those of an undisturbed conversion.
TEST_F(Resume, SurvivesKillAtAnyMoment) {
  const ConvertOptions o = options(dir / "model");
  const double whole = duration_of(options(dir / "timed"));
  size_t completed = 0, killed = 0;
  for (int moment = 0; moment < 40; ++moment) {
    const pid_t child = spawn([&] { return convert(o) ? 0 : 1; });
    ::usleep(static_cast<useconds_t>(whole * 1e6 * moment / 40));
    ::kill(child, SIGKILL);
    const int status = exit_status(child);
    killed += WIFSIGNALED(status);
    if (!WIFSIGNALED(status)) {
      EXPECT_EQ(WEXITSTATUS(status), 0);
    }
    if (!fs::exists(o.destination)) continue;
    EXPECT_EQ(files_below(o.destination), want);
    ++completed;
    fs::remove_all(o.destination);
  }
  RecordProperty("killed", static_cast<int>(killed));
  RecordProperty("completed", static_cast<int>(completed));
  EXPECT_GT(killed, 0u);
  finish(o);
}

TEST_F(Resume, KilledWhileReplacingKeepsOneModel) {
  ConvertOptions o = options(dir / "model");
  o.dtype = DType::kF32;
  ASSERT_TRUE(convert(o));
  const auto old = files_below(o.destination);
  o = options(dir / "model");
  o.force = true;
  const double whole = duration_of(options(dir / "timed"));
  for (int moment = 0; moment < 25; ++moment) {
    const pid_t child = spawn([&] { return convert(o) ? 0 : 1; });
    ::usleep(static_cast<useconds_t>(whole * 1.5e6 * moment / 25));
    ::kill(child, SIGKILL);
    exit_status(child);
    const auto now = files_below(o.destination);
    ASSERT_TRUE(now == old || now == want) << "after " << moment;
  }
  ASSERT_TRUE(convert(o));
  EXPECT_EQ(files_below(o.destination), want);
  EXPECT_FALSE(fs::exists(o.destination + ".partial"));
}

// Needs the right to mount; the test after it needs nothing.
class FullDisk : public Resume {
 protected:
  void SetUp() override {
    Resume::SetUp();
    fs::create_directories(dir / "disk");
    if (::mount("tmpfs", (dir / "disk").c_str(), "tmpfs", 0, "size=512k") != 0) {
      GTEST_SKIP() << "may not mount a tmpfs";
    }
    mounted_ = true;
  }
  void TearDown() override {
    if (mounted_) ::umount2((dir / "disk").c_str(), MNT_DETACH);
  }

 private:
  bool mounted_ = false;
};

TEST_F(FullDisk, IsNoticedBeforeTheWork) {
  spill(dir / "disk/filler", std::string(400 << 10, 'x'));
  const ConvertOptions o = options(dir / "disk/model");
  const auto report = convert(o);
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code, Code::kIo);
  EXPECT_THAT(report.error().message, HasSubstr("No space left"));
}

TEST_F(FullDisk, InTheMiddleCanBeResumed) {
  const ConvertOptions o = options(dir / "disk/model");
  bool filled = false;
  const auto report = convert(o, [&](const ConvertProgress& p) {
    if (filled || p.done_bytes < p.total_bytes / 2) return;
    std::ofstream filler(dir / "disk/filler", std::ios::binary);
    while (filler.write("xxxxxxxxxxxxxxxx", 16).flush()) {
    }
    filled = true;
  });
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code, Code::kIo);
  EXPECT_THAT(report.error().message, HasSubstr("No space left"));
  EXPECT_THAT(report.error().message, HasSubstr("model.partial/"));
  EXPECT_FALSE(fs::exists(o.destination));
  fs::remove(dir / "disk/filler");
  EXPECT_GT(finish(o), 0u);
}

TEST_F(Resume, AFailedWriteIsNamedAndResumed) {
  const ConvertOptions o = options(dir / "model");
  // A file-size limit makes writes fail like a full disk does, for one process.
  const pid_t child = spawn([&] {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{12000, 12000};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    const auto report = convert(o);
    if (report || report.error().code != Code::kIo) return 1;
    return report.error().message.find("model.partial/shards/0000") == std::string::npos ? 2 : 0;
  });
  EXPECT_EQ(exit_status(child), 0);
  EXPECT_FALSE(fs::exists(o.destination));
  finish(o);
}

}  // namespace
}  // namespace lamina
