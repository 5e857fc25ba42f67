// SPDX-License-Identifier: Apache-2.0
// The workers of a WebAssembly module with shared memory; see thread_pool_wasm.cc.
#pragma once

namespace lamina::cpu {

// Workers that have entered and not left.
int crew_size();

// A worker's whole life: `worker` counts from 1. Returns after crew_dismiss. All enter before the
// first run of a pool.
void crew_enter(int worker);

// Sends all workers home. REQUIRES: no pool runs, and none will.
void crew_dismiss();

}  // namespace lamina::cpu
