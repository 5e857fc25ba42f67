// SPDX-License-Identifier: Apache-2.0
// The module itself: its kernels and its workers.
#include "backends/cpu/cpu_backend.h"
#include "backends/cpu/cpu_kernels.h"
#include "backends/cpu/thread_pool_wasm.h"
#include "web/abi/abi.h"

using namespace lamina::abi;

const char* lamina_isa() { return lamina::cpu::available_kernels().front()->isa; }

int32_t lamina_self_test() {
  const auto good = lamina::cpu_self_test(lamina_isa());
  return good ? 1 : fail(good.error(), 0);
}

int32_t lamina_workers() { return lamina::cpu::crew_size(); }
void lamina_worker_run(int32_t worker) { lamina::cpu::crew_enter(worker); }
void lamina_dismiss_workers() { lamina::cpu::crew_dismiss(); }
