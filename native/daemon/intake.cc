// SPDX-License-Identifier: Apache-2.0
#include "native/daemon/intake.h"

#include <utility>

namespace lamina::daemon {

Intake::Intake() {
  threads_[0] = std::thread([this] { run(true); });
  threads_[1] = std::thread([this] { run(false); });
}

Intake::~Intake() {
  stop();
}

void Intake::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

void Intake::add(const std::string& caller, bool is_long, std::function<void()> task) {
  {
    const std::lock_guard lock(mutex_);
    Caller& of = callers_[caller];
    of.tasks.push_back({is_long, std::move(task)});
    if (of.at_work || of.tasks.size() > 1) return;  // is ready, or will be
    make_ready(caller, of);
  }
  changed_.notify_all();
}

void Intake::make_ready(const std::string& caller, const Caller& of) {
  (of.tasks.front().is_long ? long_ : short_).push_back(caller);
}

void Intake::run(bool short_only) {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock,
                  [&] { return stopping_ || !short_.empty() || (!short_only && !long_.empty()); });
    if (stopping_) return;
    std::deque<std::string>& ready = short_only || long_.empty() ? short_ : long_;
    const std::string caller = std::move(ready.front());
    ready.pop_front();
    Caller& of = callers_.at(caller);  // stays while it is at work
    of.at_work = true;
    std::function<void()> work = std::move(of.tasks.front().work);
    of.tasks.pop_front();
    lock.unlock();
    work();
    work = nullptr;
    lock.lock();
    of.at_work = false;
    if (of.tasks.empty()) {
      callers_.erase(caller);
    } else {
      make_ready(caller, of);
      changed_.notify_all();
    }
  }
}

}  // namespace lamina::daemon
