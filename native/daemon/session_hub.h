// SPDX-License-Identifier: Apache-2.0
// lamina.v1: sessions, their requests, and the connections that they are on. A session outlives its
// connection by a grace period in which generations go on and frames are kept; `resume` puts it on
// another connection. Everything happens on the event loop's thread.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <unordered_map>

#include "native/daemon/catalogue.h"
#include "native/daemon/desk.h"
#include "native/daemon/log.h"
#include "native/daemon/metrics.h"
#include "native/daemon/protocol.h"

namespace lamina::daemon {

struct HubOptions {
  double grace_seconds = 30.0;
  size_t buffer_bytes = size_t{1} << 20;    // of a session: frames that may be told again
  size_t unsent_bytes = size_t{768} << 10;  // of a connection: beyond it its generations pause;
                                            // more than half of NetOptions::max_unsent
  size_t message_bytes = size_t{1} << 20;
  size_t sessions = 1024;  // beyond it those without a connection end, oldest first
  std::string version;
  // What else comes and goes with a model that a client loads or unloads; on the desk's worker.
  std::function<void(const std::string& name, const std::string& directory)> loaded;
  std::function<void(const std::string& name)> unloaded;
};

// What the hub is made with; all outlive it.
struct HubParts {
  EventLoop& loop;
  Desk& desk;
  Service& service;
  const Catalogue& catalogue;
  Metrics& metrics;
  Log& log;
};

class Session;
class Connection;

class SessionHub {
 public:
  SessionHub(const HubParts& parts, HubOptions options);
  ~SessionHub();

  // For HttpServer::add_websocket. `who` names the peer in the log.
  std::shared_ptr<WebSocketHandler> connect(const std::string& who);

  void set_draining() { draining_ = true; }
  size_t sessions() const { return sessions_.size(); }
  size_t connections() const { return connections_; }

 private:
  friend class Session;
  friend class Connection;

  std::shared_ptr<Session> create_session();
  std::shared_ptr<Session> find_session(const std::string& id) const;
  void detached(const std::shared_ptr<Session>& session);
  void end(const std::string& id);
  void make_room();
  std::vector<ModelEntry> model_entries() const;
  StatusFacts status_facts() const;
  std::string default_model() const;  // empty when none is loaded

  HubParts parts_;
  HubOptions options_;
  std::unordered_map<std::string, std::shared_ptr<Session>> sessions_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // for timers that outlast this
  std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
  size_t connections_ = 0;
  bool draining_ = false;
};

}  // namespace lamina::daemon
