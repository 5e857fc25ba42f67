// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#define LAMINA_INLINE inline __attribute__((always_inline))
#define LAMINA_NOINLINE __attribute__((noinline))  // keeps functions to a size that compilers digest
#define LAMINA_LAMBDA __attribute__((always_inline))

namespace {

template <int I>
struct Index {
  constexpr operator int() const { return I; }
};

// f(0), f(1) .. f(N - 1), unrolled while inlining: only so does GCC 12 keep arrays of vectors in
// registers (loops unrolled by pragma are too late for its scalar replacement).
template <int N, int I = 0, typename F>
LAMINA_INLINE void each(const F& f) {
  if constexpr (I < N) {
    f(Index<I>{});
    each<N, I + 1>(f);
  }
}

// p, computed: loads and stores at constant distances from it name these themselves. Without, clang adds
// them up anew for each, because WebAssembly's loads must not wrap around and it forgets that they don't.
template <typename T>
LAMINA_INLINE T* settled(T* p) {
#if defined(__wasm__)
  asm("" : "+r"(p));
#endif
  return p;
}

}  // namespace
