// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>

namespace lamina::daemon {

// Two threads that do what callers bring: of each caller one task at a time, in its order, the
// callers in turn. One thread does short tasks only, so a long one holds up its own caller and
// others' long ones.
class Intake {
 public:
  Intake();
  ~Intake();  // finishes the tasks at hand, drops the others
  Intake(const Intake&) = delete;
  Intake& operator=(const Intake&) = delete;

  void add(const std::string& caller, bool is_long, std::function<void()> task);
  void stop();  // what the destructor does, sooner

 private:
  struct Task {
    bool is_long;
    std::function<void()> work;
  };
  struct Caller {
    std::deque<Task> tasks;
    bool at_work = false;
  };

  void run(bool short_only);
  void make_ready(const std::string& caller, const Caller& of);

  std::mutex mutex_;
  std::condition_variable changed_;
  std::unordered_map<std::string, Caller> callers_;
  // Callers that have tasks and none at work, by the length of the first one.
  std::deque<std::string> short_, long_;
  bool stopping_ = false;
  std::thread threads_[2];
};

}  // namespace lamina::daemon
