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

// A certificate of our own for local use: names localhost, 127.0.0.1, ::1, this machine and `host`.
struct OwnCertificate {
  std::string path;         // certificate and key in one PEM file, readable by its owner only
  std::string fingerprint;  // SHA-256 of the certificate, "AB:CD:...", as browsers show it
};

// The one in `directory` (empty: config_directory()) when it holds for a week yet and names `host`,
// else a new one.
Result<OwnCertificate> self_signed_certificate(const std::string& host,
                                               const std::string& directory = {});

}  // namespace lamina::daemon
