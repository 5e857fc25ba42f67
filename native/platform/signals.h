// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>

namespace lamina {

// From now on the first SIGINT or SIGTERM sets interrupted(); the next leaves the process at once
// with 128 + the signal's number (130 for Ctrl-C). SIGPIPE is ignored, so that a closed pipe is a
// failed write.
void install_interrupt_handler();

// True after the first signal. A program that has handled it may set it back to false; then the
// next signal counts as the first again.
std::atomic<bool>& interrupted();

}  // namespace lamina
