// SPDX-License-Identifier: Apache-2.0
// Counters for /metrics, in Prometheus' text format. They leave the machine only when somebody
// asks.
#pragma once

#include <chrono>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "native/daemon/service.h"

namespace lamina::daemon {

// Thread-safe.
class Metrics {
 public:
  explicit Metrics(const std::string& version);
  ~Metrics();

  // Of one generation: it left the queue; its first token came, so long after that; tokens were
  // computed beyond those told before; it ended.
  void started(double queued_seconds);
  void first_token(double seconds);
  void computed(const Usage& more);
  void finished(std::string_view reason);
  void failed(std::string_view code);
  // From a token's computation to its frame given to the socket.
  void delivered(std::chrono::duration<double> seconds);
  void paused();                                     // a session or stream whose reader lags
  void refused_message(std::string_view code);       // of a WebSocket
  void answered(std::string_view path, int status);  // `path` of a route, not as sent

  struct Gauges {
    std::span<const ModelStatus> models;
    size_t connections = 0, sessions = 0;
    uint64_t resident_bytes = 0;
    std::vector<std::pair<const char*, uint64_t>> refused;  // by the network, since the start
  };
  std::string text(const Gauges& gauges);

 private:
  struct Families;
  std::unique_ptr<Families> families_;
};

}  // namespace lamina::daemon
