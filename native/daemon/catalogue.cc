// SPDX-License-Identifier: Apache-2.0
#include "native/daemon/catalogue.h"

#include <algorithm>
#include <filesystem>

#include "core/base/utf8.h"
#include "native/platform/files.h"

namespace lamina::daemon {
namespace {

constexpr size_t kMostListed = 1000;
constexpr size_t kMostNameBytes = 256;

std::vector<Catalogue::Model> folders_of(const std::string& root) {
  std::vector<Catalogue::Model> models;
  std::error_code error;
  std::filesystem::directory_iterator entries(root, error), end;
  for (; !error && entries != end && models.size() < kMostListed; entries.increment(error)) {
    const std::string name = entries->path().filename().string();
    const std::string directory = entries->path().string();
    const bool sayable = !name.starts_with('.') && !name.ends_with(".partial") &&
                         name.size() <= kMostNameBytes && is_valid_utf8(name);
    if (sayable && file_exists(join_path(directory, "manifest.json"))) {
      models.push_back({name, directory});
    }
  }
  std::ranges::sort(models, {}, &Catalogue::Model::name);
  return models;
}

}  // namespace

Result<std::string> Catalogue::add(const std::string& directory) {
  std::error_code error;
  const std::filesystem::path whole = std::filesystem::absolute(directory, error);
  const std::string name = base_name(error ? directory : whole.lexically_normal().string());
  if (name.empty() || name.size() > kMostNameBytes || !is_valid_utf8(name)) {
    return make_error(Code::kInvalidArgument, "%s: no name for a model can be made of this",
                      directory.c_str());
  }
  for (const Model& model : added_) {
    if (model.name != name) continue;
    return make_error(Code::kInvalidArgument, "two models are called %s: %s and %s", name.c_str(),
                      model.directory.c_str(), directory.c_str());
  }
  added_.push_back({name, directory});
  return name;
}

std::vector<Catalogue::Model> Catalogue::list() const {
  std::vector<Model> models = added_;
  if (root_.empty()) return models;
  for (Model& model : folders_of(root_)) {
    const bool hidden = std::ranges::find(added_, model.name, &Model::name) != added_.end();
    if (!hidden) models.push_back(std::move(model));
  }
  return models;
}

std::optional<std::string> Catalogue::directory_of(const std::string& name) const {
  for (Model& model : list()) {
    if (model.name == name) return std::move(model.directory);
  }
  return std::nullopt;
}

}  // namespace lamina::daemon
