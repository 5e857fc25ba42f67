// SPDX-License-Identifier: Apache-2.0
#include "native/cli/answer.h"
#include "native/cli/dry_run.h"
#include "native/platform/memory_facts.h"

namespace lamina::cli {
namespace {

std::string finish_text(const AnswerStats& stats, const Host& host) {
  switch (stats.finish) {
    case FinishReason::kEos:
      return "ended by the model";
    case FinishReason::kStop:
      return "ended at a stop text";
    case FinishReason::kLength:
      return "ended at the limit of -n";
    case FinishReason::kContext:
      return format(
          "ended because the context of %d tokens is full (-c raises it, --slide goes on)",
          host.options.context);
    case FinishReason::kCancelled:
      return "stopped by you";
    case FinishReason::kNone:
      break;
  }
  return "?";
}

}  // namespace

void print_summary(Console& console, const Host& host, const Survivor& survivor,
                   const AnswerStats& stats) {
  if (console.verbosity() < 0) return;
  const auto line = [&](const char* name, const std::string& text) {
    console.note(console.dim(format("%-8s", name) + text));
  };
  const Manifest& manifest = host.model->manifest;
  line("model", safe_text(manifest.name) + (host.choice.demo ? " (the demo model), " : ", ") +
                    human_bytes(host.model->stats.weight_bytes) + " of weights, ready in " +
                    human_seconds(host.load_seconds));
  std::string prompt = format("%d tokens", stats.prompt_tokens);
  if (stats.reused_tokens) prompt += format(", %d of them kept from before", stats.reused_tokens);
  if (stats.generated_tokens > 0) {
    prompt += format(", %.1f tokens/s, first token after ", stats.prompt_tokens_per_second()) +
              human_seconds(stats.first_token_seconds);
    if (stats.start_to_first_token_seconds > 0) {
      prompt += ", " + human_seconds(stats.start_to_first_token_seconds) + " after the start";
    }
  }
  line("prompt", prompt);
  std::string answer = format("%d tokens", stats.generated_tokens);
  if (stats.generated_tokens > 1) answer += format(", %.1f tokens/s", stats.tokens_per_second());
  if (!stats.greedy) {
    answer += format(", seed %llu", static_cast<unsigned long long>(stats.seed));
  }
  line("answer", answer + ", " + finish_text(stats, host));
  const MemoryUse use = survivor.engine().backend().memory();
  std::string kv = human_bytes(use.kv_bytes);
  if (survivor.snapshot_bytes() > 0) {
    kv += " and " + human_bytes(survivor.snapshot_bytes()) + " of it copied";
  }
  line("memory", "weights " + human_bytes(use.weight_bytes) + ", KV " + kv + ", activations " +
                     human_bytes(use.activation_bytes) + ", peak resident " +
                     human_bytes(memory_facts().peak_resident));
  if (host.plan.swaps()) line("layers", layers_text(host.plan));
  const BackendInfo info = survivor.engine().backend().info();
  line("backend", info.name + " (" + info.device + "), " + host.why);
}

void write_summary(JsonWriter& json, const Host& host, const Survivor& survivor,
                   const AnswerStats& stats) {
  json.member("finish_reason", finish_reason_name(stats.finish));
  json.member("prompt_tokens", stats.prompt_tokens);
  json.member("reused_tokens", stats.reused_tokens);
  json.member("generated_tokens", stats.generated_tokens);
  json.member("prompt_tokens_per_second", stats.prompt_tokens_per_second());
  json.member("tokens_per_second", stats.tokens_per_second());
  json.member("time_to_first_token_ms", stats.first_token_seconds * 1e3);
  json.member("start_to_first_token_ms", stats.start_to_first_token_seconds * 1e3);
  json.member("load_ms", host.load_seconds * 1e3);
  json.member("seed", stats.seed);
  const MemoryUse use = survivor.engine().backend().memory();
  json.key("memory").begin_object().member("weight_bytes", use.weight_bytes);
  json.member("kv_bytes", use.kv_bytes).member("activation_bytes", use.activation_bytes);
  json.member("kv_snapshot_bytes", survivor.snapshot_bytes());
  json.member("peak_resident_bytes", memory_facts().peak_resident);
  json.member("resident_layers", host.plan.resident_layers);
  json.member("swapped_bytes_per_step", host.plan.swapped_bytes);
  json.member("load", load_mode_name(host.model->stats.mode)).end_object();
  const BackendInfo info = survivor.engine().backend().info();
  json.key("backend").begin_object().member("name", info.name).member("device", info.device);
  json.member("why", host.why).end_object();
  json.key("model").begin_object().member("name", host.model->manifest.name);
  json.member("folder", host.choice.directory).member("demo", host.choice.demo);
  json.member("context", host.options.context);
  json.member("signature", signature_kind_name(host.model->signature.kind)).end_object();
}

}  // namespace lamina::cli
