// SPDX-License-Identifier: Apache-2.0
// Request targets and Host values. What is not understood beyond doubt is refused.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace lamina::daemon {

struct HostPort {
  std::string host;   // lower case; an IPv6 address keeps its brackets
  int32_t port = -1;  // -1: none given
  bool operator==(const HostPort&) const = default;
};

// "name", "name:port", "1.2.3.4:port", "[::1]:port".
std::optional<HostPort> parse_host(std::string_view text);

struct Target {
  std::string path;   // percent-decoded once, "." and ".." resolved; UTF-8 without control bytes
  std::string query;  // raw
  std::optional<HostPort> authority;  // of an absolute target
};

// origin-form ("/path?query") or absolute-form ("http://host/path"). Refused: fragments, encoded
// slashes and backslashes, ".." above the root, broken percent codes, invalid UTF-8.
std::optional<Target> parse_target(std::string_view text);

std::string ascii_lower(std::string_view text);
bool equals_ignoring_case(std::string_view a, std::string_view b);

// Whether a comma-separated list has this element, ignoring case.
bool list_has(std::string_view list, std::string_view element);

}  // namespace lamina::daemon
