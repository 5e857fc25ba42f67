// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include <asio/ssl/context.hpp>

#include "core/base/result.h"

namespace lamina::daemon {

// TLS 1.2 or later with this certificate chain and key (PEM files).
Result<std::unique_ptr<asio::ssl::context>> tls_context(const std::string& certificate,
                                                        const std::string& key);

}  // namespace lamina::daemon
