// SPDX-License-Identifier: Apache-2.0
// OpenAI's HTTP API: /v1/models, /v1/chat/completions, /v1/completions; /v1/embeddings is refused.
#pragma once

#include <memory>

#include "native/daemon/desk.h"
#include "native/daemon/http.h"
#include "native/daemon/metrics.h"

namespace lamina::daemon {

struct OpenAiOptions {
  size_t max_body = size_t{16} << 20;
  // Of one stream: beyond it its generations pause. More than half of NetOptions::max_unsent.
  size_t unsent_bytes = size_t{768} << 10;
};

// What the API is made with; all outlive it.
struct OpenAiParts {
  EventLoop& loop;
  Desk& desk;
  Service& service;
  Metrics& metrics;
};

class OpenAi {
 public:
  OpenAi(const OpenAiParts& parts, const OpenAiOptions& options);

  void add_routes(HttpServer& server);

  void models(const HttpRequest& request, const std::shared_ptr<HttpResponder>& responder);
  void complete(bool chat, const HttpRequest& request,
                const std::shared_ptr<HttpResponder>& responder);
  void refuse_embeddings(const std::shared_ptr<HttpResponder>& responder);

 private:
  OpenAiParts parts_;
  OpenAiOptions options_;
  int64_t created_;  // what models say
};

}  // namespace lamina::daemon
