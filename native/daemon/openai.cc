// SPDX-License-Identifier: Apache-2.0
#include "native/daemon/openai.h"

#include <ctime>

#include "native/daemon/openai_job.h"

namespace lamina::daemon {
namespace {

constexpr std::string_view kModelPath = "/v1/models/";

const HttpResponder::Headers& json_headers() {
  static const HttpResponder::Headers kHeaders = {{"Content-Type", "application/json"}};
  return kHeaders;
}

// Clients open a connection for each request that they make at once, so it is the address that
// tells them apart, and whom they say they ask for.
std::string caller_of(const HttpRequest& request, const std::string& user) {
  return "http " + request.peer.substr(0, request.peer.rfind(':')) + " " + user;
}

}  // namespace

OpenAi::OpenAi(const OpenAiParts& parts, const OpenAiOptions& options)
    : parts_(parts), options_(options), created_(std::time(nullptr)) {}

void OpenAi::add_routes(HttpServer& server) {
  const auto list = [this](const HttpRequest& request, std::shared_ptr<HttpResponder> responder) {
    models(request, responder);
  };
  server.add({"GET", "/v1/models", 0, true, true, list});
  server.add({"GET", "/v1/models/*", 0, true, true, list});
  for (const bool chat : {true, false}) {
    server.add({"POST", chat ? "/v1/chat/completions" : "/v1/completions", options_.max_body, true,
                true,
                [this, chat](const HttpRequest& request, std::shared_ptr<HttpResponder> responder) {
                  complete(chat, request, responder);
                }});
  }
  server.add({"POST", "/v1/embeddings", options_.max_body, true, true,
              [this](const HttpRequest&, std::shared_ptr<HttpResponder> responder) {
                refuse_embeddings(responder);
              }});
}

void OpenAi::models(const HttpRequest& request, const std::shared_ptr<HttpResponder>& responder) {
  const std::vector<ModelStatus> loaded = parts_.service.status();
  if (!request.path.starts_with(kModelPath)) {
    parts_.metrics.answered("/v1/models", 200);
    return responder->respond(200, json_headers(), openai_models(loaded, created_));
  }
  const std::string name = request.path.substr(kModelPath.size());
  for (const ModelStatus& model : loaded) {
    if (model.name != name) continue;
    parts_.metrics.answered("/v1/models/*", 200);
    return responder->respond(200, json_headers(), openai_model(model, created_));
  }
  parts_.metrics.answered("/v1/models/*", 404);
  const OpenAiError error{404, "The model " + quote(name) + " is not loaded",
                          "invalid_request_error", "model", "model_not_found"};
  responder->respond(404, json_headers(), openai_error_body(error));
}

void OpenAi::refuse_embeddings(const std::shared_ptr<HttpResponder>& responder) {
  parts_.metrics.answered("/v1/embeddings", 501);
  const OpenAiError error{501, "This server makes no embeddings", "invalid_request_error", "",
                          "not_implemented"};
  responder->respond(501, json_headers(), openai_error_body(error));
}

void OpenAi::complete(bool chat, const HttpRequest& request,
                      const std::shared_ptr<HttpResponder>& responder) {
  auto parsed = chat ? parse_chat_request(request.body) : parse_completion_request(request.body);
  if (const auto* error = std::get_if<OpenAiError>(&parsed)) {
    parts_.metrics.answered(chat ? "/v1/chat/completions" : "/v1/completions", error->status);
    return responder->respond(error->status, json_headers(), openai_error_body(*error));
  }
  auto& wanted = std::get<OpenAiRequest>(parsed);
  for (GenerateRequest& prompt : wanted.prompts) {
    prompt.caller = caller_of(request, wanted.user);
  }
  OpenAiJob::run(parts_, options_, std::move(wanted), responder);
}

}  // namespace lamina::daemon
