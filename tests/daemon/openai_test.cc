// SPDX-License-Identifier: Apache-2.0
// OpenAI's API on a fake service: what is taken, refused, streamed and told.
#include "native/daemon/openai.h"

#include <gtest/gtest.h>

#include <thread>

#include "native/daemon/openai_request.h"
#include "tests/daemon/fakes.h"

namespace lamina::daemon {
namespace {

OpenAiError refusal(const std::variant<OpenAiRequest, OpenAiError>& parsed) {
  const auto* error = std::get_if<OpenAiError>(&parsed);
  return error ? *error : OpenAiError{200, "taken", "", "", ""};
}

// The rest of a chat request in JSON, without braces.
std::string chat_param(const std::string& rest) {
  const OpenAiError e = refusal(parse_chat_request(
      R"({"model":"owl","messages":[{"role":"user","content":"Hi"}],)" + rest + "}"));
  return e.status == 200 ? "taken" : e.param;
}
std::string completion_param(const std::string& rest) {
  const OpenAiError e = refusal(parse_completion_request(R"({"model":"owl",)" + rest + "}"));
  return e.status == 200 ? "taken" : e.param;
}

TEST(OpenAiRequest, TakesWhatClientsSend) {
  EXPECT_EQ(chat_param(R"("stream":true,"stream_options":{"include_usage":true})"), "taken");
  EXPECT_EQ(chat_param(R"("user":"me","metadata":{"a":"b"},"store":false,"unheard_of":[1])"),
            "taken");
  EXPECT_EQ(chat_param(R"("temperature":null,"stop":null,"seed":-5,"n":null,"tools":[])"), "taken");
  EXPECT_EQ(chat_param(R"("response_format":{"type":"text"},"stop":["a","b"],"top_k":-1)"),
            "taken");
  EXPECT_EQ(completion_param(R"("prompt":["a","b"],"n":4,"best_of":4)"), "taken");
}

TEST(OpenAiRequest, NamesWhatItRefuses) {
  EXPECT_EQ(chat_param(R"("temperature":"hot")"), "temperature");
  EXPECT_EQ(chat_param(R"("temperature":2.5)"), "temperature");
  EXPECT_EQ(chat_param(R"("top_p":-0.1)"), "top_p");
  EXPECT_EQ(chat_param(R"("max_tokens":0)"), "max_tokens");
  EXPECT_EQ(chat_param(R"("max_completion_tokens":1.5)"), "max_completion_tokens");
  EXPECT_EQ(chat_param(R"("n":129)"), "n");
  EXPECT_EQ(chat_param(R"("n":9,"logprobs":true)"), "n");
  EXPECT_EQ(chat_param(R"("n":9,"logprobs":true,"stream":true)"), "taken");
  EXPECT_EQ(chat_param(R"("n":1000000000)"), "n");
  EXPECT_EQ(chat_param(R"("stop":5)"), "stop");
  EXPECT_EQ(chat_param(R"("stop":["a",5])"), "stop[1]");
  EXPECT_EQ(chat_param(R"("stream":"yes")"), "stream");
  EXPECT_EQ(chat_param(R"("stream_options":{"include_usage":true})"), "stream_options");
  EXPECT_EQ(chat_param(R"("top_logprobs":3)"), "top_logprobs");
  EXPECT_EQ(chat_param(R"("logprobs":true,"top_logprobs":21)"), "top_logprobs");
  EXPECT_EQ(chat_param(R"("logit_bias":{"x":1})"), "logit_bias");
  EXPECT_EQ(chat_param(R"("response_format":{"type":"json_object"})"), "response_format.type");
  EXPECT_EQ(chat_param(R"("tools":[{"type":"function"}])"), "tools");
  EXPECT_EQ(chat_param(R"("presence_penalty":3)"), "presence_penalty");
  EXPECT_EQ(completion_param(R"("prompt":[])"), "prompt");
  EXPECT_EQ(completion_param(R"("prompt":[[1],[]])"), "prompt[1]");
  EXPECT_EQ(completion_param(R"("prompt":[1,"a"])"), "prompt[1]");
  EXPECT_EQ(completion_param(R"("prompt":[1.5])"), "prompt[0]");
  EXPECT_EQ(completion_param(R"("prompt":[[3,-1]])"), "prompt[0][1]");
  EXPECT_EQ(completion_param(R"("prompt":[2147483648])"), "prompt[0]");
  EXPECT_EQ(completion_param(R"("prompt":[[1],"a"])"), "prompt[1]");
  EXPECT_EQ(completion_param(R"("prompt":["a",[1]])"), "prompt[1]");
  std::string many = "[1]";
  for (int i = 1; i < 128; ++i) many += ",[1]";
  EXPECT_EQ(completion_param(R"("prompt":[)" + many + "]"), "taken");
  EXPECT_EQ(completion_param(R"("n":2,"prompt":[)" + many + "]"), "n");
  EXPECT_EQ(completion_param(R"("prompt":[)" + many + ",[1]]"), "prompt");
  const std::string large(size_t{1} << 20, 'x');
  EXPECT_EQ(completion_param(R"("n":16,"echo":true,"prompt":")" + large + "\""), "taken");
  EXPECT_EQ(completion_param(R"("n":17,"echo":true,"prompt":")" + large + "\""), "echo");
  EXPECT_EQ(completion_param(R"("prompt":[1],"echo":true)"), "echo");
  EXPECT_EQ(completion_param(R"("prompt":{"a":1})"), "prompt");
  EXPECT_EQ(completion_param(R"("prompt":"x","user":5)"), "user");
  EXPECT_EQ(completion_param(R"("prompt":"x","suffix":"y")"), "suffix");
  EXPECT_EQ(completion_param(R"("prompt":["a","b","c"],"n":43)"), "n");
  EXPECT_EQ(completion_param(R"("prompt":"x","logprobs":true)"), "logprobs");
  const auto silent = refusal(parse_chat_request(R"({"messages":[{"role":"user"}]})"));
  EXPECT_EQ(silent.param, "messages[0].content");
  const auto missing = refusal(parse_chat_request("{}"));
  EXPECT_EQ(missing.param + missing.code, "messagesmissing_required_parameter");
  EXPECT_EQ(refusal(parse_chat_request("[]")).status, 400);
  EXPECT_EQ(refusal(parse_chat_request("{")).status, 400);
  EXPECT_EQ(refusal(parse_chat_request(std::string(5000, '['))).status, 400);
}

TEST(OpenAiRequest, ReadsContentOfBothShapes) {
  const auto parsed = parse_chat_request(
      R"({"messages":[{"role":"developer","content":"Be brief."},{"role":"user","content":)"
      R"([{"type":"text","text":"Hel"},{"type":"text","text":"lo"}]}],"n":2,"seed":7})");
  const auto& request = std::get<OpenAiRequest>(parsed);
  ASSERT_EQ(request.choices(), 2u);
  const auto& messages = request.prompts[0].messages;
  EXPECT_EQ(messages[0].role + messages[1].content, "systemHello");
  EXPECT_EQ(request.choice(0).answer.sampling.seed, 7u);
  EXPECT_EQ(request.choice(1).answer.sampling.seed, 8u);
  const auto image = refusal(parse_chat_request(
      R"({"messages":[{"role":"user","content":[{"type":"image_url","image_url":{}}]}]})"));
  EXPECT_EQ(image.param, "messages[0].content[0].type");
}

TEST(OpenAiRequest, TakesPromptsOfTokens) {
  const auto request = [](const std::string& prompt) {
    auto parsed = parse_completion_request(R"({"n":2,"prompt":)" + prompt + "}");
    return std::get<OpenAiRequest>(std::move(parsed));
  };
  using Ids = std::vector<int32_t>;
  const OpenAiRequest one = request("[5, 0, 2147483647]");
  ASSERT_EQ(one.choices(), 2u);
  EXPECT_EQ(one.choice(1).prompt_ids, (Ids{5, 0, INT32_MAX}));
  const OpenAiRequest two = request("[[7, 8], [9]]");
  ASSERT_EQ(two.choices(), 4u);
  EXPECT_EQ(two.choice(1).prompt_ids, (Ids{7, 8}));
  EXPECT_EQ(two.choice(2).prompt_ids, Ids{9});
  EXPECT_NE(two.choice(2).answer.sampling.seed, two.choice(3).answer.sampling.seed);
}

class OpenAiTest : public testing::Test {
 protected:
  std::shared_ptr<FakeResponder> post(const std::string& body, size_t generations,
                                      bool chat = true) {
    auto responder = std::make_shared<FakeResponder>();
    HttpRequest request;
    request.body = body;
    const size_t before = service.count();
    api.complete(chat, request, responder);
    for (int i = 0; i < 5000 && service.count() < before + generations; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      loop.run_posted();
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    loop.run_posted();
    return responder;
  }
  // The service has the generation.
  bool reached(GenerationId id) {
    for (int i = 0; i < 5000 && service.count() < id; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      loop.run_posted();
    }
    return service.count() >= id;
  }
  // The API has heard so many refusals.
  bool refused(int count) {
    const std::string line =
        "lamina_generations_total{end=\"error_queue_full\"} " + std::to_string(count) + "\n";
    for (int i = 0; i < 5000 && metrics.text({}).find(line) == std::string::npos; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      loop.run_posted();
    }
    return metrics.text({}).find(line) != std::string::npos;
  }
  void answer(GenerationId id) {
    service.start(id);
    service.token(id, 5, "Hé");
    loop.run_posted();
    service.token(id, 6, "llo");
    service.finish(id);
    loop.run_posted();
  }
  // The data lines of a stream.
  static std::vector<std::string> events(const std::string& body) {
    std::vector<std::string> out;
    for (size_t at = 0; at < body.size();) {
      const size_t end = body.find("\n\n", at);
      out.push_back(body.substr(at + 6, end - at - 6));
      at = end + 2;
    }
    return out;
  }

  FakeLoop loop;
  FakeService service;
  Metrics metrics{"test"};
  Desk desk{loop, service, metrics};
  OpenAi api{{loop, desk, service, metrics}, {}};
  const std::string messages = R"("model":"owl","messages":[{"role":"user","content":"Hi"}])";
};

TEST_F(OpenAiTest, AnswersAtOnce) {
  const auto r = post("{" + messages + R"(,"logprobs":true,"top_logprobs":1})", 1);
  answer(1);
  ASSERT_EQ(r->status, 200);
  EXPECT_EQ(json_at(r->body, "object"), "chat.completion");
  EXPECT_EQ(json_at(r->body, "choices.0.message.content"), "Héllo");
  EXPECT_EQ(json_at(r->body, "choices.0.finish_reason"), "stop");
  EXPECT_EQ(json_at(r->body, "choices.0.logprobs.content.1.top_logprobs.0.token"), "llo");
  EXPECT_EQ(json_at(r->body, "choices.0.logprobs.content.0.bytes"), "#3");
  EXPECT_EQ(json_at(r->body, "usage.total_tokens"), "5");
  EXPECT_EQ(json_at(r->body, "usage.prompt_tokens_details.cached_tokens"), "1");
  EXPECT_EQ(json_at(r->body, "model"), "owl");
}

TEST_F(OpenAiTest, Streams) {
  const auto r =
      post("{" + messages + R"(,"stream":true,"stream_options":{"include_usage":true}})", 1);
  EXPECT_EQ(r->status, 0);  // nothing is said before it is known whether it works
  answer(1);
  EXPECT_TRUE(r->ended);
  const std::vector<std::string> lines = events(r->body);
  ASSERT_EQ(lines.size(), 5u);
  EXPECT_EQ(json_at(lines[0], "object"), "chat.completion.chunk");
  EXPECT_EQ(json_at(lines[0], "choices.0.delta.role"), "assistant");
  EXPECT_EQ(json_at(lines[0], "choices.0.delta.content"), "Hé");
  EXPECT_EQ(json_at(lines[1], "choices.0.delta.role"), "-");
  EXPECT_EQ(json_at(lines[1], "usage"), "null");
  EXPECT_EQ(json_at(lines[2], "choices.0.finish_reason"), "stop");
  EXPECT_EQ(json_at(lines[3], "choices"), "#0");
  EXPECT_EQ(json_at(lines[3], "usage.completion_tokens"), "2");
  EXPECT_EQ(lines[4], "[DONE]");
}

TEST_F(OpenAiTest, CompletesWithTheOlderShape) {
  const auto r = post(R"({"prompt":"Once","echo":false,"logprobs":1})", 1, false);
  EXPECT_EQ(service.generations[1].request.answer.max_new_tokens, 16);
  answer(1);
  EXPECT_EQ(json_at(r->body, "object"), "text_completion");
  EXPECT_EQ(json_at(r->body, "choices.0.text"), "Héllo");
  EXPECT_EQ(json_at(r->body, "choices.0.logprobs.tokens.1"), "llo");
  EXPECT_EQ(json_at(r->body, "choices.0.logprobs.text_offset.1"), "3");
  EXPECT_EQ(json_at(r->body, "choices.0.logprobs.top_logprobs.0"), "#1");
  EXPECT_EQ(json_at(r->body, "model"), "owl");
  const auto echoed = post(R"({"prompt":"Once ","echo":true})", 1, false);
  answer(2);
  EXPECT_EQ(json_at(echoed->body, "choices.0.text"), "Once Héllo");
}

TEST_F(OpenAiTest, ManyChoicesCountTheirPromptOnce) {
  const auto r = post("{" + messages + R"(,"n":2})", 2);
  answer(2);
  EXPECT_FALSE(r->ended);
  answer(1);
  EXPECT_EQ(json_at(r->body, "choices"), "#2");
  EXPECT_EQ(json_at(r->body, "choices.1.index"), "1");
  EXPECT_EQ(json_at(r->body, "usage.prompt_tokens"), "3");
  EXPECT_EQ(json_at(r->body, "usage.completion_tokens"), "4");
}

TEST_F(OpenAiTest, AFewChoicesAtATime) {
  const auto r = post("{" + messages + R"(,"n":20,"seed":1})", 8);
  EXPECT_EQ(service.count(), 8u);
  for (GenerationId id = 1; id <= 20; ++id) {
    ASSERT_TRUE(reached(id));
    EXPECT_EQ(service.generations[id].request.answer.sampling.seed, id);
    answer(id);
  }
  EXPECT_EQ(json_at(r->body, "choices"), "#20");
  EXPECT_EQ(json_at(r->body, "choices.19.message.content"), "Héllo");
  EXPECT_EQ(json_at(r->body, "usage.completion_tokens"), "40");
}

TEST_F(OpenAiTest, WhatAFullQueueRefusesWaitsForTheOthers) {
  service.places = 2;
  const auto r = post("{" + messages + R"(,"n":4})", 2);
  ASSERT_TRUE(refused(2));
  EXPECT_FALSE(r->ended);
  answer(1);
  ASSERT_TRUE(reached(3));
  answer(2);
  ASSERT_TRUE(reached(4));
  service.places = 0;
  answer(4);
  EXPECT_FALSE(r->ended);
  answer(3);
  EXPECT_TRUE(r->ended);
  EXPECT_EQ(json_at(r->body, "choices"), "#4");
  // Nothing of it at work: it tries again in a while.
  service.places = 1;
  const auto second = post("{" + messages + R"(,"n":2})", 1);
  ASSERT_TRUE(refused(3));
  service.places = 0;
  answer(5);
  ASSERT_TRUE(refused(4));
  EXPECT_FALSE(second->ended);
  service.places = 1;
  loop.pass(1.0);
  ASSERT_TRUE(reached(6));
  answer(6);
  EXPECT_EQ(json_at(second->body, "choices"), "#2");
  // Nothing of it was ever taken.
  service.places = 0;
  const auto third = post("{" + messages + R"(,"n":3})", 0);
  EXPECT_TRUE(loop.run_until([&] { return third->ended; }));
  EXPECT_EQ(third->status, 429);
}

TEST_F(OpenAiTest, EqualPromptsCountEach) {
  const auto r = post(R"({"prompt":[[1,2,3],[1,2,3]]})", 2, false);
  answer(1);
  answer(2);
  EXPECT_EQ(json_at(r->body, "usage.prompt_tokens"), "6");
}

TEST_F(OpenAiTest, SaysWhoAsks) {
  const auto caller = [&](const std::string& peer, const std::string& more) {
    HttpRequest request;
    request.peer = peer;
    request.body = "{" + messages + more + "}";
    const size_t before = service.count();
    api.complete(true, request, std::make_shared<FakeResponder>());
    EXPECT_TRUE(loop.run_until([&] {
      loop.post([] { std::this_thread::sleep_for(std::chrono::milliseconds(1)); });
      return service.count() > before;
    }));
    return service.generations[service.last].request.caller;
  };
  const std::string one = caller("10.0.0.1:5001", "");
  EXPECT_EQ(caller("10.0.0.1:5002", ""), one);
  EXPECT_NE(caller("10.0.0.2:5001", ""), one);
  EXPECT_NE(caller("[::1]:5001", ""), caller("[::2]:5001", ""));
  EXPECT_NE(caller("10.0.0.1:5001", R"(,"user":"ann")"), one);
}

TEST_F(OpenAiTest, RefusalsHaveTheirStatus) {
  struct Case {
    Code code;
    int status;
    const char *type, *told, *retry;
  };
  const Case cases[] = {
      {Code::kNotFound, 404, "invalid_request_error", "model_not_found", ""},
      {Code::kInvalidArgument, 400, "invalid_request_error", "invalid_value", ""},
      {Code::kContextExceeded, 400, "invalid_request_error", "context_length_exceeded", ""},
      {Code::kQueueFull, 429, "rate_limit_error", "queue_full", "1"},
      {Code::kDraining, 503, "server_error", "draining", "5"},
      {Code::kUnloaded, 503, "server_error", "unloaded", "1"},
      {Code::kCancelled, 503, "server_error", "server_unavailable", "1"},
      {Code::kResourceExhausted, 503, "server_error", "server_unavailable", "1"},
      {Code::kDevice, 500, "server_error", "device", ""}};
  for (const auto& [code, status, type, told, retry] : cases) {
    service.refusal = make_error(code, "no");
    auto r = std::make_shared<FakeResponder>();
    HttpRequest request;
    request.body = "{" + messages + R"(,"stream":true})";
    api.complete(true, request, r);
    EXPECT_TRUE(loop.run_until([&] { return r->ended; }));
    EXPECT_EQ(r->status, status);
    EXPECT_EQ(json_at(r->body, "error.message"), "no");
    EXPECT_EQ(json_at(r->body, "error.type"), type);
    EXPECT_EQ(json_at(r->body, "error.code"), told);
    std::string after;
    for (const auto& [name, value] : r->headers) after += name == "Retry-After" ? value : "";
    EXPECT_EQ(after, retry) << told;
  }
}

TEST_F(OpenAiTest, AFailureInAStreamIsTold) {
  const auto r = post("{" + messages + R"(,"stream":true})", 1);
  service.start(1);
  loop.run_posted();
  GenerationEvent event;
  event.kind = GenerationEvent::Kind::kFailed;
  event.error = make_error(Code::kDevice, "lost");
  service.emit(1, event);
  loop.run_posted();
  EXPECT_TRUE(r->ended);
  EXPECT_EQ(json_at(events(r->body).back(), "error.message"), "lost");
}

TEST_F(OpenAiTest, WhoLeavesCancels) {
  const auto r = post("{" + messages + R"(,"n":2})", 2);
  service.start(1);
  loop.run_posted();
  r->closed();
  EXPECT_TRUE(service.generations[1].cancelled);
  EXPECT_TRUE(service.generations[2].cancelled);
  service.finish(1, FinishReason::kCancelled);
  loop.run_posted();
  EXPECT_FALSE(r->ended);
}

TEST_F(OpenAiTest, ASlowReaderOfAStreamPausesIt) {
  const auto r = post("{" + messages + R"(,"stream":true})", 1);
  service.start(1);
  r->buffered = size_t{1} << 20;
  service.token(1, 5, "x");
  loop.run_posted();
  EXPECT_TRUE(service.generations[1].paused);
  r->buffered = 0;
  r->drained();
  EXPECT_FALSE(service.generations[1].paused);
}

TEST_F(OpenAiTest, ListsModels) {
  auto r = std::make_shared<FakeResponder>();
  HttpRequest request;
  request.path = "/v1/models";
  api.models(request, r);
  EXPECT_EQ(json_at(r->body, "data.0.id"), "owl");
  request.path = "/v1/models/owl";
  api.models(request, r);
  EXPECT_EQ(json_at(r->body, "object"), "model");
  ASSERT_TRUE(service.load("somewhere", "raven", [](const LoadProgress&) {}));
  request.path = "/v1/models";
  api.models(request, r);
  EXPECT_EQ(json_at(r->body, "data.1.id"), "raven");
  ASSERT_TRUE(service.unload("raven"));
  api.models(request, r);
  EXPECT_EQ(json_at(r->body, "data"), "#1");
  request.path = "/v1/models/eagle";
  api.models(request, r);
  EXPECT_EQ(r->status, 404);
  EXPECT_EQ(json_at(r->body, "error.code"), "model_not_found");
}

}  // namespace
}  // namespace lamina::daemon
