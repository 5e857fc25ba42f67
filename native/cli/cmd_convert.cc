// SPDX-License-Identifier: Apache-2.0
#include <memory>

#include "core/base/json.h"
#include "native/cli/cli.h"
#include "native/cli/flags.h"
#include "native/cli/model_choice.h"
#include "native/convert/convert.h"
#include "native/platform/signals.h"

namespace lamina::cli {
namespace {

struct Options {
  ConvertOptions convert;
  std::string dtype = "i8";
  std::string group = "channel";
  int32_t threads = 0;
  bool json = false;
};

Result<void> apply_precision(Options& o) {
  const std::optional<DType> dtype = dtype_from_name(o.dtype);
  LAMINA_CHECK(dtype.has_value());  // one of the flag's choices
  o.convert.dtype = *dtype;
  o.convert.group = static_cast<int32_t>(parse_int(o.group).value_or(0));
  if (o.convert.group != 0 && *dtype != DType::kI8) {
    return make_error(Code::kInvalidArgument, "--group %s is for --dtype i8; %s has no scales",
                      o.group.c_str(), o.dtype.c_str());
  }
  return {};
}

Result<void> print_json(Console& console, const Options& o, const ConvertReport& r) {
  JsonWriter json;
  json.begin_object().member("model", o.convert.destination).member("dtype", o.dtype);
  json.member("group", o.convert.group).member("source_bytes", r.source_bytes);
  json.member("written_bytes", r.written_bytes).member("ratio", r.ratio());
  json.member("shards", static_cast<uint64_t>(r.shards));
  json.member("reused_shards", static_cast<uint64_t>(r.reused_shards));
  json.member("worst_tensor", r.worst_tensor).member("worst_error", r.worst_error);
  json.member("mean_error", r.mean_error).member("seconds", r.seconds);
  json.member("manifest_sha256", r.manifest_sha256).end_object();
  return console.write(json.text() + "\n");
}

void print_summary(Console& console, const Options& o, const ConvertReport& r) {
  console.note("Converted " + o.convert.source + " to " + o.convert.destination);
  console.note(format("  size       %s to %s in %zu shard%s, %.2f times smaller",
                      human_bytes(r.source_bytes).c_str(), human_bytes(r.written_bytes).c_str(),
                      r.shards, r.shards == 1 ? "" : "s", r.ratio()));
  if (r.worst_tensor.empty()) {
    console.note("  error      none: every value is kept");
  } else {
    console.note(
        format("  error      %.3f%% of the weights' size on the whole, %.3f%% at worst (%s)",
               r.mean_error * 100, r.worst_error * 100, r.worst_tensor.c_str()));
  }
  if (r.reused_shards) {
    console.note(
        format("  resumed    %zu shards were there from an interrupted run", r.reused_shards));
  }
  console.note("  time       " + human_seconds(r.seconds));
  console.note("Next: lamina run -m " + o.convert.destination);
}

Result<ExitCode> run(Console& console, Options& o) {
  LAMINA_TRY(apply_precision(o));
  o.convert.threads = o.threads;
  o.convert.log = [&console](LogLevel level, std::string_view line) {
    if (level >= LogLevel::kWarning)
      console.warn(line);
    else
      console.detail(line);
  };
  install_interrupt_handler();
  o.convert.cancel = &interrupted();
  Result<ConvertReport> report = [&] {
    ProgressBar bar(console, "Converting");
    return convert(o.convert, [&bar](const ConvertProgress& p) {
      bar.set(p.done_bytes, p.total_bytes, p.tensor);
    });
  }();
  if (!report) return as_model_error(report.error());
  if (o.json) LAMINA_TRY(print_json(console, o, *report));
  if (!o.json) print_summary(console, o, *report);
  return kExitOk;
}

}  // namespace

void add_convert(Cli& cli) {
  CLI::App& verb =
      cli.verb("convert", "Make a model folder of a Hugging Face checkpoint", kGroupModels,
               "  lamina convert ~/Llama-3.2-1B-Instruct ~/llama-1b                 # int8\n"
               "  lamina convert ~/Llama-3.2-1B-Instruct ~/llama-1b-f16 --dtype f16\n");
  auto o = std::make_shared<Options>();
  verb.option_defaults()->group("Conversion");
  positional(verb, "SRC", o->convert.source, "SRC",
             "Folder with config.json, tokenizer.json and safetensors files")
      ->required();
  positional(verb, "DST", o->convert.destination, "DST", "Model folder to write")->required();
  choice_flag(verb, "--dtype", o->dtype, {"i8", "f16", "f32"}, "Precision of the matrices");
  choice_flag(verb, "--group", o->group, {"channel", "32", "64", "128"},
              "What shares an i8 scale: an output channel, or so many weights of it");
  size_flag(verb, "--shard-size", o->convert.shard_bytes, 1, uint64_t{1} << 40,
            "Largest shard file, default 64M");
  int_flag(verb, "-t,--threads", o->threads, 0, 1024, "Threads, 0 for all processors");
  text_flag(verb, "--name", o->convert.name, "TEXT", "Name for people; default the source's name");
  switch_flag(verb, "--force", o->convert.force, "Replace DST if it is a model folder");
  switch_flag(verb, "--json", o->json, "Print a JSON object on the result");
  cli.on_run(verb, [&cli, o] { return run(cli.console(), *o); });
}

}  // namespace lamina::cli
