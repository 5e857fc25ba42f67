// SPDX-License-Identifier: Apache-2.0
// The UI's files, read into a table when the daemon starts. A request's path is only ever looked up
// in it: no path is built from input.
#pragma once

#include <string>

#include "core/base/result.h"
#include "native/daemon/http.h"

namespace lamina::daemon {

// Adds a route for each file of `directory` (index.html also as "/"; X.gz and X.br are X
// compressed; hidden files and links are left out). Empty: one built-in page at "/". No token is
// asked for them.
Result<void> serve_static_files(HttpServer& server, const std::string& directory,
                                const NetOptions& options);

// Names with a hash of the content in them, "app-1a2b3c4d.js": what they hold never changes.
bool has_hashed_name(std::string_view file);

// Whether Accept-Encoding takes the coding.
bool accepts_coding(std::string_view accepted, std::string_view coding);

}  // namespace lamina::daemon
