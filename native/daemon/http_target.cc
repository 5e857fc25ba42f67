// SPDX-License-Identifier: Apache-2.0
#include "native/daemon/http_target.h"

#include <vector>

#include "core/base/utf8.h"

namespace lamina::daemon {

namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_alpha(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

int hex_value(char c) {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool parse_port(std::string_view text, int32_t& port) {
  if (text.empty() || text.size() > 5) return false;
  port = 0;
  for (char c : text) {
    if (!is_digit(c)) return false;
    port = port * 10 + (c - '0');
  }
  return port <= 65535;
}

bool is_name_char(char c) {
  return is_digit(c) || is_alpha(c) || c == '.' || c == '-' || c == '_';
}
bool is_v6_char(char c) {
  return hex_value(c) >= 0 || c == ':' || c == '.';
}

std::optional<std::string> percent_decoded(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '%') {
      if (i + 2 >= text.size()) return std::nullopt;
      int high = hex_value(text[i + 1]), low = hex_value(text[i + 2]);
      if (high < 0 || low < 0) return std::nullopt;
      c = static_cast<char>(high * 16 + low);
      if (c == '/') return std::nullopt;
      i += 2;
    }
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f || c == '\\') return std::nullopt;
    out += c;
  }
  if (!is_valid_utf8(out)) return std::nullopt;
  return out;
}

// RFC 3986, 5.2.4, but ".." above the root is an error.
std::optional<std::string> without_dots(std::string_view path) {
  std::vector<std::string_view> kept;
  for (size_t at = 1; at <= path.size();) {
    size_t slash = path.find('/', at);
    bool last = slash == std::string_view::npos;
    std::string_view part = path.substr(at, last ? path.size() - at : slash - at);
    if (part == "..") {
      if (kept.empty()) return std::nullopt;
      kept.pop_back();
    } else if (part != ".") {
      kept.push_back(part);
    }
    if (last) {
      if (part == "." || part == "..") kept.push_back({});  // a directory, with its slash
      break;
    }
    at = slash + 1;
  }
  std::string out;
  for (std::string_view part : kept) (out += '/') += part;
  return out.empty() ? "/" : out;
}

// Takes "scheme://authority" off the front of an absolute target.
bool take_authority(std::string_view& text, Target& target) {
  size_t colon = text.find("://");
  std::string scheme = ascii_lower(text.substr(0, colon == std::string_view::npos ? 0 : colon));
  if (scheme != "http" && scheme != "https") return false;
  text.remove_prefix(colon + 3);
  size_t end = text.find_first_of("/?");
  if (end == std::string_view::npos) end = text.size();
  target.authority = parse_host(text.substr(0, end));
  text.remove_prefix(end);
  return target.authority.has_value();
}

}  // namespace

std::string ascii_lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

bool equals_ignoring_case(std::string_view a, std::string_view b) {
  return a.size() == b.size() && ascii_lower(a) == ascii_lower(b);
}

bool list_has(std::string_view list, std::string_view element) {
  while (!list.empty()) {
    size_t comma = list.find(',');
    std::string_view part = list.substr(0, comma);
    while (!part.empty() && (part.front() == ' ' || part.front() == '\t')) part.remove_prefix(1);
    while (!part.empty() && (part.back() == ' ' || part.back() == '\t')) part.remove_suffix(1);
    if (equals_ignoring_case(part, element)) return true;
    if (comma == std::string_view::npos) break;
    list.remove_prefix(comma + 1);
  }
  return false;
}

std::optional<HostPort> parse_host(std::string_view text) {
  HostPort out;
  bool bracketed = text.starts_with('[');
  size_t end = bracketed ? text.find(']') : text.find(':');
  if (bracketed && end == std::string_view::npos) return std::nullopt;
  if (bracketed) ++end;
  if (end == std::string_view::npos) end = text.size();
  std::string_view host = text.substr(0, end), rest = text.substr(end);
  std::string_view inner = bracketed ? host.substr(1, host.size() - 2) : host;
  if (inner.empty() || inner.size() > 253) return std::nullopt;
  for (char c : inner) {
    if (bracketed ? !is_v6_char(c) : !is_name_char(c)) return std::nullopt;
  }
  if (!rest.empty()) {
    if (rest[0] != ':' || !parse_port(rest.substr(1), out.port)) return std::nullopt;
  }
  out.host = ascii_lower(host);
  return out;
}

std::optional<Target> parse_target(std::string_view text) {
  Target out;
  for (char c : text) {
    if (c <= 0x20 || c >= 0x7f || c == '#') return std::nullopt;  // also bytes above 127
  }
  if (!text.starts_with('/') && !take_authority(text, out)) return std::nullopt;
  size_t question = text.find('?');
  if (question != std::string_view::npos) out.query = text.substr(question + 1);
  std::string_view raw = text.substr(0, question);
  auto decoded = percent_decoded(raw.empty() ? "/" : raw);
  if (!decoded) return std::nullopt;
  auto path = without_dots(*decoded);
  if (!path) return std::nullopt;
  out.path = std::move(*path);
  return out;
}

}  // namespace lamina::daemon
