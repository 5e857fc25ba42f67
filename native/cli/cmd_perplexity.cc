// SPDX-License-Identifier: Apache-2.0
// exp of the mean of -ln p(token | what stands before it). A document that is longer than the
// context is scored in windows that overlap by half, each scoring what the one before did not, so
// that every token but those of the first window has at least half a context before it.
#include <chrono>
#include <cmath>
#include <memory>

#include "core/base/json.h"
#include "native/cli/cli.h"
#include "native/cli/flags.h"
#include "native/cli/host.h"
#include "native/cli/input.h"
#include "native/cli/text_ids.h"
#include "native/platform/files.h"
#include "native/platform/signals.h"

namespace lamina::cli {
namespace {

struct Options {
  ModelFlags model;
  EngineFlags engine;
  std::string file;
  bool json = false;
};

struct Score {
  double sum = 0.0;  // of -ln p
  int64_t tokens = 0;
  double perplexity() const { return std::exp(sum / static_cast<double>(tokens)); }
};

using Documents = std::vector<std::vector<int32_t>>;

Result<Documents> read_jsonl(const Tokenizer& tokenizer, std::string_view text,
                             const std::string& file) {
  Documents documents;
  for (int number = 1; !text.empty(); ++number) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const std::string where = file + " line " + std::to_string(number);
    const auto document = JsonDocument::parse(line, where);
    if (!document) {
      return make_error(Code::kInvalidArgument, "%s", document.error().message.c_str());
    }
    const Result<std::string> content = (*document)->root().get_string("text");
    if (!content) return make_error(Code::kInvalidArgument, "%s", content.error().message.c_str());
    LAMINA_ASSIGN(std::vector<int32_t> ids, text_ids(tokenizer, *content, true));
    documents.push_back(std::move(ids));
  }
  return documents;
}

Result<Documents> read_documents(const Tokenizer& tokenizer, const std::string& file) {
  LAMINA_ASSIGN(const std::string text, read_file(file, kMaxInputBytes));
  if (file.ends_with(".jsonl")) return read_jsonl(tokenizer, text, file);
  LAMINA_ASSIGN(std::vector<int32_t> ids, text_ids(tokenizer, text, false));
  return Documents{std::move(ids)};
}

// Adds the score of ids[first..] given ids[0..], all in one window.
Result<void> score_window(Engine& engine, std::span<const int32_t> ids, size_t first,
                          Score& score) {
  return engine.forward(ids, [&](int32_t position, std::span<const float> logits) {
    const auto next = static_cast<size_t>(position) + 1;
    if (next < first || next >= ids.size()) return;
    score.sum -= log_probability(logits, ids[next]);
    ++score.tokens;
  });
}

Result<Score> score_all(Console& console, Engine& engine, const Documents& documents) {
  const auto context = static_cast<size_t>(engine.options().context);
  const size_t stride = std::max<size_t>(1, context / 2);
  uint64_t total = 0, done = 0;
  for (const auto& ids : documents) total += ids.size();
  Score score;
  ProgressBar bar(console, "Scoring");
  for (const auto& document : documents) {
    const std::span<const int32_t> ids(document);
    size_t scored = 1;  // the first token has nothing before it
    for (size_t begin = 0; scored < ids.size(); begin += stride) {
      if (interrupted()) return make_error(Code::kCancelled, "interrupted");
      const size_t end = std::min(begin + context, ids.size());
      LAMINA_TRY(score_window(engine, ids.subspan(begin, end - begin), scored - begin, score));
      done += end - scored;
      scored = end;
      bar.set(done, total, score.tokens ? format("perplexity %.4f", score.perplexity()) : "");
    }
  }
  return score;
}

Result<ExitCode> run(Console& console, const Options& o) {
  install_interrupt_handler();
  if (!file_exists(o.file)) return make_error(Code::kNotFound, "%s: no such file", o.file.c_str());
  LAMINA_ASSIGN(const std::unique_ptr<Host> host, open_host(console, o.model, o.engine, INT32_MAX));
  if (host->engine->options().context < 2) {
    return make_error(Code::kInvalidArgument, "-c 1: a context of at least 2 is needed");
  }
  LAMINA_ASSIGN(const Documents documents, read_documents(*host->tokenizer, o.file));
  const auto start = std::chrono::steady_clock::now();
  LAMINA_ASSIGN(const Score score, score_all(console, *host->engine, documents));
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (score.tokens == 0) {
    return make_error(Code::kInvalidArgument, "%s: no document of at least two tokens",
                      o.file.c_str());
  }
  const BackendInfo info = host->engine->backend().info();
  if (o.json) {
    JsonWriter json;
    json.begin_object().member("perplexity", score.perplexity()).member("tokens", score.tokens);
    json.member("documents", static_cast<uint64_t>(documents.size())).member("seconds", seconds);
    json.member("context", host->engine->options().context).member("kv", o.engine.kv);
    json.member("backend", info.name).member("device", info.device).end_object();
    LAMINA_TRY(console.write(json.text() + "\n"));
    return kExitOk;
  }
  LAMINA_TRY(console.write(format("%.6f\n", score.perplexity())));
  console.note(format("perplexity over %lld tokens of %zu document%s, in %s",
                      static_cast<long long>(score.tokens), documents.size(),
                      documents.size() == 1 ? "" : "s", human_seconds(seconds).c_str()));
  console.note("  backend " + info.name + " (" + info.device + "), " + host->why + ", KV " +
               o.engine.kv + format(", context %d", host->engine->options().context));
  return kExitOk;
}

}  // namespace

void add_perplexity(Cli& cli) {
  CLI::App& verb = cli.verb("perplexity", "Measure how well a model predicts a text", kGroupMeasure,
                            "  lamina perplexity -m ~/llama-1b -f text.txt -c 2048\n"
                            "  lamina perplexity -f tests/models/storyteller/eval.jsonl --json\n");
  auto o = std::make_shared<Options>();
  verb.option_defaults()->group("Text");
  text_flag(verb, "-f,--file", o->file, "FILE",
            "A .jsonl of {\"text\": ...} a line, special tokens in it read as such; any other file "
            "is one document")
      ->required();
  add_model_flags(verb, o->model);
  add_engine_flags(verb, o->engine);
  verb.option_defaults()->group("Output");
  switch_flag(verb, "--json", o->json, "Print a JSON object");
  cli.on_run(verb, [&cli, o] { return run(cli.console(), *o); });
}

}  // namespace lamina::cli
