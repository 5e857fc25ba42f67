// SPDX-License-Identifier: Apache-2.0
// bench_vulkan SHAPE DTYPE GROUP [VARIANT]...: the Vulkan engine alone on a synthetic model, for each
// variant in turn (of the engine's words, and each=N tokens a submission, temp=T, kv-i8, kv-f32): decode, decode at depth 4096, prefill of 512, and where a step's time goes.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "backends/vulkan/vulkan_backend.h"
#include "core/engine/engine.h"
#include "native/cli/bench_runner.h"
#include "native/platform/synthetic.h"

namespace lamina {
namespace {

template <typename T>
T must(Result<T> result) {
  if (!result) {
    std::fprintf(stderr, "%s\n", result.error().message.c_str());
    std::exit(1);
  }
  return std::move(*result);
}

const char* profile_name(size_t kind) {
  return kind < kOpKinds ? op_name(static_cast<OpKind>(kind)).data() : "decode_layers";
}

void print_profile(const VulkanBackend& backend, int steps) {
  for (size_t kind = 0; kind < backend.profile().size(); ++kind) {
    const auto& e = backend.profile()[kind];
    if (e.calls == 0) continue;
    std::printf("    %-14s %8.1f us a step, %6.2f us a dispatch, %7.1f GB/s\n",
                profile_name(kind), e.seconds * 1e6 / steps,
                e.seconds * 1e6 / static_cast<double>(e.calls),
                static_cast<double>(e.weight_bytes) / e.seconds / 1e9);
  }
}

double number_in(const std::string& variant, const char* key, double otherwise) {
  const auto at = variant.find(key);
  return at == std::string::npos ? otherwise : std::atof(variant.c_str() + at + std::strlen(key));
}

void measure(const LoadedModel& model, const std::string& variant, bool prefill) {
  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  VulkanOptions vulkan;
  vulkan.variant = variant;
  auto made = must(make_vulkan_backend(vulkan));
  VulkanBackend* backend = made.get();
  EngineOptions options;
  options.context = 4096 + 192;
  options.max_rows = 512;
  options.max_logit_rows = 1;
  options.tokens_per_submit = static_cast<int32_t>(number_in(variant, "each=", 8));
  if (variant.find("kv-i8") != std::string::npos) options.kv_dtype = KvDType::kI8;
  if (variant.find("kv-f32") != std::string::npos) options.kv_dtype = KvDType::kF32;
  const auto engine = must(Engine::create(std::move(made), model.manifest.config, model.weights, options));
  std::printf("variant \"%s\" on %s: ready in %.2f s\n", variant.c_str(), backend->info().device.c_str(),
              std::chrono::duration<double>(Clock::now() - start).count());
  const auto bandwidth = must(backend->measure_bandwidth());
  std::printf("  the device reads %.0f GB/s, copies %.0f GB/s\n", bandwidth.read / 1e9, bandwidth.copy / 1e9);
  cli::BenchRunner runner(*engine);
  runner.sampling.temperature = static_cast<float>(number_in(variant, "temp=", 0.0));
  for (const cli::BenchTest test : {cli::BenchTest{0, 128, 0}, cli::BenchTest{0, 64, 4096}, cli::BenchTest{512, 0, 0}}) {
    if ((test.n_prompt > 0 || test.n_depth > 0) && !prefill) continue;
    const auto speeds = cli::rates(must(runner.run(test, 3)), test.tokens());
    std::printf("  %-14s %9.1f tokens/s (+- %.1f)\n", test.name().c_str(), speeds.mean(), speeds.deviation());
    runner.on_start = [&] { backend->set_profile(true); };
    must(runner.run(test, 1));
    runner.on_start = nullptr;
    print_profile(*backend, test.n_gen > 0 ? test.n_gen : 1);
    backend->set_profile(false);
    std::fflush(stdout);
  }
}

}  // namespace
}  // namespace lamina

int main(int argc, char** argv) {
  using namespace lamina;
  if (argc < 4) {
    std::fprintf(stderr, "bench_vulkan SHAPE i8|f16|f32 GROUP [VARIANT]...\n");
    return 2;
  }
  const auto model = must(make_synthetic(argv[1], *dtype_from_name(argv[2]), std::atoi(argv[3])));
  measure(*model, argc > 4 ? argv[4] : "", true);
  for (int i = 5; i < argc; ++i) measure(*model, argv[i], argv[i][0] == '+');
  return 0;
}
