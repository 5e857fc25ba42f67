// SPDX-License-Identifier: Apache-2.0
// A backend that is lost at a chosen call, for tests of what must survive it.
#pragma once

#include <array>
#include <memory>
#include <utility>

#include "core/engine/backend.h"

namespace lamina::test {

// kDecoded: in the middle of decode(). Its steps have run, and nobody learns of their tokens.
enum class BackendCall : uint8_t { kPrepare, kSubmit, kRead, kDecode, kDecoded, kExport, kImport };
constexpr size_t kBackendCalls = 7;

struct Fault {
  BackendCall call = BackendCall::kSubmit;
  int number = 0;  // from 1: which call of this kind fails; 0: none
  Code code = Code::kDevice;
};

// Hands everything to another backend until the fault; from then on every call fails, as on a
// device that is gone.
class FaultyBackend final : public Backend {
 public:
  FaultyBackend(std::unique_ptr<Backend> inner, const Fault& fault)
      : inner_(std::move(inner)), fault_(fault) {}

  BackendInfo info() const override {
    BackendInfo info = inner_->info();
    info.name = "faulty " + info.name;
    info.can_be_lost = true;
    return info;
  }

  Result<void> prepare(const Graph& graph, const WeightMap& weights, const KvShape& kv,
                       const RopeFrequencies& rope, int32_t max_rows,
                       int32_t max_logit_rows) override {
    LAMINA_TRY(call(BackendCall::kPrepare));
    return inner_->prepare(graph, weights, kv, rope, max_rows, max_logit_rows);
  }
  Result<void> submit(const Batch& batch) override {
    LAMINA_TRY(call(BackendCall::kSubmit));
    return inner_->submit(batch);
  }
  Result<StepOutput> read() override {
    LAMINA_TRY(call(BackendCall::kRead));
    return inner_->read();
  }
  int32_t most_steps(const TokenChoice& choice) const override { return inner_->most_steps(choice); }
  Result<std::span<const int32_t>> decode(const Batch& batch, int32_t steps,
                                          const TokenChoice& choice) override {
    LAMINA_TRY(call(BackendCall::kDecode));
    LAMINA_ASSIGN(const std::span<const int32_t> tokens, inner_->decode(batch, steps, choice));
    LAMINA_TRY(call(BackendCall::kDecoded));
    return tokens;
  }
  Result<void> export_kv(std::span<const int32_t> pages, int32_t n_positions,
                         std::span<uint16_t> out) override {
    LAMINA_TRY(call(BackendCall::kExport));
    return inner_->export_kv(pages, n_positions, out);
  }
  Result<void> import_kv(std::span<const int32_t> pages, int32_t n_positions,
                         std::span<const uint16_t> in) override {
    LAMINA_TRY(call(BackendCall::kImport));
    return inner_->import_kv(pages, n_positions, in);
  }
  MemoryUse memory() const override { return inner_->memory(); }

  bool lost() const { return lost_; }
  int calls(BackendCall kind) const { return calls_[static_cast<size_t>(kind)]; }

 private:
  Result<void> call(BackendCall kind) {
    const int number = ++calls_[static_cast<size_t>(kind)];
    lost_ = lost_ || (kind == fault_.call && number == fault_.number);
    if (!lost_) return {};
    return make_error(fault_.code, "the test's device is gone");
  }

  std::unique_ptr<Backend> inner_;
  Fault fault_;
  std::array<int, kBackendCalls> calls_{};
  bool lost_ = false;
};

}  // namespace lamina::test
