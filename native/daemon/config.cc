// SPDX-License-Identifier: Apache-2.0
#include "native/daemon/config.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "core/base/json.h"
#include "native/platform/files.h"
#include "native/platform/paths.h"

namespace lamina::daemon {
namespace {

using Kind = SettingInfo::Kind;
using Values = Settings::Values;

constexpr size_t kMostConfigBytes = size_t{1} << 20;

constexpr SettingInfo kTable[] = {
    {"models", "-m,--model", "LAMINA_MODEL", Kind::kList, "DIR", "", 0, 0, "Model",
     "Model folder to load at the start, the first being the default; repeatable"},
    {"model_root", "--models", "LAMINA_MODELS", Kind::kText, "DIR", "", 0, 0, "Model",
     "Folder of model folders that clients may load by name"},
    {"require_signature", "--require-signature", "LAMINA_REQUIRE_SIGNATURE", Kind::kSwitch, "",
     "false", 0, 0, "Model", "Refuse a model that no trusted key has signed"},
    {"trust", "--trust", "LAMINA_TRUST", Kind::kList, "KEY", "", 0, 0, "Model",
     "Accept only signatures by this public key (ed25519:... or a file); repeatable"},
    {"host", "--host", "LAMINA_HOST", Kind::kText, "NAME", "127.0.0.1", 0, 0, "Network",
     "Address to listen on"},
    {"port", "--port", "LAMINA_PORT", Kind::kNumber, "N", "8484", 0, 65535, "Network",
     "Port to listen on; 0: any that is free"},
    {"allow_origin", "--allow-origin", "LAMINA_ALLOW_ORIGIN", Kind::kList, "ORIGIN", "", 0, 0,
     "Network", "Web pages of this origin may ask too, e.g. https://example.org; repeatable"},
    {"allow_host", "--allow-host", "LAMINA_ALLOW_HOST", Kind::kList, "NAME", "", 0, 0, "Network",
     "A name that this machine is asked by, beside its address; repeatable"},
    {"tls_cert", "--tls-cert", "LAMINA_TLS_CERT", Kind::kText, "FILE", "", 0, 0, "Network",
     "Certificate chain for TLS, PEM"},
    {"tls_key", "--tls-key", "LAMINA_TLS_KEY", Kind::kText, "FILE", "", 0, 0, "Network",
     "Its key, PEM"},
    {"tls_self_signed", "--tls-self-signed", "LAMINA_TLS_SELF_SIGNED", Kind::kSwitch, "", "false",
     0, 0, "Network", "TLS with a certificate of our own making"},
    {"insecure_no_auth", "--insecure-no-auth", "LAMINA_INSECURE_NO_AUTH", Kind::kSwitch, "",
     "false", 0, 0, "Network", "Ask nobody for the token, and listen anywhere"},
    {"token_file", "--token-file", "LAMINA_TOKEN_FILE", Kind::kText, "FILE", "", 0, 0, "Network",
     "Where the token is, or will be, made at the first start"},
    {"backend", "--backend", "LAMINA_BACKEND", Kind::kChoice, "auto|cpu|reference|vulkan", "auto",
     0, 0, "Engine", "What computes; auto: a GPU through Vulkan, else cpu"},
    {"device", "--device", "LAMINA_DEVICE", Kind::kNumber, "N", "0", 0, 1024, "Engine",
     "Which GPU, as `lamina doctor` counts them"},
    {"memory_budget", "--memory-budget", "LAMINA_MEMORY_BUDGET", Kind::kSize, "SIZE", "", 1 << 20,
     1.7e13, "Engine", "Most of the GPU's memory to use, e.g. 6G; else what is free"},
    {"threads", "-t,--threads", "LAMINA_THREADS", Kind::kNumber, "N", "0", 0, 256, "Engine",
     "Threads; 0: the backend chooses"},
    {"context", "-c,--ctx-size,--ctx", "LAMINA_CTX", Kind::kNumber, "N", "0", 0, 1 << 24, "Engine",
     "Tokens of context of one conversation; 0: the model's limit, at most 8192"},
    {"parallel", "--parallel", "LAMINA_PARALLEL", Kind::kNumber, "N", "8", 1, 256, "Engine",
     "Conversations that are computed at once"},
    {"queue", "--queue", "LAMINA_QUEUE", Kind::kNumber, "N", "64", 0, 100000, "Engine",
     "Those that may wait; more are refused"},
    {"cache_size", "--cache-size,--cache", "LAMINA_CACHE_SIZE", Kind::kNumber, "N", "0", 0, 1 << 30,
     "Engine",
     "Tokens that a model's key/value cache holds, of all conversations, at least --ctx; 0: "
     "--parallel times --ctx. With less, conversations may wait for each other"},
    {"kv", "--kv", "LAMINA_KV", Kind::kChoice, "f32|f16|i8", "f16", 0, 0, "Engine",
     "Precision of the key/value cache"},
    {"load", "--load", "LAMINA_LOAD", Kind::kChoice, "auto|mmap|huge", "auto", 0, 0, "Engine",
     "Map the shards, or read them into huge pages"},
    {"ui", "--ui", "LAMINA_UI", Kind::kText, "DIR", "", 0, 0, "Service",
     "Folder of web pages to serve at /"},
    {"grace", "--grace", "LAMINA_GRACE", Kind::kNumber, "SECONDS", "30", 0, 3600, "Service",
     "Seconds that a WebSocket session awaits its client's return"},
    {"drain", "--drain", "LAMINA_DRAIN", Kind::kNumber, "SECONDS", "30", 0, 3600, "Service",
     "Seconds that answers may go on after SIGTERM or Ctrl-C"},
    {"log_format", "--log-format", "LAMINA_LOG_FORMAT", Kind::kChoice, "text|json", "text", 0, 0,
     "Service", "Form of the log on standard error"},
    {"log_level", "--log-level", "LAMINA_LOG_LEVEL", Kind::kChoice, "debug|info|warn|error|off",
     "info", 0, 0, "Service", "What is logged; never prompts, answers or tokens"},
};

std::optional<uint64_t> whole_number(std::string_view text) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

// "64M", "6G": powers of 1024.
std::optional<uint64_t> size_of(std::string_view text) {
  constexpr std::string_view kUnits = "kKmMgG";
  const size_t unit = text.empty() ? std::string_view::npos : kUnits.find(text.back());
  if (unit != std::string_view::npos) text.remove_suffix(1);
  const int shift = unit == std::string_view::npos ? 0 : 10 * (static_cast<int>(unit) / 2 + 1);
  const std::optional<uint64_t> number = whole_number(text);
  if (!number || *number > (UINT64_MAX >> shift)) return std::nullopt;
  return *number << shift;
}

bool is_choice(std::string_view text, std::string_view choices) {
  for (size_t at = 0; at <= choices.size();) {
    const size_t end = std::min(choices.find('|', at), choices.size());
    if (choices.substr(at, end - at) == text) return true;
    at = end + 1;
  }
  return false;
}

Result<void> check(const SettingInfo& info, const std::string& origin, const std::string& value) {
  const auto refuse = [&](const std::string& what) {
    return make_error(Code::kInvalidArgument, "%s: %s %s", origin.c_str(), quote(value).c_str(),
                      what.c_str());
  };
  switch (info.kind) {
    case Kind::kText:
    case Kind::kList:
      if (value.find('\0') != std::string::npos) return refuse("holds a zero byte");
      return {};
    case Kind::kChoice:
      if (is_choice(value, info.takes)) return {};
      return refuse("is not one of " + std::string(info.takes));
    case Kind::kSwitch:
      if (value == "true" || value == "false") return {};
      return refuse("is neither true nor false");
    case Kind::kNumber:
    case Kind::kSize: {
      const auto number = info.kind == Kind::kSize ? size_of(value) : whole_number(value);
      if (!number) return refuse("is not a number");
      const auto real = static_cast<double>(*number);
      if (real >= info.low && real <= info.high) return {};
      char range[64];
      std::snprintf(range, sizeof range, "is out of range: %g to %g", info.low, info.high);
      return refuse(range);
    }
  }
  return {};
}

Result<Values> file_values(const SettingInfo& info, JsonValue v) {
  if (v.is_string() && info.kind != Kind::kSwitch && info.kind != Kind::kNumber) {
    return Values{std::string(v.as_string())};
  }
  const bool number = info.kind == Kind::kNumber || info.kind == Kind::kSize;
  if (v.is_int() && v.as_int() >= 0 && number) return Values{std::to_string(v.as_int())};
  if (v.is_bool() && info.kind == Kind::kSwitch) return Values{v.as_bool() ? "true" : "false"};
  if (v.is_array() && info.kind == Kind::kList) {
    Values values;
    for (JsonValue item = v.first_child(); !item.is_missing(); item = item.next_sibling()) {
      if (!item.is_string()) return item.error(Code::kInvalidArgument, "must be a string");
      values.emplace_back(item.as_string());
    }
    return values;
  }
  const char* wanted = info.kind == Kind::kList     ? "must be a list of strings"
                       : info.kind == Kind::kSwitch ? "must be true or false"
                       : number                     ? "must be a whole number"
                                                    : "must be a string";
  return v.error(Code::kInvalidArgument, wanted);
}

Result<std::map<std::string, Values>> file_settings(const std::string& text,
                                                    const std::string& path) {
  auto document = JsonDocument::parse(text, path, {kMostConfigBytes, 8, 10000, true});
  if (!document) return make_error(Code::kInvalidArgument, "%s", document.error().message.c_str());
  const JsonValue root = (*document)->root();
  if (!root.is_object()) {
    return make_error(Code::kInvalidArgument, "%s: must hold a JSON object", path.c_str());
  }
  std::map<std::string, Values> settings;
  for (JsonValue v = root.first_child(); !v.is_missing(); v = v.next_sibling()) {
    const auto info = std::ranges::find(kTable, v.key(), &SettingInfo::name);
    if (info == std::end(kTable)) {
      return make_error(Code::kInvalidArgument,
                        "%s: there is no setting %s; `lamina config` lists what there is",
                        path.c_str(), quote(v.key()).c_str());
    }
    LAMINA_ASSIGN(settings[info->name], file_values(*info, v));
  }
  return settings;
}

// LAMINA_MODEL is one folder for every verb; other lists have commas.
Values environment_values(const SettingInfo& info, const std::string& text) {
  if (info.kind == Kind::kSwitch && text == "1") return {"true"};
  if (info.kind == Kind::kSwitch && text == "0") return {"false"};
  if (info.kind != Kind::kList || std::string_view(info.name) == "models") return {text};
  Values values;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find(',', at), text.size());
    if (end > at) values.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return values;
}

// "--port" of "-p,--port".
std::string long_flag(const SettingInfo& info) {
  const std::string_view flags = info.flags;
  const size_t begin = flags.find("--");
  return std::string(flags.substr(begin, flags.find(',', begin) - begin));
}

}  // namespace

std::span<const SettingInfo> setting_table() {
  return kTable;
}

Result<Settings> Settings::resolve(
    const std::optional<std::string>& file, const std::string& file_path,
    const std::function<std::optional<std::string>(const char*)>& environment,
    const std::map<std::string, Values>& flags) {
  std::map<std::string, Values> in_file;
  if (file) {
    LAMINA_ASSIGN(in_file, file_settings(*file, file_path));
  }
  Settings settings;
  for (const SettingInfo& info : kTable) {
    Setting setting{&info, {}};
    if (const auto given = flags.find(info.name); given != flags.end()) {
      setting.sources.push_back({long_flag(info), given->second});
    }
    const std::optional<std::string> variable = environment(info.environment);
    if (variable && !variable->empty()) {
      setting.sources.push_back({info.environment, environment_values(info, *variable)});
    }
    if (const auto given = in_file.find(info.name); given != in_file.end()) {
      setting.sources.push_back({file_path + ": " + info.name, given->second});
    }
    setting.sources.push_back({"default", *info.usual ? Values{info.usual} : Values{}});
    for (const Source& source : setting.sources) {
      for (const std::string& value : source.values) LAMINA_TRY(check(info, source.origin, value));
    }
    settings.settings_.push_back(std::move(setting));
  }
  return settings;
}

const Settings::Setting& Settings::at(std::string_view name) const {
  const auto found =
      std::ranges::find_if(settings_, [&](const Setting& s) { return s.info->name == name; });
  LAMINA_CHECK(found != settings_.end());
  return *found;
}

std::string Settings::text(std::string_view name) const {
  const Values& values = at(name).winner().values;
  return values.empty() ? "" : values.back();
}

int64_t Settings::number(std::string_view name) const {
  return static_cast<int64_t>(whole_number(text(name)).value_or(0));
}

uint64_t Settings::size(std::string_view name) const {
  return size_of(text(name)).value_or(0);
}

bool Settings::flag(std::string_view name) const {
  return text(name) == "true";
}

const Settings::Values& Settings::list(std::string_view name) const {
  return at(name).winner().values;
}

std::string config_path() {
  return join_path(config_directory(), "config.json");
}

Result<std::optional<std::string>> read_config(const std::string& path) {
  if (!file_exists(path)) return std::optional<std::string>();
  LAMINA_ASSIGN(std::string text, read_file(path, kMostConfigBytes));
  return std::optional<std::string>(std::move(text));
}

}  // namespace lamina::daemon
