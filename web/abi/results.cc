// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdlib>

#include "web/abi/abi.h"

namespace lamina::abi {

constexpr double kLeastLogprob = -9999.0;  // as the daemon tells them

Results& results() {
  static Results all;
  return all;
}

void clear_events() {
  results().events.clear();
  results().event_texts.clear();
  results().event_logprobs.clear();
}

namespace {

std::vector<LogprobView> logprobs_of(const Session& s, const TokenEvent& event) {
  std::vector<LogprobView> out;
  if (s.top_logprobs < 0 || event.token < 0 || event.logits.empty()) return out;
  const auto add = [&](int32_t token, double logprob) {
    const std::string_view bytes = s.engine->model->tokenizer.token_bytes(token);
    out.push_back({token, static_cast<float>(std::max(logprob, kLeastLogprob)), bytes.data(),
                   static_cast<uint32_t>(bytes.size())});
  };
  add(event.token, log_probability(event.logits, event.token));
  const auto n = static_cast<size_t>(s.top_logprobs);
  if (n == 0) return out;
  for (const auto& [token, logprob] : top_log_probabilities(event.logits, n)) add(token, logprob);
  return out;
}

}  // namespace

void add_event(int32_t index, const Session& session, TokenEvent event) {
  Results& r = results();
  const auto& logprobs = r.event_logprobs.emplace_back(logprobs_of(session, event));
  const std::string& text = r.event_texts.emplace_back(std::move(event.text));
  r.events.push_back({index, event.token, static_cast<int32_t>(event.finish), text.data(),
                      static_cast<uint32_t>(text.size()), logprobs.data(),
                      static_cast<uint32_t>(logprobs.size())});
}

int32_t give_text(std::string text) {
  results().text = std::move(text);
  return 1;
}

}  // namespace lamina::abi

using lamina::abi::results;

void* lamina_alloc(uint32_t bytes) {
  const uint64_t rounded = (uint64_t{bytes} + 64) / 64 * 64;
  if (rounded > SIZE_MAX / 2) return nullptr;
  return std::aligned_alloc(64, static_cast<size_t>(rounded));
}
void lamina_free(void* memory) { std::free(memory); }

const char* lamina_error_code() { return lamina::code_name(results().error.code).data(); }
const char* lamina_error_message() { return results().error.message.c_str(); }
const char* lamina_text() { return results().text.data(); }
uint32_t lamina_text_bytes() { return static_cast<uint32_t>(results().text.size()); }
const int32_t* lamina_ints() { return results().ints.data(); }
uint32_t lamina_ints_size() { return static_cast<uint32_t>(results().ints.size()); }
const float* lamina_floats() { return results().floats.data(); }
uint32_t lamina_floats_size() { return static_cast<uint32_t>(results().floats.size()); }
const uint16_t* lamina_halves() { return results().halves.data(); }
uint32_t lamina_halves_size() { return static_cast<uint32_t>(results().halves.size()); }
const lamina::abi::EventView* lamina_events() { return results().events.data(); }
uint32_t lamina_events_size() { return static_cast<uint32_t>(results().events.size()); }
