// SPDX-License-Identifier: Apache-2.0
// One request of OpenAI's API on its way: its generations, and the answer or stream that they make.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "native/daemon/openai.h"
#include "native/daemon/openai_answer.h"

namespace lamina::daemon {

// Its choices are submitted a few at a time, so that one request fills no queue. When it is full
// all the same, those that were not taken wait for the others, and try again; with no other there
// is no answer. Lives as long as it is needed: the desk and the responder hold it.
class OpenAiJob : public std::enable_shared_from_this<OpenAiJob> {
 public:
  static void run(const OpenAiParts& parts, const OpenAiOptions& options, OpenAiRequest request,
                  std::shared_ptr<HttpResponder> responder);

  OpenAiJob(const OpenAiParts& parts, const OpenAiOptions& options, OpenAiRequest request,
            std::shared_ptr<HttpResponder> responder);

 private:
  struct Choice {
    OpenAiChoice answer;
    Ticket ticket = 0;
    bool begun = false, done = false;  // begun: something of it was streamed
    size_t offset = 0;  // bytes told
  };

  void submit_more();
  void submit(size_t index);
  void on_events(size_t index, std::span<const GenerationEvent> events);
  void on_tokens(size_t index, std::span<const GenerationEvent* const> tokens);
  void on_failed(size_t index, const Error& error);
  void on_done(size_t index, const GenerationEvent& event);
  void fail(const Error& error);
  void give_up();  // nobody waits for the answer any more
  void begin_stream();
  void write_chunk(size_t index, OpenAiChunk chunk);
  void write_event(const std::string& json);
  void finish();
  void hold_back();  // generations pause while the reader lags
  bool all_done() const;

  OpenAiParts parts_;
  OpenAiOptions options_;
  OpenAiRequest request_;
  std::shared_ptr<HttpResponder> responder_;
  OpenAiHead head_;
  std::vector<Choice> choices_;
  std::set<size_t> waiting_;  // choices that are to be submitted yet
  size_t at_work_ = 0, most_at_work_;
  bool logprobs_ = false, streaming_ = false, over_ = false, paused_ = false;
  bool started_ = false;  // a choice of it
};

}  // namespace lamina::daemon
