// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "core/base/json.h"
#include "native/daemon/protocol.h"

namespace lamina::daemon {
namespace {

JsonWriter begin(std::string_view type) {
  JsonWriter json;
  json.begin_object().member("type", type);
  return json;
}

JsonWriter begin(std::string_view type, FrameOf of) {
  JsonWriter json = begin(type);
  json.member("id", of.id).member("seq", of.seq);
  return json;
}

std::string end(JsonWriter& json) {
  return json.end_object().take();
}

void write_usage(JsonWriter& json, const Usage& usage) {
  json.key("usage").begin_object();
  json.member("prompt_tokens", usage.prompt_tokens).member("cached_tokens", usage.cached_tokens);
  json.member("completion_tokens", usage.completion_tokens).end_object();
}

void write_model(JsonWriter& json, const ModelEntry& model) {
  json.begin_object().member("name", model.name).member("default", model.is_default);
  json.member("loaded", model.status.has_value());
  if (model.status) {
    const ModelStatus& s = *model.status;
    json.member("backend", s.backend).member("backend_reason", s.backend_reason);
    json.member("device", s.device).key("backends").begin_array();
    for (const std::string& backend : s.backends) json.value(backend);
    json.end_array().member("context", s.context).member("parallel", s.parallel);
  }
  json.end_object();
}

// JSON has no infinity: what is impossible gets the number that OpenAI's servers give it.
double finite(float logprob) {
  return std::max(static_cast<double>(logprob), -9999.0);
}

void write_logprob(JsonWriter& json, const Logprob& p) {
  json.begin_object().member("token", p.token).member("logprob", finite(p.logprob));
  json.member("text", p.bytes).key("bytes").begin_array();
  for (const char c : p.bytes) json.value(static_cast<int>(static_cast<unsigned char>(c)));
  json.end_array();
}

void write_logprobs(JsonWriter& json, const std::vector<Logprob>& logprobs) {
  if (logprobs.empty()) return;
  write_logprob(json, logprobs.front());
  json.key("top").begin_array();
  for (size_t i = 1; i < logprobs.size(); ++i) {
    write_logprob(json, logprobs[i]);
    json.end_object();
  }
  json.end_array().end_object();
}

void write_status(JsonWriter& json, const ModelStatus& s) {
  json.begin_object().member("name", s.name).member("backend", s.backend);
  json.member("context", s.context).member("parallel", s.parallel);
  json.member("running", s.running).member("queued", s.queued);
  json.member("tokens_per_second", s.tokens_per_second);
  json.key("memory").begin_object().member("weights", s.weight_bytes).member("kv", s.kv_bytes);
  json.member("activations", s.activation_bytes).end_object();
  json.key("kv_pages").begin_object().member("total", s.kv_pages).member("used", s.kv_pages_used);
  json.member("cached", s.kv_pages_cached).end_object().end_object();
}

}  // namespace

std::string hello_frame(const HelloFacts& facts) {
  JsonWriter json = begin("hello");
  json.member("protocol", kProtocolName).member("version", facts.version);
  json.member("session", facts.session).member("grace_seconds", facts.grace_seconds);
  json.key("models").begin_array();
  for (const ModelEntry& model : facts.models) write_model(json, model);
  json.end_array().key("limits").begin_object();
  json.member("message_bytes", uint64_t{facts.message_bytes});
  json.member("buffer_bytes", uint64_t{facts.buffer_bytes});
  json.member("requests", uint64_t{ProtocolLimits::kRequests});
  json.member("stops", uint64_t{ProtocolLimits::kStops});
  json.member("logprobs", uint64_t{ProtocolLimits::kTopLogprobs}).end_object();
  return end(json);
}

std::string resumed_frame(const std::string& session, std::span<const ResumedRequest> requests) {
  JsonWriter json = begin("resumed");
  json.member("session", session).key("requests").begin_array();
  for (const ResumedRequest& r : requests) {
    json.begin_object().member("id", r.id).member("seq", r.seq).member("finished", r.finished);
    json.end_object();
  }
  json.end_array();
  return end(json);
}

std::string started_frame(FrameOf of, const std::string& model, const Usage& usage, uint64_t seed) {
  JsonWriter json = begin("started", of);
  json.member("model", model).member("seed", seed).member("prompt_tokens", usage.prompt_tokens);
  json.member("cached_tokens", usage.cached_tokens);
  return end(json);
}

std::string token_frame(FrameOf of, std::span<const GenerationEvent* const> tokens) {
  JsonWriter json = begin("token", of);
  std::string text;
  bool logprobs = false;
  for (const GenerationEvent* event : tokens) {
    text += event->text;
    logprobs = logprobs || !event->logprobs.empty();
  }
  json.member("text", text).key("tokens").begin_array();
  for (const GenerationEvent* event : tokens) {
    if (event->token >= 0) json.value(event->token);
  }
  json.end_array();
  if (logprobs) {
    json.key("logprobs").begin_array();
    for (const GenerationEvent* event : tokens) write_logprobs(json, event->logprobs);
    json.end_array();
  }
  return end(json);
}

std::string notice_frame(FrameOf of, const std::string& text) {
  JsonWriter json = begin("notice", of);
  json.member("text", text);
  return end(json);
}

std::string done_frame(FrameOf of, FinishReason finish, const Usage& usage,
                       const Timings& timings) {
  JsonWriter json = begin("done", of);
  json.member("finish", finish_reason_name(finish));
  write_usage(json, usage);
  json.key("timings").begin_object().member("queued", timings.queued);
  json.member("first_token", timings.first_token).member("total", timings.total).end_object();
  return end(json);
}

std::string failed_frame(FrameOf of, std::string_view code, const std::string& message) {
  JsonWriter json = begin("error", of);
  json.member("code", code).member("message", message);
  return end(json);
}

std::string progress_frame(FrameOf of, const LoadProgress& progress) {
  JsonWriter json = begin("progress", of);
  json.member("stage", progress.stage).member("done", progress.done);
  json.member("total", progress.total);
  return end(json);
}

std::string loaded_frame(FrameOf of, const ModelEntry& model) {
  JsonWriter json = begin("loaded", of);
  json.key("model");
  write_model(json, model);
  return end(json);
}

std::string unloaded_frame(FrameOf of, const std::string& model) {
  JsonWriter json = begin("unloaded", of);
  json.member("model", model);
  return end(json);
}

std::string switched_frame(FrameOf of, const std::string& model, const std::string& backend) {
  JsonWriter json = begin("switched", of);
  json.member("model", model).member("backend", backend);
  return end(json);
}

std::string error_frame(const ProtocolError& error) {
  JsonWriter json = begin("error");
  if (!error.id.empty()) json.member("id", error.id);
  json.member("code", error.code).member("message", error.message);
  if (!error.field.empty()) json.member("field", error.field);
  return end(json);
}

std::string status_frame(const StatusFacts& facts) {
  JsonWriter json = begin("status");
  json.member("uptime", facts.uptime).member("draining", facts.draining);
  json.member("connections", uint64_t{facts.connections});
  json.member("sessions", uint64_t{facts.sessions});
  json.key("memory").begin_object().member("resident", facts.resident_bytes);
  json.member("available", facts.available_bytes).end_object().key("models").begin_array();
  for (const ModelStatus& model : facts.models) write_status(json, model);
  json.end_array();
  return end(json);
}

}  // namespace lamina::daemon
