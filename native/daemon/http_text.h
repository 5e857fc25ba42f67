// SPDX-License-Identifier: Apache-2.0
// The text of answers.
#pragma once

#include <cstdint>
#include <ctime>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace lamina::daemon {

using HeaderList = std::vector<std::pair<std::string, std::string>>;

std::string_view status_phrase(int status);
// Up to 18 digits and nothing else, so that sums of two fit.
bool parse_decimal(std::string_view text, uint64_t& out);

std::string http_date(std::time_t when);  // "Sun, 06 Nov 1994 08:49:37 GMT"

// The status line and headers, with the blank line. A header that could end its line early is left
// out.
std::string head_text(int status, const HeaderList& headers);

const std::string* find_header(const HeaderList& headers, std::string_view name);  // ignoring case

// {"error":{"message":...,"type":...,"code":...}} with texts that need no escaping.
std::string error_body(std::string_view message, std::string_view type, std::string_view code);

// The body that the front itself answers a refusal with.
std::string refusal_body(int status);

}  // namespace lamina::daemon
