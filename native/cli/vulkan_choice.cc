// SPDX-License-Identifier: Apache-2.0
#include "native/cli/vulkan_choice.h"

#include <unistd.h>

#include <cstdlib>

#include "native/cli/console.h"
#include "native/cli/gpu_self_test.h"
#include "native/platform/files.h"
#include "native/platform/paths.h"
#include "native/platform/sha256.h"

namespace lamina::cli {

std::string vulkan_variant() {
  const char* variant = std::getenv("LAMINA_VULKAN_VARIANT");
  return variant == nullptr ? "" : variant;
}

namespace {

using Bytes = std::vector<std::byte>;

// What a driver compiled, behind its SHA-256: a driver trusts what it is given.
class PipelineCacheFile {
 public:
  explicit PipelineCacheFile(const VulkanDeviceInfo& device) {
    std::string name = device.name + " " + device.driver;
    for (char& c : name) {
      if (!std::isalnum(static_cast<unsigned char>(c)) && c != '.') c = '-';
    }
    path_ = cache_directory() + "/vulkan/" + name.substr(0, kMostName) + ".bin";
  }

  Bytes read() {
    const Result<std::string> file = read_file(path_, kHashSize + kMostBytes);
    if (!file || file->size() < kHashSize) return {};
    const std::string_view content = std::string_view(*file).substr(kHashSize);
    if (sha256_hex(content) != std::string_view(*file).substr(0, kHashSize)) return {};
    const auto bytes = std::as_bytes(std::span(content));
    stored_.assign(bytes.begin(), bytes.end());
    return stored_;
  }

  bool is_new() const { return stored_.empty(); }

  void write(const Bytes& bytes) {
    if (bytes == stored_) return;
    stored_ = bytes;
    if (bytes.size() > kMostBytes) {
      ::unlink(path_.c_str());  // a fresh one holds what is used now
      return;
    }
    if (!make_directories(parent_path(path_))) return;
    std::string file = sha256_hex(bytes);
    file.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    (void)write_file_atomic(path_, file);
  }

 private:
  static constexpr size_t kMostBytes = size_t{64} << 20, kHashSize = 64, kMostName = 120;
  std::string path_;
  Bytes stored_;
};

// Writes down what the driver compiled: after prepare() where nothing was written yet, since compiling
// took seconds, and else at the end.
class KeptBackend final : public Backend {
 public:
  KeptBackend(std::unique_ptr<VulkanBackend> inner, PipelineCacheFile file)
      : inner_(std::move(inner)), file_(std::move(file)) {}
  ~KeptBackend() override {
    if (prepared_) keep();
  }

  BackendInfo info() const override { return inner_->info(); }
  Result<void> prepare(const Graph& graph, const WeightMap& weights, const KvShape& kv,
                       const RopeFrequencies& rope, int32_t max_rows,
                       int32_t max_logit_rows) override {
    LAMINA_TRY(inner_->prepare(graph, weights, kv, rope, max_rows, max_logit_rows));
    prepared_ = true;
    if (file_.is_new()) keep();
    return {};
  }
  Result<void> submit(const Batch& batch) override { return inner_->submit(batch); }
  Result<StepOutput> read() override { return inner_->read(); }
  int32_t most_steps(const TokenChoice& choice) const override { return inner_->most_steps(choice); }
  Result<std::span<const int32_t>> decode(const Batch& batch, int32_t steps,
                                          const TokenChoice& choice) override {
    return inner_->decode(batch, steps, choice);
  }
  Result<void> export_kv(std::span<const int32_t> pages, int32_t n_positions,
                         std::span<uint16_t> out) override {
    return inner_->export_kv(pages, n_positions, out);
  }
  Result<void> import_kv(std::span<const int32_t> pages, int32_t n_positions,
                         std::span<const uint16_t> in) override {
    return inner_->import_kv(pages, n_positions, in);
  }
  MemoryUse memory() const override { return inner_->memory(); }

 private:
  void keep() {
    if (const Result<Bytes> bytes = inner_->pipeline_cache()) file_.write(*bytes);
  }

  std::unique_ptr<VulkanBackend> inner_;
  PipelineCacheFile file_;
  bool prepared_ = false;
};

Result<void> run_test(GpuSelfTest& test, const VulkanOptions& options) {
  return test.run([&]() -> Result<std::unique_ptr<Backend>> {
    LAMINA_ASSIGN(std::unique_ptr<VulkanBackend> made, make_vulkan_backend(options));
    return std::unique_ptr<Backend>(std::move(made));
  });
}

std::string device_text(const VulkanDeviceInfo& device) {
  return safe_text(device.name) + " (" + safe_text(device.driver) + ")";
}

Result<VulkanDeviceInfo> device_info(int32_t device) {
  LAMINA_ASSIGN(const std::vector<VulkanDeviceInfo> all, vulkan_devices());
  if (all.empty()) return make_error(Code::kUnsupported, "Vulkan finds no device here");
  if (device < 0 || static_cast<size_t>(device) >= all.size()) {
    return make_error(Code::kInvalidArgument, "--device %d: Vulkan has the devices 0 to %zu",
                      device, all.size() - 1);
  }
  return all[static_cast<size_t>(device)];
}

}  // namespace

Result<OpenedVulkan> open_vulkan(const VulkanWish& wish) {
  GpuSelfTest test;
  LAMINA_ASSIGN(const VulkanDeviceInfo info, device_info(wish.device));
  PipelineCacheFile file(info);
  VulkanOptions options;
  options.device = wish.device;
  options.variant = vulkan_variant();
  options.pipeline_cache = file.read();
  const auto named = [&](Error error) {
    error.message = "Vulkan's " + device_text(info) + ": " + error.message;
    return error;
  };
  if (Result<void> tested = run_test(test, options); !tested) return named(tested.error());
  options.memory_budget = wish.memory_budget;
  options.on_upload = wish.on_upload;
  Result<std::unique_ptr<VulkanBackend>> made = make_vulkan_backend(options);
  if (!made) return named(made.error());
  OpenedVulkan opened;
  opened.vulkan = made->get();
  opened.backend = std::make_unique<KeptBackend>(std::move(*made), std::move(file));
  return opened;
}

Result<void> check_vulkan_hardware(int32_t device) {
  LAMINA_ASSIGN(const VulkanDeviceInfo info, device_info(device));
  if (!info.software) return {};
  const char* which = device == 0 ? "Vulkan's only device here" : "this device of Vulkan's";
  return make_error(Code::kUnsupported, "%s is software (%s)", which,
                    safe_text(info.name).c_str());
}

Result<std::vector<VulkanDeviceInfo>> list_vulkan() { return vulkan_devices(); }

}  // namespace lamina::cli
