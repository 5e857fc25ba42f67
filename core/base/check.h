// SPDX-License-Identifier: Apache-2.0
// Programmer errors. Hostile input never reaches a check: it is refused as an Error before.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace lamina {

[[noreturn]] inline void check_failed(const char* what, const char* file, int line) {
  std::fprintf(stderr, "%s:%d: check failed: %s\n", file, line, what);
  std::abort();
}

}  // namespace lamina

#define LAMINA_CHECK(condition) \
  ((condition) ? (void)0 : ::lamina::check_failed(#condition, __FILE__, __LINE__))
