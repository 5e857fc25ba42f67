// SPDX-License-Identifier: Apache-2.0
// Every position's logits as a safetensors file, for comparing engines from outside.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include "core/base/json.h"
#include "native/cli/cli.h"
#include "native/cli/flags.h"
#include "native/cli/host.h"
#include "native/cli/input.h"
#include "native/platform/files.h"
#include "native/platform/signals.h"

namespace lamina::cli {
namespace {

struct Options {
  ModelFlags model;
  EngineFlags engine;
  std::string ids;
  std::string output;
};

// A file that appears at `path` when finished, and not at all otherwise.
class TensorFile {
 public:
  static Result<std::unique_ptr<TensorFile>> create(const std::string& path) {
    std::unique_ptr<TensorFile> file(new TensorFile);
    file->path_ = path;
    file->temporary_ = path + ".partial." + std::to_string(::getpid());
    const int flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC;
    file->fd_ = FileDescriptor(::open(file->temporary_.c_str(), flags, 0644));
    if (!file->fd_.is_open()) return os_error("create", file->temporary_, errno);
    return file;
  }
  ~TensorFile() {
    if (fd_.is_open()) ::unlink(temporary_.c_str());
  }

  Result<void> write(std::span<const std::byte> bytes) {
    return write_exactly(fd_.get(), temporary_, bytes);
  }

  Result<void> finish() {
    LAMINA_TRY(sync_file(fd_.get(), temporary_));
    if (::rename(temporary_.c_str(), path_.c_str()) != 0) return os_error("rename", path_, errno);
    fd_.close();
    return sync_directory(parent_path(path_));
  }

 private:
  TensorFile() = default;
  std::string path_, temporary_;
  FileDescriptor fd_;
};

// Length and JSON, padded with spaces to a multiple of eight as the format asks.
std::string header(size_t tokens, int32_t vocab) {
  const uint64_t bytes = uint64_t{4} * tokens * static_cast<uint64_t>(vocab);
  JsonWriter json;
  json.begin_object().key("logits").begin_object().member("dtype", "F32");
  json.key("shape").begin_array().value(static_cast<uint64_t>(tokens)).value(vocab).end_array();
  json.key("data_offsets").begin_array().value(0).value(bytes).end_array();
  std::string text = json.end_object().end_object().take();
  text.append(round_up(text.size(), 8) - text.size(), ' ');
  std::string out;
  for (int i = 0; i < 8; ++i) out += static_cast<char>(text.size() >> (8 * i));
  return out + text;
}

Result<void> check_ids(const std::vector<int32_t>& ids, const Host& host) {
  if (ids.empty()) return make_error(Code::kInvalidArgument, "--ids holds no ids");
  for (int32_t id : ids) {
    if (id < host.config().vocab_size) continue;
    return make_error(Code::kInvalidArgument, "--ids: %d is outside the vocabulary of %d", id,
                      host.config().vocab_size);
  }
  const int32_t context = host.engine->options().context;
  if (ids.size() <= static_cast<size_t>(context)) return {};
  return make_error(Code::kContextExceeded,
                    "--ids: %zu ids, the context holds %d: give fewer, or a larger -c", ids.size(),
                    context);
}

Result<ExitCode> run(Console& console, const Options& o) {
  std::string text = o.ids;
  install_interrupt_handler();
  if (text == "-") {
    LAMINA_ASSIGN(text, read_stdin(console));
  }
  LAMINA_ASSIGN(const std::vector<int32_t> ids, parse_ids(text));
  LAMINA_ASSIGN(const std::unique_ptr<Host> host, open_host(console, o.model, o.engine, INT32_MAX));
  LAMINA_TRY(check_ids(ids, *host));
  LAMINA_ASSIGN(const std::unique_ptr<TensorFile> file, TensorFile::create(o.output));
  const std::string head = header(ids.size(), host->config().vocab_size);
  LAMINA_TRY(file->write(std::as_bytes(std::span(head))));

  Result<void> written;
  {
    ProgressBar bar(console, "Computing");
    LAMINA_TRY(host->engine->forward(ids, [&](int32_t position, std::span<const float> logits) {
      if (written) written = file->write(std::as_bytes(logits));
      bar.set(static_cast<uint64_t>(position) + 1, ids.size());
    }));
  }
  LAMINA_TRY(std::move(written));
  LAMINA_TRY(file->finish());
  const BackendInfo info = host->engine->backend().info();
  console.note(format("Wrote logits [%zu, %d] to %s", ids.size(), host->config().vocab_size,
                      o.output.c_str()));
  console.note("  backend " + info.name + " (" + info.device + "), " + host->why + ", KV " +
               o.engine.kv);
  return kExitOk;
}

}  // namespace

void add_logits(Cli& cli) {
  CLI::App& verb = cli.verb("logits", "Write the logits of every position to a file", kGroupMeasure,
                            "  lamina logits -m ~/llama-1b --ids 1,2,3 -o logits.safetensors\n");
  auto o = std::make_shared<Options>();
  o->engine.kv = "f32";  // a tool for exactness
  verb.option_defaults()->group("Computation");
  text_flag(verb, "--ids", o->ids, "LIST", "Token ids, e.g. 1,2,3; - for standard input")
      ->required();
  text_flag(verb, "-o,--output", o->output, "FILE",
            "safetensors file with the tensor logits [tokens, vocab] in F32")
      ->required();
  add_model_flags(verb, o->model);
  add_engine_flags(verb, o->engine);
  cli.on_run(verb, [&cli, o] { return run(cli.console(), *o); });
}

}  // namespace lamina::cli
