// SPDX-License-Identifier: Apache-2.0
#include "native/platform/signals.h"

#include <signal.h>
#include <unistd.h>

namespace lamina {

namespace {

std::atomic<bool> interrupt_flag{false};
static_assert(std::atomic<bool>::is_always_lock_free);  // or the handler could not touch it

extern "C" void on_interrupt(int number) {
  if (interrupt_flag.exchange(true)) _exit(128 + number);
}

}  // namespace

void install_interrupt_handler() {
  struct sigaction action {};
  action.sa_handler = on_interrupt;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);  // no SA_RESTART: a blocked read of a prompt must return
  sigaction(SIGTERM, &action, nullptr);
  action.sa_handler = SIG_IGN;
  sigaction(SIGPIPE, &action, nullptr);
}

std::atomic<bool>& interrupted() { return interrupt_flag; }

}  // namespace lamina
