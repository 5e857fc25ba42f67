// SPDX-License-Identifier: Apache-2.0
#include "native/daemon/openai_job.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <random>

namespace lamina::daemon {
namespace {

using Clock = std::chrono::steady_clock;
using Kind = GenerationEvent::Kind;

constexpr size_t kMostAtWork = 8;  // choices of one request that run or wait
constexpr double kAgainSeconds = 0.25;
constexpr const char* kRestartSeconds = "5";  // about, of a daemon that is leaving

const char* path_of(bool chat) {
  return chat ? "/v1/chat/completions" : "/v1/completions";
}

std::string draw_id(bool chat) {
  std::random_device device;
  char id[40];
  std::snprintf(id, sizeof id, "%s%08x%08x%08x", chat ? "chatcmpl-" : "cmpl-", device(), device(),
                device());
  return id;
}

}  // namespace

void OpenAiJob::run(const OpenAiParts& parts, const OpenAiOptions& options, OpenAiRequest request,
                    std::shared_ptr<HttpResponder> responder) {
  const auto job = std::make_shared<OpenAiJob>(parts, options, std::move(request), responder);
  responder->on_close([weak = std::weak_ptr(job)] {
    if (const auto self = weak.lock()) self->give_up();
  });
  responder->on_drained([weak = std::weak_ptr(job)] {
    if (const auto self = weak.lock()) self->hold_back();
  });
  job->submit_more();
}

OpenAiJob::OpenAiJob(const OpenAiParts& parts, const OpenAiOptions& options, OpenAiRequest request,
                     std::shared_ptr<HttpResponder> responder)
    : parts_(parts),
      options_(options),
      request_(std::move(request)),
      responder_(std::move(responder)) {
  head_ = {request_.chat, draw_id(request_.chat), std::time(nullptr), request_.model};
  if (head_.model.empty()) {
    const std::vector<ModelStatus> loaded = parts_.service.status();
    if (!loaded.empty()) head_.model = loaded.front().name;
  }
  choices_.resize(request_.choices());
  for (size_t i = 0; i < choices_.size(); ++i) waiting_.insert(waiting_.end(), i);
  most_at_work_ = kMostAtWork;
  logprobs_ = request_.prompts.front().top_logprobs >= 0;
}

void OpenAiJob::submit_more() {
  while (!over_ && at_work_ < most_at_work_ && !waiting_.empty()) {
    submit(waiting_.extract(waiting_.begin()).value());
  }
}

void OpenAiJob::submit(size_t index) {
  ++at_work_;
  GenerateRequest generation = request_.choice(index);
  Choice& choice = choices_[index];
  if (request_.echo) choice.answer.text = generation.prompt;
  choice.ticket = parts_.desk.submit(
      std::move(generation),
      [self = shared_from_this(), index](std::span<const GenerationEvent> events) {
        self->on_events(index, events);
      });
  if (paused_) parts_.desk.pause(choice.ticket, true);
}

void OpenAiJob::on_events(size_t index, std::span<const GenerationEvent> events) {
  std::vector<const GenerationEvent*> tokens;
  const auto flush = [&] {
    if (!tokens.empty()) on_tokens(index, tokens);
    tokens.clear();
  };
  for (const GenerationEvent& event : events) {
    if (over_) return;
    switch (event.kind) {
      case Kind::kStarted:
        started_ = true;
        if (request_.stream && !streaming_) begin_stream();
        break;
      case Kind::kToken:
        tokens.push_back(&event);
        break;
      case Kind::kDone:
        flush();
        on_done(index, event);
        break;
      case Kind::kFailed:
        flush();
        return on_failed(index, event.error);
      case Kind::kNotice:
        break;
    }
  }
  flush();
}

void OpenAiJob::on_tokens(size_t index, std::span<const GenerationEvent* const> tokens) {
  Choice& choice = choices_[index];
  if (!request_.stream) {
    for (const GenerationEvent* token : tokens) {
      choice.answer.text += token->text;
      if (logprobs_) choice.answer.tokens.push_back(*token);
    }
    return;
  }
  OpenAiChunk chunk;
  for (const GenerationEvent* token : tokens) chunk.text += token->text;
  if (logprobs_) chunk.tokens.assign(tokens.begin(), tokens.end());
  const bool silent = chunk.text.empty() && chunk.tokens.empty();
  if (silent) return;
  write_chunk(index, std::move(chunk));
  if (tokens.front()->computed != Clock::time_point{}) {
    parts_.metrics.delivered(
        std::chrono::duration<double>(Clock::now() - tokens.front()->computed));
  }
}

void OpenAiJob::on_done(size_t index, const GenerationEvent& event) {
  Choice& choice = choices_[index];
  choice.done = true;
  --at_work_;
  choice.answer.finish = event.finish;
  choice.answer.usage = event.usage;
  if (request_.stream) {
    if (!streaming_) begin_stream();
    OpenAiChunk chunk;
    chunk.finish = event.finish;
    write_chunk(index, std::move(chunk));
  }
  if (all_done()) return finish();
  submit_more();
}

void OpenAiJob::on_failed(size_t index, const Error& error) {
  const bool others = at_work_ > 1 || started_;
  if (error.code != Code::kQueueFull || !others || choices_[index].begun) return fail(error);
  choices_[index].ticket = 0;
  waiting_.insert(index);
  --at_work_;
  most_at_work_ = std::max<size_t>(at_work_, 1);
  if (at_work_ > 0) return;  // the end of one of those submits the next
  // Nothing else holds the job now.
  parts_.loop.after(kAgainSeconds, [self = shared_from_this()] { self->submit_more(); });
}

bool OpenAiJob::all_done() const {
  for (const Choice& choice : choices_) {
    if (!choice.done) return false;
  }
  return true;
}

void OpenAiJob::begin_stream() {
  streaming_ = true;
  responder_->begin(200, {{"Content-Type", "text/event-stream; charset=utf-8"},
                          {"Cache-Control", "no-store"},
                          {"X-Accel-Buffering", "no"}});
}

void OpenAiJob::write_chunk(size_t index, OpenAiChunk chunk) {
  Choice& choice = choices_[index];
  chunk.index = static_cast<int>(index);
  chunk.first = !choice.begun;
  if (chunk.first && request_.echo) chunk.text.insert(0, choice.answer.text);
  choice.begun = true;
  chunk.logprobs = logprobs_;
  chunk.usage_later = request_.include_usage;
  chunk.text_offset = choice.offset;
  choice.offset += chunk.text.size();
  write_event(openai_chunk(head_, chunk));
}

void OpenAiJob::write_event(const std::string& json) {
  responder_->write("data: " + json + "\n\n");
  hold_back();
}

void OpenAiJob::hold_back() {
  const bool pause = !over_ && responder_->unsent() > options_.unsent_bytes;
  if (pause == paused_) return;
  paused_ = pause;
  if (pause) parts_.metrics.paused();
  for (const Choice& choice : choices_) parts_.desk.pause(choice.ticket, pause);
}

void OpenAiJob::finish() {
  over_ = true;
  std::vector<OpenAiChoice> answers;
  for (Choice& choice : choices_) answers.push_back(std::move(choice.answer));
  const Usage usage = sum_usage(answers, request_.choices_per_prompt);
  parts_.metrics.answered(path_of(request_.chat), 200);
  if (!request_.stream) {
    return responder_->respond(200, {{"Content-Type", "application/json"}},
                               openai_answer(head_, answers, usage, logprobs_));
  }
  if (request_.include_usage) write_event(openai_usage_chunk(head_, usage));
  responder_->write("data: [DONE]\n\n");
  responder_->end();
}

void OpenAiJob::fail(const Error& error) {
  give_up();
  const OpenAiError told = openai_error(error, request_.chat);
  parts_.metrics.answered(path_of(request_.chat), told.status);
  if (streaming_) {  // the status is gone; clients look for an error in the stream
    responder_->write("data: " + openai_error_body(told) + "\n\n");
    return responder_->end();
  }
  HttpResponder::Headers headers = {{"Content-Type", "application/json"}};
  const bool leaving = error.code == Code::kDraining;
  if (told.status == 429 || told.status == 503) {
    headers.emplace_back("Retry-After", leaving ? kRestartSeconds : "1");
  }
  responder_->respond(told.status, headers, openai_error_body(told));
}

void OpenAiJob::give_up() {
  over_ = true;
  for (const Choice& choice : choices_) {
    if (!choice.done && choice.ticket != 0) parts_.desk.abandon(choice.ticket);
  }
}

}  // namespace lamina::daemon
