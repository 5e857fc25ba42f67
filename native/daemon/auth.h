// SPDX-License-Identifier: Apache-2.0
// Who may ask: the token of this installation, and what may be exposed to whom.
#pragma once

#include <string>
#include <string_view>

#include "core/base/result.h"
#include "native/daemon/http.h"

namespace lamina::daemon {

constexpr size_t kTokenBytes = 32;
constexpr size_t kTokenLength = 43;  // of its base64url text

std::string token_path();  // in config_directory()

// The token at `path` (empty: token_path()); made at the first call, readable by its owner only.
// Refused: a file that others may read, or that holds something else.
Result<std::string> load_or_create_token(const std::string& path = {});

// Takes the same time wherever the texts differ.
bool equal_in_constant_time(std::string_view a, std::string_view b);

// The token of "Bearer TOKEN", else of a WebSocket's "bearer.TOKEN" among the offered protocols.
std::string_view bearer_token(std::string_view authorization, std::string_view protocols);

bool is_loopback(std::string_view host);  // localhost, 127.0.0.0/8, ::1

// Beyond loopback only with a token and TLS, unless the user insists.
Result<void> check_exposure(const NetOptions& options, bool insecure);

}  // namespace lamina::daemon
