// SPDX-License-Identifier: Apache-2.0
#include "native/daemon/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include "core/base/json.h"

namespace lamina::daemon {
namespace {

constexpr const char* kTextPattern = "%Y-%m-%dT%H:%M:%S.%e%z %-5l %v";
// The message is the rest of the object.
constexpr const char* kJsonPattern = R"({"time":"%Y-%m-%dT%H:%M:%S.%e%z","level":"%l",%v})";

bool plain(std::string_view text) {
  for (const char c : text) {
    if (c <= ' ' || c == '"' || c == '=' || c == '\\' || c == 0x7f) return false;
  }
  return !text.empty();
}

}  // namespace

Log::Log(Format format, const std::string& level) : format_(format) {
  auto sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
  logger_ = std::make_shared<spdlog::logger>("lamina", std::move(sink));
  logger_->set_pattern(format == Format::kJson ? kJsonPattern : kTextPattern);
  const spdlog::level::level_enum known = spdlog::level::from_str(level);
  LAMINA_CHECK(level == "off" || known != spdlog::level::off);
  logger_->set_level(known);
  logger_->flush_on(spdlog::level::debug);
}

Log::~Log() = default;

std::string Log::line(Format format, std::string_view event, Fields fields) {
  if (format == Format::kJson) {
    std::string text = "\"event\":" + json_quote(event);
    for (const LogField& f : fields) text += "," + json_quote(f.name) + ":" + json_quote(f.value);
    return text;
  }
  std::string text(event);
  for (const LogField& f : fields) {
    text += " " + std::string(f.name) + "=" + (plain(f.value) ? f.value : json_quote(f.value));
  }
  return text;
}

void Log::debug(std::string_view event, Fields fields) {
  if (logger_->should_log(spdlog::level::debug)) logger_->debug("{}", line(format_, event, fields));
}
void Log::info(std::string_view event, Fields fields) {
  if (logger_->should_log(spdlog::level::info)) logger_->info("{}", line(format_, event, fields));
}
void Log::warn(std::string_view event, Fields fields) {
  if (logger_->should_log(spdlog::level::warn)) logger_->warn("{}", line(format_, event, fields));
}
void Log::error(std::string_view event, Fields fields) {
  if (logger_->should_log(spdlog::level::err)) logger_->error("{}", line(format_, event, fields));
}

}  // namespace lamina::daemon
