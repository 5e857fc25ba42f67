// SPDX-License-Identifier: Apache-2.0
// Engines over one small random model, with answers whose every word is remembered.
#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "backends/cpu/cpu_backend.h"
#include "backends/reference/reference_backend.h"
#include "core/engine/survivor.h"
#include "tests/support/faulty_backend.h"
#include "tests/support/random_model.h"

namespace lamina::test {

enum class Kind : uint8_t { kReference, kCpu };

// What a user and a program saw of an answer.
struct Transcript {
  std::string text;
  std::vector<int32_t> ids;
  int ends = 0;
  FinishReason finish = FinishReason::kNone;

  void add(const TokenEvent& event) {
    text += event.text;
    if (event.token >= 0) ids.push_back(event.token);
    ends += event.finish != FinishReason::kNone;
    finish = event.finish;
  }
  bool operator==(const Transcript&) const = default;
};

class SurvivalTest : public ::testing::Test {
 protected:
  SurvivalTest() : tokenizer_(read_tokenizer()) {
    ModelConfig config = small_config();
    config.vocab_size = tokenizer_.vocab_size();
    config.hidden_size = 48;  // smaller yet: sanitizers slow the oracle down
    config.intermediate_size = 100;
    config.head_dim = 16;
    set_config(config);
  }

  static Tokenizer read_tokenizer() {
    std::ifstream file(LAMINA_SOURCE_DIR "/tests/models/storyteller/tokenizer.json");
    const std::string json{std::istreambuf_iterator<char>(file), {}};
    return Tokenizer::from_json(json, "tokenizer.json").value();
  }

  void set_config(const ModelConfig& config) { model_ = random_model(config, DType::kF32); }

  std::unique_ptr<Backend> backend(Kind kind, const Fault& fault = {}) const {
    std::unique_ptr<Backend> inner;
    if (kind == Kind::kReference) {
      inner = make_reference_backend(decodes_ ? 32 : 0);
    } else {
      inner = std::move(make_cpu_backend({.threads = 1, .force_isa = ""})).value();
    }
    return std::make_unique<FaultyBackend>(std::move(inner), fault);
  }

  Result<std::unique_ptr<Engine>> try_engine(Kind kind, const Fault& fault = {}) const {
    return Engine::create(backend(kind, fault), model_->config, model_->weights, engine_options_);
  }
  std::unique_ptr<Engine> engine(Kind kind, const Fault& fault = {}) const {
    return std::move(try_engine(kind, fault)).value();
  }

  // A survivor that begins with `first`, and whose replacements have the `later` faults in turn;
  // those of the same kind are `kind`, the fallback is the CPU.
  std::unique_ptr<Survivor> survivor(Kind kind, const Fault& first, std::vector<Fault> later = {}) {
    const auto make = [this, kind, later](Survivor::Next next) {
      const size_t number = asked_.size();
      asked_.push_back(next);
      return try_engine(next == Survivor::Next::kSameKind ? kind : Kind::kCpu,
                        number < later.size() ? later[number] : Fault{});
    };
    told_.clear();
    asked_.clear();
    return std::make_unique<Survivor>(engine(kind, first), survivor_options_, make,
                                      [this](std::string_view line) { told_.emplace_back(line); });
  }

  static std::vector<int32_t> prompt(int32_t n, int32_t salt = 0) {
    std::vector<int32_t> ids;
    for (int32_t i = 0; i < n; ++i) ids.push_back((i * 37 + salt * 11 + 300) % 2000);
    return ids;
  }

  static AnswerOptions sampled(int32_t n) {
    AnswerOptions options;
    options.sampling.temperature = 1.0f;
    options.sampling.repeat_penalty = 1.1f;
    options.sampling.seed = 11;
    options.max_new_tokens = n;
    options.ignore_eos = true;
    return options;
  }
  static AnswerOptions greedy(int32_t n) {
    AnswerOptions options = sampled(n);
    options.sampling.temperature = 0.0f;
    return options;
  }

  // What a backend may choose by itself.
  static AnswerOptions without_penalty(AnswerOptions options) {
    options.sampling.repeat_penalty = 1.0f;
    return options;
  }

  // The rest of the session's answer; `before_step` may do what it likes between two tokens.
  static Result<Transcript> finish(
      Survivor& s, Session& session, const std::function<void()>& before_step = [] {}) {
    Transcript seen;
    Session* const sessions[] = {&session};
    while (!session.finished()) {
      before_step();
      LAMINA_ASSIGN(const bool worked,
                    s.step(sessions, [&](Session&, const TokenEvent& event) { seen.add(event); }));
      EXPECT_TRUE(worked);
      if (!worked) break;
    }
    return seen;
  }

  Result<Transcript> answer(Survivor& s, Session& session, std::span<const int32_t> ids,
                            const AnswerOptions& options) {
    s.begin_answer();
    LAMINA_TRY(session.set_prompt(ids, options));
    return finish(s, session);
  }

  // A whole answer of a fresh survivor.
  Transcript answer(Kind kind, std::span<const int32_t> ids, const AnswerOptions& options,
                    const Fault& first = {}, std::vector<Fault> later = {},
                    AtLimit at_limit = AtLimit::kStop) {
    const auto s = survivor(kind, first, std::move(later));
    Session& session = *s->new_session(&tokenizer_, at_limit).value();
    const Result<Transcript> seen = answer(*s, session, ids, options);
    EXPECT_TRUE(seen) << seen.error().message;
    return seen ? *seen : Transcript{};
  }

  Tokenizer tokenizer_;
  std::unique_ptr<RandomModel> model_;
  EngineOptions engine_options_{256, 3, 40, 40, KvDType::kF16};
  SurvivorOptions survivor_options_;
  bool decodes_ = false;  // the reference, several tokens at a time
  std::vector<std::string> told_;
  std::vector<Survivor::Next> asked_;
};

}  // namespace lamina::test
