// SPDX-License-Identifier: Apache-2.0
// Llama on CPU cores. Takes weights where they lie (memory-mapped or not), in the model folder's
// layout (but see cpu_place_i8). The same results for any number of threads and any company in a batch.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "backends/cpu/profile.h"
#include "core/engine/backend.h"

namespace lamina {

struct CpuOptions {
  int threads = 0;        // 0: every CPU that the process may use
  std::string force_isa;  // one of cpu_isas_available(); empty: the fastest
};

class CpuBackend : public Backend {
 public:
  // A part of a step, for weights that arrive meanwhile: layers [begin, end) over the batch, the first
  // one with the embedding before it; layer n_layers is what follows the last, so that a part that ends
  // with it gives logits to read(). `hidden`, [rows][hidden_size], is the residual stream between parts:
  // read unless `begin` is 0, written. The parts of a batch give the bits of submit(). REQUIRES: weights
  // of these layers that are there, and 0 <= begin < end <= n_layers + 1.
  virtual Result<void> submit_layers(const Batch& batch, int32_t begin, int32_t end,
                                     std::span<float> hidden) = 0;

  // Times each kind of op of later steps; turning it on again clears it.
  virtual void set_profile(bool on) = 0;
  virtual const cpu::Profile& profile() const = 0;
};

Result<std::unique_ptr<CpuBackend>> make_cpu_backend(const CpuOptions& options);

// Instruction sets that this build and machine can run, fastest first; always ends with "scalar".
std::vector<std::string> cpu_isas_available();

// Brings the i8 values of weights, padding included, to the form in which the fastest instruction set
// wants them in memory: some of WebAssembly's want another than folders have. To be called once, before
// a step reads them. Native ones take them as they are: does nothing there.
void cpu_place_i8(std::span<std::byte> values);

// Every kernel of an instruction set against plain arithmetic, on small odd shapes; some
// milliseconds. kDevice names the kernel that is wrong.
Result<void> cpu_self_test(const std::string& isa);

}  // namespace lamina
