// SPDX-License-Identifier: Apache-2.0
// Which model folder a verb works on, and whose signatures it accepts.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "core/base/result.h"
#include "native/platform/trust.h"

namespace lamina::cli {

struct ModelFlags {
  std::string model;  // empty: LAMINA_MODEL, else the demo model
  bool require_signature = false;
  std::vector<std::string> trust;
};

// -m, --require-signature, --trust. With `folder`, the folder may also stand without a flag.
void add_model_flags(CLI::App& verb, ModelFlags& flags, bool folder = false);

struct ModelChoice {
  std::string directory;
  bool demo = false;
};

// Errors: nothing named and no demo model found (kNotFound, with the places); something that is no
// model folder, with what to do about it.
Result<ModelChoice> choose_model(const ModelFlags& flags);

Result<TrustPolicy> trust_policy(const ModelFlags& flags);

// "signed by 1f2e-... (trusted)", "unsigned", ...
std::string signature_text(const SignatureFacts& facts);
// "trusted" "unknown_signer" "unsigned", for JSON.
std::string_view signature_kind_name(SignatureKind kind);

// Reading a model calls an architecture that isn't ours "unsupported"; for the exit status that's a
// fault of the model, not of the device.
Error as_model_error(Error error);
// The same for a model folder that was found: a file that it lacks is a fault of its integrity.
Error as_folder_error(Error error);

}  // namespace lamina::cli
