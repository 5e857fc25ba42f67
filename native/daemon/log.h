// SPDX-License-Identifier: Apache-2.0
// What the daemon says to its operator: events with fields, as text or JSON lines on standard
// error. Prompts, answers and tokens never go in here.
#pragma once

#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "core/base/result.h"

namespace spdlog {
class logger;
}

namespace lamina::daemon {

struct LogField {
  std::string_view name;
  std::string value;
  LogField(std::string_view n, std::string v) : name(n), value(std::move(v)) {}
  LogField(std::string_view n, const char* v) : name(n), value(v) {}
  LogField(std::string_view n, std::string_view v) : name(n), value(v) {}
  template <typename Number>
  requires std::is_arithmetic_v<Number> LogField(std::string_view n, Number v)
      : name(n), value(std::to_string(v)) {}
};

// Thread-safe.
class Log {
 public:
  using Fields = std::initializer_list<LogField>;
  enum class Format : uint8_t { kText, kJson };

  // `level`: "debug" "info" "warn" "error" "off". REQUIRES: one of these (checked).
  Log(Format format, const std::string& level);
  ~Log();

  void debug(std::string_view event, Fields fields = {});
  void info(std::string_view event, Fields fields = {});
  void warn(std::string_view event, Fields fields = {});
  void error(std::string_view event, Fields fields = {});

  // A line without time and level.
  static std::string line(Format format, std::string_view event, Fields fields);

 private:
  Format format_;
  std::shared_ptr<spdlog::logger> logger_;
};

}  // namespace lamina::daemon
