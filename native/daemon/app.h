// SPDX-License-Identifier: Apache-2.0
// The daemon as a whole: models loaded, port open, everything wired, until a signal ends it.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "native/daemon/config.h"
#include "native/daemon/http.h"
#include "native/daemon/log.h"
#include "native/daemon/service.h"

namespace lamina::daemon {

struct ServeConfig {
  NetOptions net;
  ServiceOptions service;
  std::vector<std::string> models;  // folders; the first is the default model
  std::string model_root;           // of models that clients may load
  std::string ui;                   // folder of pages; empty: a built-in one
  std::string token_path;
  std::string fingerprint;  // of our own certificate, where there is one
  std::string version;
  bool insecure = false;
  double grace_seconds = 30.0, drain_seconds = 30.0;
};

// What the settings ask for; the token is read, or made, and a certificate too.
Result<ServeConfig> serve_config(const Settings& settings, const std::string& version);

struct ServeFacts {
  std::string url;  // "http://127.0.0.1:8484/", without the token
};

// Serves until SIGINT or SIGTERM: then nothing new is taken, answers end, or are told when
// the drain's time is over. `ready` is called when requests are answered. Installs signal handlers.
Result<void> serve(const ServeConfig& config, Log& log,
                   const std::function<void(const ServeFacts&)>& ready);

}  // namespace lamina::daemon
