// SPDX-License-Identifier: Apache-2.0
// One request of OpenAI's API on its way: its generations, and the answer or stream that they make.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "native/daemon/openai.h"
#include "native/daemon/openai_answer.h"

namespace lamina::daemon {

// Lives as long as it is needed: the desk and the responder hold it.
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
    bool begun = false, done = false;
    size_t offset = 0;  // bytes told
  };

  void submit();
  void on_events(size_t index, std::span<const GenerationEvent> events);
  void on_tokens(size_t index, std::span<const GenerationEvent* const> tokens);
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
  bool logprobs_ = false, streaming_ = false, over_ = false, paused_ = false;
};

}  // namespace lamina::daemon
