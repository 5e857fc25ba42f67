// SPDX-License-Identifier: Apache-2.0
// One model as the service needs it: how its prompts become tokens and its engines are made.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/engine/engine.h"
#include "core/model/tokenizer.h"
#include "native/daemon/service.h"

namespace lamina::daemon {

struct MadeEngine {
  std::unique_ptr<Engine> engine;
  std::string kind;  // of its backend, as make_engine takes it
  std::string why;   // this one
};

// Outlives its engines. All methods may be called from several threads at once.
class ModelHost {
 public:
  virtual ~ModelHost() = default;
  virtual const ModelConfig& config() const = 0;
  virtual const Tokenizer* tokenizer() const = 0;  // null: answers have no text
  // From the request's messages or prompt.
  virtual Result<std::vector<int32_t>> prompt_ids(const GenerateRequest& request) const = 0;
  virtual std::vector<std::string> backends() const = 0;  // that make_engine can be asked for
  // "auto" is for the first engine; "cpu" is what replaces another one that failed for good.
  virtual Result<MadeEngine> make_engine(const std::string& kind) = 0;
};

using LoadTold = std::function<void(const LoadProgress&)>;
using OpenHost = std::function<Result<std::unique_ptr<ModelHost>>(
    const std::string& directory, const ServiceOptions& options, const LoadTold& told)>;

// The host of a model folder, by the rules of the `lamina` program: trust, self-tests, kernels.
Result<std::unique_ptr<ModelHost>> open_model_host(const std::string& directory,
                                                   const ServiceOptions& options,
                                                   const LoadTold& told);

// How the options want an engine of such a model.
EngineOptions engine_options(const ServiceOptions& options, const ModelConfig& config);

// Service::create with another way to open models.
Result<std::unique_ptr<Service>> create_service(const ServiceOptions& options, OpenHost open);

}  // namespace lamina::daemon
