// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "web/abi/abi.h"

namespace lamina::abi {

namespace {

constexpr int64_t kMaxStep = 4096;    // rows
constexpr int64_t kMaxSeed = INT64_MAX;
constexpr int64_t kMaxLogprobs = 20;  // of a token
constexpr int64_t kContext = 4096;    // positions, where nothing is said and the model has more
constexpr int32_t kPromptRows = 128;  // of a step: the worker answers messages between two

Result<KvDType> kv_dtype(const JsonValue& options) {
  LAMINA_ASSIGN(const std::string name, options.get_string_or("kvDtype", "f16"));
  for (KvDType dtype : {KvDType::kF32, KvDType::kF16, KvDType::kI8}) {
    if (name == kv_dtype_name(dtype)) return dtype;
  }
  return options.find("kvDtype").error(Code::kInvalidArgument, "must be f32, f16 or i8");
}

Result<void> read_sampling(const JsonValue& o, SamplingParams* s) {
  const auto number = [&](const char* name, float* to) -> Result<void> {
    LAMINA_ASSIGN(const double v, o.get_double_or(name, static_cast<double>(*to), -1e9, 1e9));
    *to = static_cast<float>(v);
    return {};
  };
  LAMINA_TRY(number("temperature", &s->temperature));
  LAMINA_TRY(number("topP", &s->top_p));
  LAMINA_TRY(number("minP", &s->min_p));
  LAMINA_TRY(number("repeatPenalty", &s->repeat_penalty));
  LAMINA_TRY(number("presencePenalty", &s->presence_penalty));
  LAMINA_TRY(number("frequencyPenalty", &s->frequency_penalty));
  LAMINA_ASSIGN(const int64_t top_k, o.get_int_or("topK", s->top_k, INT32_MIN, INT32_MAX));
  LAMINA_ASSIGN(const int64_t last, o.get_int_or("repeatLastN", s->repeat_last_n, -1, INT32_MAX));
  LAMINA_ASSIGN(const int64_t seed, o.get_int_or("seed", 0, 0, kMaxSeed));
  s->top_k = static_cast<int32_t>(top_k);
  s->repeat_last_n = static_cast<int32_t>(last);
  s->seed = static_cast<uint64_t>(seed);
  return {};
}

// [[token, bias], …]; a bias of null bans the token.
Result<void> read_bias(const JsonValue& list, SamplingParams* s) {
  for (JsonValue v = list.first_child(); !v.is_missing(); v = v.next_sibling()) {
    const JsonValue token = v.first_child(), bias = token.next_sibling();
    LAMINA_ASSIGN(const int64_t id, token.to_int(0, INT32_MAX));
    if (!bias.is_number() && !bias.is_null()) {
      return v.error(Code::kInvalidArgument, "must be [token, bias]");
    }
    const float b = bias.is_null() ? -HUGE_VALF : static_cast<float>(bias.as_double());
    s->logit_bias.emplace_back(static_cast<int32_t>(id), b);
  }
  return {};
}

// What is invalid in a file of a model is the caller's mistake here.
template <typename T>
Result<T> as_argument(Result<T> result) {
  if (result || result.error().code != Code::kInvalidModel) return result;
  return Error{Code::kInvalidArgument, result.error().message};
}

Result<EngineOptions> read_engine(const JsonValue& o, const ModelConfig& config) {
  EngineOptions out;
  const auto limit = [&](const char* name, int64_t absent, int64_t high, int32_t* to) -> Result<void> {
    LAMINA_ASSIGN(const int64_t v, o.get_int_or(name, absent, 1, high));
    *to = static_cast<int32_t>(v);
    return {};
  };
  const int64_t context = std::min<int64_t>(config.max_positions, kContext);
  LAMINA_TRY(limit("context", context, config.max_positions, &out.context));
  LAMINA_TRY(limit("sequences", 1, kMaxStep, &out.n_sequences));
  LAMINA_TRY(limit("maxRows", kPromptRows, kMaxStep, &out.max_rows));
  LAMINA_TRY(limit("maxLogitRows", std::min(out.max_rows, out.n_sequences), kMaxStep,
                   &out.max_logit_rows));
  LAMINA_ASSIGN(const int64_t cache, o.get_int_or("cachePositions", 0, 0, INT32_MAX));
  out.cache_positions = static_cast<int32_t>(cache);
  LAMINA_ASSIGN(out.kv_dtype, kv_dtype(o));
  return out;
}

Result<Answer> read_answer(const JsonValue& o) {
  Answer answer;
  AnswerOptions& out = answer.options;
  LAMINA_TRY(read_sampling(o, &out.sampling));
  LAMINA_TRY(read_bias(o.find("logitBias"), &out.sampling));
  for (JsonValue v = o.find("stop").first_child(); !v.is_missing(); v = v.next_sibling()) {
    if (!v.is_string()) return v.error(Code::kInvalidArgument, "must be a text");
    out.stop.emplace_back(v.as_string());
  }
  LAMINA_ASSIGN(const int64_t most, o.get_int_or("maxTokens", -1, -1, INT32_MAX));
  out.max_new_tokens = static_cast<int32_t>(most);
  LAMINA_ASSIGN(out.ignore_eos, o.get_bool_or("ignoreEos", false));
  LAMINA_ASSIGN(const int64_t top, o.get_int_or("topLogprobs", -1, -1, kMaxLogprobs));
  answer.top_logprobs = static_cast<int32_t>(top);
  out.keep_logits = top >= 0;
  return answer;
}

}  // namespace

Result<std::unique_ptr<JsonDocument>> parse_options(std::string_view json, std::string_view what) {
  auto document = JsonDocument::parse(json.empty() ? "{}" : json, what);
  if (document && !(*document)->root().is_object()) {
    return make_error(Code::kInvalidArgument, "%s: must be an object", (*document)->name().c_str());
  }
  return as_argument(std::move(document));
}

Result<EngineOptions> engine_options(const JsonValue& options, const ModelConfig& config) {
  return as_argument(read_engine(options, config));
}

Result<Answer> answer_options(const JsonValue& options) {
  return as_argument(read_answer(options));
}

}  // namespace lamina::abi
