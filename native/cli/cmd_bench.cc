// SPDX-License-Identifier: Apache-2.0
// Speaks like llama-bench, so that what reads its tables and JSON reads ours.
#include <cmath>
#include <ctime>
#include <memory>

#include "core/base/json.h"
#include "native/cli/bench_runner.h"
#include "native/cli/cli.h"
#include "native/cli/dry_run.h"
#include "native/cli/flags.h"
#include "native/cli/host.h"
#include "native/cli/machine.h"
#include "native/platform/memory_facts.h"
#include "native/platform/parallel.h"
#include "native/platform/signals.h"
#include "native/platform/synthetic.h"

namespace lamina::cli {
namespace {

struct Options {
  ModelFlags model;
  EngineFlags engine;
  std::string synthetic;
  std::string dtype = "i8", group = "channel";
  std::string prompts = "512", gens = "128", depths = "0";
  int32_t repetitions = 5;
  int32_t rows = 512;
  std::string output = "md";
  float temperature = 0.0f;
  bool profile = false, no_machine = false;
};

// "512" or "128,512".
Result<std::vector<int32_t>> parse_list(const char* flag, const std::string& text) {
  std::vector<int32_t> list;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find(',', at), text.size());
    const std::optional<int64_t> n = parse_int(std::string_view(text).substr(at, end - at));
    if (!n || *n < 0 || *n > (1 << 20)) {
      return make_error(Code::kInvalidArgument, "%s %s: whole numbers from 0, commas between them",
                        flag, quote(text).c_str());
    }
    list.push_back(static_cast<int32_t>(*n));
    at = end + 1;
  }
  return list;
}

Result<std::vector<BenchTest>> tests_of(const Options& o) {
  LAMINA_ASSIGN(const auto prompts, parse_list("-p", o.prompts));
  LAMINA_ASSIGN(const auto gens, parse_list("-n", o.gens));
  LAMINA_ASSIGN(const auto depths, parse_list("-d", o.depths));
  std::vector<BenchTest> tests;
  for (int32_t depth : depths) {
    for (int32_t n : prompts) {
      if (n > 0) tests.push_back({n, 0, depth});
    }
    for (int32_t n : gens) {
      if (n > 0) tests.push_back({0, n, depth});
    }
  }
  if (tests.empty()) return make_error(Code::kInvalidArgument, "nothing to measure: -p 0 and -n 0");
  return tests;
}


// One measurement with everything that its row says.
struct Row {
  BenchTest test;
  BenchSamples times, speeds;
  std::string when;
  BenchSamples limits;  // measured before each repetition: bytes or multiply-adds per second

  // Of the time the memory or the multipliers need at best, how much of the time that was taken.
  double bytes_per_second(const ModelWork& work) const {
    const double middle = test.n_depth + (test.n_gen - 1) / 2.0;
    return (static_cast<double>(work.bytes_per_token) +
            middle * static_cast<double>(work.kv_bytes_per_position)) *
           speeds.median();
  }
  double macs_per_second(const ModelWork& work) const {
    return (work.macs_per_prompt_token + work.macs_of_logits / test.n_prompt) * speeds.median();
  }
};

struct Bench {
  const Options& o;
  std::string model_name, model_type;
  std::unique_ptr<LoadedModel> model;
  std::unique_ptr<Engine> engine;
  ChosenBackend chosen;
  CpuBackend* cpu = nullptr;
  VulkanBackend* vulkan = nullptr;
  int threads = 0;
  ModelWork work;
};

std::string now_text() {
  const std::time_t now = std::time(nullptr);
  char text[32] = "";
  std::tm utc{};
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
  return text;
}

void write_numbers(JsonWriter& json, const char* name, const std::vector<double>& values,
                   double scale) {
  json.key(name).begin_array();
  for (double v : values) json.value(v * scale);
  json.end_array();
}

std::string json_row(const Bench& b, const Row& row) {
  JsonWriter json(2);
  const BackendInfo info = b.engine->backend().info();
  json.begin_object().member("build_commit", "lamina").member("build_number", 0);
  json.member("lamina_version", LAMINA_VERSION).member("cpu_info", b.vulkan ? "" : info.device);
  json.member("gpu_info", b.vulkan ? info.device : "").member("backends", info.name);
  json.member("model_filename", b.model_name).member("model_type", b.model_type);
  json.member("model_size", b.work.weight_bytes);
  json.member("model_n_params", b.work.parameters).member("n_batch", b.o.rows);
  json.member("n_ubatch", b.o.rows).member("n_threads", b.threads);
  json.member("type_k", b.o.engine.kv).member("type_v", b.o.engine.kv);
  json.member("n_gpu_layers", b.vulkan ? b.engine->graph().config.n_layers : 0);
  json.member("use_mmap", b.model->stats.mode == LoadMode::kMap && b.o.synthetic.empty());
  json.member("n_prompt", row.test.n_prompt).member("n_gen", row.test.n_gen);
  json.member("temperature", static_cast<double>(b.o.temperature));
  json.member("tokens_per_submit", b.o.engine.tokens_per_submit);
  json.member("n_depth", row.test.n_depth).member("test_time", row.when);
  json.member("avg_ns", row.times.mean() * 1e9).member("stddev_ns", row.times.deviation() * 1e9);
  json.member("avg_ts", row.speeds.mean()).member("stddev_ts", row.speeds.deviation());
  write_numbers(json, "samples_ns", row.times.values, 1e9);
  write_numbers(json, "samples_ts", row.speeds.values, 1.0);
  json.member("bytes_per_token", b.work.bytes_per_token);
  write_numbers(json, row.test.n_gen > 0 ? "read_bandwidth" : "int8_peak", row.limits.values, 1.0);
  if (row.test.n_gen > 0) json.member("bytes_per_second", row.bytes_per_second(b.work));
  if (row.test.n_prompt > 0) json.member("macs_per_second", row.macs_per_second(b.work));
  json.member("peak_resident_bytes", memory_facts().peak_resident);
  return json.end_object().take();
}

// Of decode against memory, of prefill against the multipliers.
std::string share_text(const Bench& b, const Row& row) {
  const bool decode = row.test.n_gen > 0;
  const double rate = decode ? row.bytes_per_second(b.work) : row.macs_per_second(b.work);
  const double most = row.limits.median();
  std::string text = format(decode ? "%.1f GB/s" : "%.0f GMAC/s", rate / 1e9);
  if (most > 0) {
    text += format(decode ? ", %.0f%% of memory's %.1f" : ", %.0f%% of int8's %.0f",
                   100 * rate / most, most / 1e9);
  }
  return text;
}

std::string md_row(const Bench& b, const Row& row) {
  return format("| %-29s | %10s | %8.2f M | %-9s | %7d | %14s | %10.2f ± %.2f | %s |\n",
                b.model_type.c_str(), human_bytes(b.work.weight_bytes).c_str(),
                static_cast<double>(b.work.parameters) / 1e6,
                b.engine->backend().info().name.c_str(), b.threads, row.test.name().c_str(),
                row.speeds.mean(), row.speeds.deviation(), share_text(b, row).c_str());
}

constexpr const char* kMdHead =
    "| model                         |       size |     params | backend   | threads |           "
    "test "
    "|              t/s | of the machine |\n"
    "| ----------------------------- | ---------: | ---------: | --------- | ------: | "
    "-------------: "
    "| ---------------: | -------------- |\n";

Result<void> load(Console& console, Bench& b) {
  const Options& o = b.o;
  LAMINA_ASSIGN(b.chosen, choose_backend(console, o.engine));
  if (o.synthetic.empty()) {
    LAMINA_ASSIGN(const ModelChoice choice, choose_model(o.model));
    LAMINA_ASSIGN(b.model, load_weights(console, choice.directory, o.model, o.engine,
                                        [&b] { return b.chosen.kind == "vulkan"; }));
    b.model_name = choice.directory;
  } else {
    const std::optional<DType> dtype = dtype_from_name(o.dtype);
    LAMINA_CHECK(dtype.has_value());
    const auto group = static_cast<int32_t>(parse_int(o.group).value_or(0));
    console.note("Making a model of the shape of " + o.synthetic + " with random weights ...");
    LAMINA_ASSIGN(b.model, make_synthetic(o.synthetic, *dtype, *dtype == DType::kI8 ? group : 0));
    b.model_name = "synthetic:" + o.synthetic;
  }
  const Manifest& m = b.model->manifest;
  b.model_type = safe_text(m.name) + (m.layers.empty() ? "" : " " + m.layers[0].mlp);
  return {};
}

Result<void> prepare(Console& console, Bench& b, const std::vector<BenchTest>& tests) {
  EngineOptions options;
  options.context = 1;
  for (const BenchTest& t : tests) {
    options.context = std::max(options.context, t.n_depth + t.tokens());
  }
  options.max_rows = b.o.rows;
  options.max_logit_rows = 1;
  options.kv_dtype = kv_dtype_of(b.o.engine.kv);
  options.tokens_per_submit = b.o.engine.tokens_per_submit;
  const ModelConfig& config = b.model->manifest.config;
  LAMINA_ASSIGN(b.engine, prepare_chosen(console, b.o.engine, b.chosen, [&](std::unique_ptr<Backend> backend) {
    return Engine::create(std::move(backend), config, b.model->weights, options);
  }));
  b.cpu = b.chosen.cpu;
  b.vulkan = b.chosen.vulkan;
  b.work = model_work(config, b.model->weights, options.kv_dtype);
  return {};
}

// Of an entry of a profile: an op, or what runs all layers' ops at once.
const char* profile_name(size_t kind) {
  return kind < kOpKinds ? op_name(static_cast<OpKind>(kind)).data() : "decode_layers";
}

// Where the last test's time went.
template <typename Entries>
void print_profile(Console& console, const Entries& entries, double bandwidth) {
  double total = 0.0;
  for (const auto& e : entries) total += e.seconds;
  console.note(format("  %-14s %10s %7s %12s %12s", "op", "ms", "share", "GB/s", "of memory's"));
  for (size_t kind = 0; kind < entries.size(); ++kind) {
    const auto& e = entries[kind];
    if (e.calls == 0) continue;
    const double rate = static_cast<double>(e.weight_bytes) / e.seconds;
    console.note(format("  %-14s %10.2f %6.1f%% %12.1f %11.0f%%", profile_name(kind), e.seconds * 1e3,
                        100 * e.seconds / total, rate / 1e9, bandwidth > 0 ? 100 * rate / bandwidth : 0.0));
  }
}

Result<void> measure(Console& console, Bench& b, const std::vector<BenchTest>& tests) {
  BenchRunner runner(*b.engine);
  runner.sampling.temperature = b.o.temperature;
  if (b.o.profile) {
    runner.on_start = [&b] {
      if (b.cpu) b.cpu->set_profile(true);
      if (b.vulkan) b.vulkan->set_profile(true);
    };
  }
  ReadBandwidth bandwidth(b.work.matrices, b.threads);
  const bool json = b.o.output != "md";
  std::string between = b.o.output == "json" ? "[\n" : "";
  if (!json) LAMINA_TRY(console.write(kMdHead));
  for (const BenchTest& test : tests) {
    Row row{test, {}, {}, now_text(), {}};
    runner.before_each = [&] {
      const bool decode = test.n_gen > 0;
      if (b.vulkan && decode && !b.o.no_machine) {
        if (const auto device = b.vulkan->measure_bandwidth()) row.limits.values.push_back(device->read);
      }
      // The processor's limits say nothing about a GPU.
      for (int pass = 0; pass < 3 && !b.o.no_machine && !b.vulkan; ++pass) {
        row.limits.values.push_back(decode ? bandwidth.measure() : measure_int8_peak(b.threads));
      }
    };
    LAMINA_ASSIGN(row.times, runner.run(test, b.o.repetitions));
    row.speeds = rates(row.times, test.tokens());
    LAMINA_TRY(console.write(between + (json ? json_row(b, row) : md_row(b, row))));
    if (json) between = ",\n";
    LAMINA_TRY(console.flush());
    if (!b.o.profile || !(b.cpu || b.vulkan)) continue;
    console.note("profile of " + test.name() + ", all repetitions together:");
    if (b.cpu) print_profile(console, b.cpu->profile().entries(), row.test.n_gen > 0 ? row.limits.median() : 0.0);
    if (b.vulkan) print_profile(console, b.vulkan->profile(), row.limits.median());
  }
  return b.o.output == "json" ? console.write("\n]\n") : Result<void>();
}

void print_facts(Console& console, const Bench& b) {
  const BackendInfo info = b.engine->backend().info();
  console.note("");
  console.note("backend    " + info.name + " (" + info.device + "), " + b.chosen.why);
  if (b.vulkan && b.vulkan->plan().swaps()) console.note("layers     " + layers_text(b.vulkan->plan()));
  console.note(format("work       a token reads %s of weights; a prompt token needs %.2f GMAC",
                      human_bytes(b.work.bytes_per_token).c_str(),
                      b.work.macs_per_prompt_token / 1e9));
  const MemoryFacts memory = memory_facts();
  console.note("resident   " + human_bytes(memory.peak_resident) + " at most, " +
               human_bytes(memory.huge) + " of it in huge pages");
}

Result<ExitCode> run(Console& console, const Options& o) {
  LAMINA_ASSIGN(const std::vector<BenchTest> tests, tests_of(o));
  install_interrupt_handler();
  Bench b{.o = o};
  b.threads = o.engine.threads > 0 ? o.engine.threads : usable_processors();
  LAMINA_TRY(load(console, b));
  LAMINA_TRY(prepare(console, b, tests));
  LAMINA_TRY(measure(console, b, tests));
  print_facts(console, b);
  return kExitOk;
}

}  // namespace

void add_bench(Cli& cli) {
  CLI::App& verb =
      cli.verb("bench", "Measure speed, in the manner of llama-bench", kGroupMeasure,
               "  lamina bench                                              # the demo model\n"
               "  lamina bench -m ~/llama-1b -p 512 -n 128 -r 3 -t 2\n"
               "  lamina bench --synthetic llama-3.2-1b --dtype i8 -o json   # no model needed\n");
  auto o = std::make_shared<Options>();
  verb.option_defaults()->group("What to measure");
  text_flag(verb, "-p,--n-prompt", o->prompts, "N", "Prompt lengths, commas between; 0: none")
      ->capture_default_str();
  text_flag(verb, "-n,--n-gen", o->gens, "N", "Tokens to generate, commas between; 0: none")
      ->capture_default_str();
  text_flag(verb, "-d,--n-depth", o->depths, "N", "Tokens in the context before, commas between")
      ->capture_default_str();
  int_flag(verb, "-r,--repetitions", o->repetitions, 1, 1000, "Repetitions of each");
  int_flag(verb, "--ubatch-size", o->rows, 1, 4096, "Prompt tokens of one step");
  float_flag(verb, "--temp", o->temperature, 0, 100, "Generate with sampling, by `run`'s other settings; 0: without");
  switch_flag(verb, "--profile", o->profile, "Where the time goes, by op");
  switch_flag(verb, "--no-machine", o->no_machine,
              "Don't measure what memory and multipliers give at best");
  add_model_flags(verb, o->model);
  choice_flag(verb, "--synthetic", o->synthetic, synthetic_shapes(),
              "Instead of a model: random weights in memory, of this shape");
  choice_flag(verb, "--dtype", o->dtype, {"i8", "f16", "f32"}, "Precision of --synthetic");
  choice_flag(verb, "--group", o->group, {"channel", "32", "64", "128"}, "Its i8 scales' group");
  add_engine_flags(verb, o->engine, false);
  add_submit_flag(verb, o->engine);
  verb.option_defaults()->group("Output");
  choice_flag(verb, "-o,--output", o->output, {"md", "json", "jsonl"}, "Table or rows");
  cli.on_run(verb, [&cli, o] { return run(cli.console(), *o); });
}

}  // namespace lamina::cli
