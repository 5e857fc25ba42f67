// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/cpu_backend.h"

#include "backends/cpu/cpu_features.h"
#include "backends/cpu/cpu_kernels.h"
#include "backends/cpu/kv_cache.h"
#include "core/engine/plan.h"
#include "backends/cpu/step.h"
#include "backends/cpu/thread_pool.h"

namespace lamina {

namespace cpu {

namespace {

class Backend final : public CpuBackend {
 public:
  Backend(const KernelTable* kernels, std::unique_ptr<ThreadPool> pool)
      : kernels_(kernels), pool_(std::move(pool)) {}

  BackendInfo info() const override {
    const int n = pool_->size();
    return {"cpu", cpu_features().name + ", " + std::to_string(n) +
                       (n == 1 ? " thread, " : " threads, ") + kernels_->isa};
  }

  Result<void> prepare(const Graph& graph, const WeightMap& weights, const KvShape& kv,
                       const RopeFrequencies& rope, int32_t max_rows,
                       int32_t max_logit_rows) override {
    LAMINA_CHECK(!step_);
    if (max_rows < 1 || max_logit_rows < 1) {
      return make_error(Code::kInvalidArgument, "max_rows %d and max_logit_rows %d must be positive",
                        max_rows, max_logit_rows);
    }
    LAMINA_TRY(cpu_self_test(kernels_->isa));
    graph_ = graph;
    rope_ = rope;
    max_rows_ = max_rows;
    max_logit_rows_ = max_logit_rows;
    n_pages_ = kv.n_pages;
    LAMINA_ASSIGN(plan_, make_plan(graph_, weights));
    for (const GraphWeight& w : graph_.weights) {
      weight_bytes_ += w.shape.value_bytes() + w.shape.scale_bytes();
    }
    LAMINA_ASSIGN(KvCache cache, KvCache::create(graph_.config, kv));
    kv_ = std::move(cache);
    LAMINA_ASSIGN(step_, Step::create({kernels_, pool_.get(), &graph_, &plan_, &kv_, &rope_},
                                      max_rows, max_logit_rows));
    return {};
  }

  Result<void> submit(const Batch& batch) override {
    LAMINA_CHECK(step_ != nullptr);
    LAMINA_TRY(validate_batch(batch, graph_.config, n_pages_, max_rows_, max_logit_rows_));
    step_->run(batch);
    return {};
  }

  Result<void> submit_layers(const Batch& batch, int32_t begin, int32_t end,
                             std::span<float> hidden) override {
    LAMINA_CHECK(step_ != nullptr);
    const ModelConfig& c = graph_.config;
    LAMINA_CHECK(0 <= begin && begin < end && end <= c.n_layers + 1);
    LAMINA_CHECK(hidden.size() == batch.rows.size() * static_cast<size_t>(c.hidden_size));
    LAMINA_TRY(validate_batch(batch, c, n_pages_, max_rows_, max_logit_rows_));
    step_->run_layers(batch, begin, end, hidden);
    return {};
  }

  Result<StepOutput> read() override {
    LAMINA_CHECK(step_ != nullptr);
    return StepOutput{step_->logits()};
  }

  Result<void> export_kv(std::span<const int32_t> pages, int32_t n_positions,
                         std::span<uint16_t> out) override {
    LAMINA_TRY(validate_pages(pages, n_positions, n_pages_));
    LAMINA_CHECK(out.size() == kv_export_size(graph_.config, n_positions));
    kv_.export_positions(pages, n_positions, out);
    return {};
  }

  Result<void> import_kv(std::span<const int32_t> pages, int32_t n_positions,
                         std::span<const uint16_t> in) override {
    LAMINA_TRY(validate_pages(pages, n_positions, n_pages_));
    LAMINA_CHECK(in.size() == kv_export_size(graph_.config, n_positions));
    kv_.import_positions(*kernels_, pages, n_positions, in);
    return {};
  }

  MemoryUse memory() const override {
    MemoryUse use;
    use.weight_bytes = weight_bytes_;
    use.kv_bytes = kv_.bytes();
    use.activation_bytes = step_ ? step_->bytes() : 0;
    return use;
  }

  void set_profile(bool on) override {
    LAMINA_CHECK(step_ != nullptr);
    step_->profile().set_on(on);
  }
  const Profile& profile() const override {
    LAMINA_CHECK(step_ != nullptr);
    return step_->profile();
  }

 private:
  const KernelTable* kernels_;
  std::unique_ptr<ThreadPool> pool_;
  Graph graph_;
  RopeFrequencies rope_;
  int32_t max_rows_ = 0;
  int32_t max_logit_rows_ = 0;
  int32_t n_pages_ = 0;
  uint64_t weight_bytes_ = 0;
  std::vector<PlannedOp> plan_;
  KvCache kv_;
  std::unique_ptr<Step> step_;
};

}  // namespace

}  // namespace cpu

Result<std::unique_ptr<CpuBackend>> make_cpu_backend(const CpuOptions& options) {
  LAMINA_ASSIGN(const cpu::KernelTable* kernels, cpu::choose_kernels(options.force_isa));
  const int threads = options.threads == 0 ? cpu::usable_cpus() : options.threads;
  LAMINA_ASSIGN(auto pool, cpu::ThreadPool::create(threads));
  return std::unique_ptr<CpuBackend>(new cpu::Backend(kernels, std::move(pool)));
}

void cpu_place_i8(std::span<std::byte> values) {
  const cpu::KernelTable* kernels = cpu::available_kernels().front();
  if (kernels->place_i8) {
    kernels->place_i8(static_cast<int8_t*>(static_cast<void*>(values.data())), values.size());
  }
}

std::vector<std::string> cpu_isas_available() {
  std::vector<std::string> names;
  for (const cpu::KernelTable* t : cpu::available_kernels()) names.emplace_back(t->isa);
  return names;
}

}  // namespace lamina
