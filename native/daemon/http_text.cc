// SPDX-License-Identifier: Apache-2.0
#include "native/daemon/http_text.h"

#include <algorithm>
#include <cstdio>

#include "native/daemon/http.h"
#include "native/daemon/http_target.h"

namespace lamina::daemon {

namespace {

struct Phrase {
  int status;
  std::string_view phrase;
};

constexpr Phrase kPhrases[] = {
    {100, "Continue"},
    {101, "Switching Protocols"},
    {200, "OK"},
    {202, "Accepted"},
    {204, "No Content"},
    {206, "Partial Content"},
    {304, "Not Modified"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {411, "Length Required"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {426, "Upgrade Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {503, "Service Unavailable"},
    {505, "HTTP Version Not Supported"},
};

bool is_safe(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    unsigned char byte = static_cast<unsigned char>(c);
    return byte >= 0x20 && byte != 0x7f;
  });
}

}  // namespace

std::string_view HttpRequest::header(std::string_view lower_case_name) const {
  for (const auto& [name, value] : headers) {
    if (name == lower_case_name) return value;
  }
  return {};
}

std::string_view status_phrase(int status) {
  for (const Phrase& entry : kPhrases) {
    if (entry.status == status) return entry.phrase;
  }
  return status < 400 ? "OK" : "Error";
}

bool parse_decimal(std::string_view text, uint64_t& out) {
  if (text.empty() || text.size() > 18) return false;
  out = 0;
  for (char c : text) {
    if (c < '0' || c > '9') return false;
    out = out * 10 + static_cast<uint64_t>(c - '0');
  }
  return true;
}

std::string http_date(std::time_t when) {
  static constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                            "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  std::tm parts{};
  gmtime_r(&when, &parts);
  char text[64];
  int size = std::snprintf(text, sizeof text, "%s, %02d %s %04d %02d:%02d:%02d GMT",
                           kDays[parts.tm_wday], parts.tm_mday, kMonths[parts.tm_mon],
                           parts.tm_year + 1900, parts.tm_hour, parts.tm_min, parts.tm_sec);
  return std::string(text, static_cast<size_t>(size));
}

std::string head_text(int status, const HeaderList& headers) {
  std::string out = "HTTP/1.1 " + std::to_string(status) + ' ';
  out.append(status_phrase(status)).append("\r\n");
  for (const auto& [name, value] : headers) {
    if (name.empty() || name.find_first_of(": ") != std::string::npos) continue;
    if (!is_safe(name) || !is_safe(value)) continue;
    out.append(name).append(": ").append(value).append("\r\n");
  }
  return out.append("\r\n");
}

const std::string* find_header(const HeaderList& headers, std::string_view name) {
  for (const auto& header : headers) {
    if (equals_ignoring_case(header.first, name)) return &header.second;
  }
  return nullptr;
}

std::string error_body(std::string_view message, std::string_view type, std::string_view code) {
  std::string out = "{\"error\":{\"message\":\"";
  out.append(message).append("\",\"type\":\"").append(type).append("\",\"param\":null,\"code\":\"");
  return out.append(code).append("\"}}\n");
}

std::string refusal_body(int status) {
  std::string_view message = status_phrase(status), code = "bad_request";
  if (status == 401) message = "A bearer token is needed.", code = "unauthorized";
  if (status == 403) message = "This origin is not allowed.", code = "origin_not_allowed";
  if (status == 404) message = "There is nothing at this path.", code = "not_found";
  if (status == 405) message = "This path does not take the method.", code = "method_not_allowed";
  if (status == 411) message = "A Content-Length is needed.", code = "length_required";
  if (status == 413) message = "The body is larger than this path takes.", code = "too_large";
  if (status == 421) message = "This host name is not served here.", code = "host_not_allowed";
  if (status == 426) message = "This path speaks WebSocket.", code = "upgrade_required";
  if (status == 429) message = "Too many requests; wait a moment.", code = "rate_limited";
  if (status == 503) message = "No more connections; try again later.", code = "overloaded";
  if (status == 500) message = "The request failed inside the server.", code = "internal";
  std::string_view type = status == 429   ? "rate_limit_error"
                          : status >= 500 ? "server_error"
                                          : "invalid_request_error";
  return error_body(message, type, code);
}

}  // namespace lamina::daemon
