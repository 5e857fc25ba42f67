// SPDX-License-Identifier: Apache-2.0
// The program's answers when the backend that the user chose fails under them.
#include "native/cli/host.h"

#include <gmock/gmock.h>

#include <cstdlib>

#include "native/cli/answer.h"
#include "native/cli/exit_code.h"
#include "native/convert/convert.h"
#include "tests/support/faulty_backend.h"
#include "tests/support/temp_dir.h"

namespace lamina::cli {
namespace {

using test::BackendCall;
using test::Fault;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class HostTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    directory_ = std::make_unique<test::TempDir>();
    ConvertOptions options;
    options.source = LAMINA_SOURCE_DIR "/tests/models/storyteller";
    options.destination = *directory_ / "model";
    ASSERT_TRUE(convert(options));
  }
  static void TearDownTestSuite() { directory_.reset(); }

  // On the CPU. "vulkan" is a device that fails at each of `faults` in turn, and is then gone;
  // "cpu" is what it always is.
  std::unique_ptr<Host> host(std::vector<Fault> faults) {
    ModelFlags model;
    model.model = *directory_ / "model";
    EngineFlags engine;
    engine.backend = "cpu";
    engine.context = 512;
    engine.threads = 1;  // test programs run side by side
    auto opened = std::move(open_host(console_, model, engine, 1)).value();
    opened->make_backend = [this, engine, faults, made = size_t{0}](
                               const std::string& kind) mutable -> Result<ChosenBackend> {
      if (kind != "vulkan") return make_backend(console_, kind, engine);
      if (made == faults.size()) return make_error(Code::kDevice, "no such device any more");
      LAMINA_ASSIGN(ChosenBackend cpu, make_backend(console_, "cpu", engine));
      cpu.backend = std::make_unique<test::FaultyBackend>(std::move(cpu.backend), faults[made++]);
      cpu.cpu = nullptr;
      cpu.kind = kind;
      return cpu;
    };
    return opened;
  }

  struct Outcome {
    std::string text, said;  // the answer, and what stderr got
  };
  Outcome answer(Host& host, Survivor& survivor) {
    Outcome out;
    testing::internal::CaptureStderr();
    Session& session = *survivor.new_session(host.tokenizer.get()).value();
    const auto ids = host.tokenizer->encode("Once upon a time").value();
    AnswerOptions options;
    options.sampling.temperature = 0.7f;
    options.sampling.seed = 3;
    options.max_new_tokens = 80;
    options.ignore_eos = true;
    const auto stats = run_answer(console_, survivor, session, ids, options,
                                  [&](const TokenEvent& event) -> Result<void> {
                                    out.text += event.text;
                                    return {};
                                  });
    EXPECT_TRUE(stats) << stats.error().message;
    if (stats) print_summary(console_, host, survivor, *stats);
    out.said = testing::internal::GetCapturedStderr();
    return out;
  }

  Outcome answer_on_vulkan(std::vector<Fault> faults) {
    const auto h = host(std::move(faults));
    const auto survivor = make_survivor(console_, *h);
    EXPECT_TRUE(switch_backend(*h, *survivor, "vulkan", "asked for by a test"));
    EXPECT_EQ(h->kind, "vulkan");
    Outcome out = answer(*h, *survivor);
    ended_on_ = h->kind;
    return out;
  }

  Console console_;
  std::string ended_on_;
  static std::unique_ptr<test::TempDir> directory_;
};

std::unique_ptr<test::TempDir> HostTest::directory_;

size_t count(const std::string& text, const std::string& part) {
  size_t n = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

TEST_F(HostTest, ALostDeviceIsMadeAgain) {
  const Outcome undisturbed = answer_on_vulkan({{}});
  EXPECT_THAT(undisturbed.said, AllOf(Not(HasSubstr("warning")), HasSubstr("asked for by a test")));
  const Outcome seen = answer_on_vulkan({{BackendCall::kSubmit, 30}, {}});
  EXPECT_EQ(seen.text, undisturbed.text);
  EXPECT_EQ(ended_on_, "vulkan");
  EXPECT_EQ(count(seen.said, "lamina: warning:"), 1u);
  EXPECT_THAT(seen.said, HasSubstr("made again after it failed"));
}

TEST_F(HostTest, TheCpuTakesOverAndTheSummarySaysSo) {
  const Outcome undisturbed = answer_on_vulkan({{}});
  const Outcome seen = answer_on_vulkan({{BackendCall::kRead, 40}});
  EXPECT_EQ(seen.text, undisturbed.text);
  EXPECT_EQ(ended_on_, "cpu");
  EXPECT_EQ(count(seen.said, "lamina: warning:"), 1u);
  EXPECT_THAT(seen.said,
              AllOf(HasSubstr("no such device any more; going on with cpu"),
                    HasSubstr("backend cpu"), HasSubstr("in place of vulkan, which failed")));
}

TEST_F(HostTest, ABackendThatCannotBeHadChangesNothing) {
  const auto h = host({{BackendCall::kPrepare, 1}});
  const auto survivor = make_survivor(console_, *h);
  const std::string why = h->why;
  EXPECT_FALSE(switch_backend(*h, *survivor, "vulkan", "x"));  // can't be prepared
  EXPECT_FALSE(switch_backend(*h, *survivor, "vulkan", "x"));  // is not there
  EXPECT_FALSE(switch_backend(*h, *survivor, "abacus", "x"));
  EXPECT_EQ(h->kind, "cpu");
  EXPECT_EQ(h->why, why);
  EXPECT_EQ(survivor->engine().backend().info().name, "cpu");
  EXPECT_FALSE(answer(*h, *survivor).text.empty());
}

TEST_F(HostTest, AutoSaysWhyItIsTheCpu) {
  ::setenv("VK_DRIVER_FILES", "/nonexistent", 1);
  ::setenv("VK_ICD_FILENAMES", "/nonexistent", 1);
  EngineFlags flags;
  const auto chosen = choose_backend(console_, flags);
  ASSERT_TRUE(chosen);
  EXPECT_EQ(chosen->kind, "cpu");
  EXPECT_THAT(chosen->why, HasSubstr("chosen because Vulkan"));
  flags.backend = "vulkan";
  const auto refused = choose_backend(console_, flags);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message,
              AllOf(HasSubstr("--backend vulkan: "), HasSubstr("; use --backend cpu")));
  EXPECT_EQ(exit_code_of(refused.error().code), kExitDevice);
}

}  // namespace
}  // namespace lamina::cli
