// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <memory>

#include "core/base/json.h"
#include "core/engine/graph_json.h"
#include "core/engine/llama.h"
#include "native/cli/cli.h"
#include "native/cli/flags.h"
#include "native/cli/model_choice.h"
#include "native/platform/model_loader.h"

namespace lamina::cli {
namespace {

struct Options {
  ModelFlags model;
  bool json = false, tensors = false, graph = false;
};

uint64_t shard_bytes(const Manifest& m) {
  uint64_t bytes = 0;
  for (const ShardEntry& shard : m.shards) bytes += shard.bytes;
  return bytes;
}

uint64_t parameters(const Manifest& m) {
  uint64_t n = 0;
  for (const TensorEntry& t : m.tensors) {
    n += static_cast<uint64_t>(t.shape.rows) * static_cast<uint64_t>(t.shape.cols);
  }
  return n;
}

// f16 keys and values of one position.
uint64_t kv_bytes_per_token(const ModelConfig& c) {
  return uint64_t{4} * static_cast<uint64_t>(c.n_layers) * static_cast<uint64_t>(c.kv_width());
}

// "i8", or "i8 attention, f16 mlp" and "mixed" where layers differ.
std::string precision_text(const Manifest& m) {
  if (m.layers.empty()) return "?";
  const LayerPrecision& first = m.layers.front();
  const bool uniform = std::ranges::all_of(m.layers, [&](const LayerPrecision& l) {
    return l.attention == first.attention && l.mlp == first.mlp;
  });
  if (!uniform) return "mixed by layer";
  if (first.attention == first.mlp) return first.attention;
  return first.attention + " attention, " + first.mlp + " mlp";
}

std::string rope_text(const ModelConfig& c) {
  std::string text = format("theta %g", c.rope_theta);
  if (c.rope.type == RopeType::kDefault) return text;
  return text + ", " + std::string(rope_type_name(c.rope.type)) +
         format(" scaling by %g", c.rope.factor);
}

// Borrows no values: enough to build the graph, not to run it.
WeightMap shapes_only(const Manifest& m) {
  WeightMap weights;
  for (const TensorEntry& t : m.tensors) static_cast<WeightShape&>(weights[t.name]) = t.shape;
  return weights;
}

Result<std::string> graph_text(const Manifest& m) {
  LAMINA_ASSIGN(const Graph graph, build_llama(m.config, shapes_only(m)));
  return graph.to_text();
}

std::string tensor_lines(const Manifest& m) {
  std::string out;
  for (const TensorEntry& t : m.tensors) {
    const uint64_t bytes = t.shape.value_bytes() + t.shape.scale_bytes();
    const std::string precision = precision_name(t.shape.dtype, t.shape.group);
    out += format("%-32s %-7s %8d x %-8d %12s  %s%s\n", t.name.c_str(), precision.c_str(),
                  t.shape.rows, t.shape.cols, human_bytes(bytes).c_str(),
                  t.parts.empty() ? "" : m.shards[t.parts[0].shard].file.c_str(),
                  t.parts.size() > 1 ? format(" and %zu more", t.parts.size() - 1).c_str() : "");
  }
  return out;
}

std::string summary(const OpenedManifest& opened, const std::string& directory) {
  const Manifest& m = opened.manifest;
  const ModelConfig& c = m.config;
  const auto line = [](const char* name, const std::string& value) {
    return format("%-13s", name) + safe_text(value) + "\n";
  };
  std::string out = line("name", m.name);
  out += line("folder", directory);
  out += line("parameters", format("%.2f million", static_cast<double>(parameters(m)) / 1e6));
  out += line("precision", precision_text(m));
  out += line("size", human_bytes(shard_bytes(m)) + format(" in %zu shard%s", m.shards.size(),
                                                           m.shards.size() == 1 ? "" : "s"));
  out += line("layers",
              format("%d, hidden %d, mlp %d", c.n_layers, c.hidden_size, c.intermediate_size));
  out += line("heads", format("%d, key/value %d, size %d", c.n_heads, c.n_kv_heads, c.head_dim));
  out += line("vocabulary", format("%d%s", c.vocab_size,
                                   c.tied_embeddings ? ", output tied to the embedding" : ""));
  out += line("context", format("%d tokens, %s of f16 KV each", c.max_positions,
                                human_bytes(kv_bytes_per_token(c)).c_str()));
  out += line("rope", rope_text(c));
  if (c.attention_bias || c.mlp_bias) {
    out += line("biases",
                std::string(c.attention_bias ? "attention " : "") + (c.mlp_bias ? "mlp" : ""));
  }
  out += line("chat", m.chat_template.empty() ? "no template: completes text" : "has a template");
  out += line("source", m.provenance.source + ", by " + m.provenance.converter);
  out += line("manifest", "sha256 " + opened.sha256);
  return out + line("signature", signature_text(opened.signature));
}

void write_tensors(JsonWriter& json, const Manifest& m) {
  json.key("tensors").begin_array();
  for (const TensorEntry& t : m.tensors) {
    json.begin_object().member("name", t.name);
    json.member("dtype", precision_name(t.shape.dtype, t.shape.group));
    json.member("rows", t.shape.rows).member("cols", t.shape.cols);
    json.member("bytes", static_cast<uint64_t>(t.shape.value_bytes() + t.shape.scale_bytes()));
    json.end_object();
  }
  json.end_array();
}

std::string as_json(const OpenedManifest& opened, const std::string& directory, bool tensors) {
  const Manifest& m = opened.manifest;
  JsonWriter json(2);
  json.begin_object().member("name", m.name).member("folder", directory);
  json.member("parameters", parameters(m)).member("precision", precision_text(m));
  json.member("bytes", shard_bytes(m)).member("shards", static_cast<uint64_t>(m.shards.size()));
  json.key("config");
  m.config.write(json);
  json.member("chat_template", !m.chat_template.empty());
  json.member("kv_bytes_per_token_f16", kv_bytes_per_token(m.config));
  json.member("source", m.provenance.source).member("converter", m.provenance.converter);
  json.member("manifest_sha256", opened.sha256);
  json.member("signature", signature_kind_name(opened.signature.kind));
  if (opened.signature.kind != SignatureKind::kUnsigned) {
    json.member("signer", opened.signature.signer.text());
  }
  if (tensors) write_tensors(json, m);
  return json.end_object().take();
}

Result<ExitCode> run(Console& console, const Options& o) {
  LAMINA_ASSIGN(const ModelChoice choice, choose_model(o.model));
  LAMINA_ASSIGN(const TrustPolicy trust, trust_policy(o.model));
  const Result<OpenedManifest> opened = open_manifest(choice.directory, trust);
  if (!opened) return as_folder_error(opened.error());
  std::string out;
  if (o.graph && o.json) {
    LAMINA_ASSIGN(out, graph_json(opened->manifest, opened->manifest.config.max_positions));
    out += "\n";
  } else if (o.graph) {
    LAMINA_ASSIGN(out, graph_text(opened->manifest));
  } else if (o.json) {
    out = as_json(*opened, choice.directory, o.tensors) + "\n";
  } else if (o.tensors) {
    out = tensor_lines(opened->manifest);
  } else {
    out = summary(*opened, choice.directory);
  }
  LAMINA_TRY(console.write(out));
  return kExitOk;
}

}  // namespace

void add_inspect(Cli& cli) {
  CLI::App& verb = cli.verb("inspect", "Show what a model folder holds", kGroupMeasure,
                            "  lamina inspect ~/llama-1b\n"
                            "  lamina inspect ~/llama-1b --tensors\n");
  auto options = std::make_shared<Options>();
  add_model_flags(verb, options->model, true);
  verb.option_defaults()->group("What to show");
  CLI::Option* tensors =
      switch_flag(verb, "--tensors", options->tensors, "Every tensor: name, precision, shape, shard");
  switch_flag(verb, "--graph", options->graph, "The forward step, one op a line")->excludes(tensors);
  switch_flag(verb, "--json", options->json,
              "A JSON object; with --tensors they are in it; with --graph the table that outside engines run");
  cli.on_run(verb, [&cli, options] { return run(cli.console(), *options); });
}

}  // namespace lamina::cli
