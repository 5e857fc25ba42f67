// SPDX-License-Identifier: Apache-2.0
#include "backends/vulkan/vk_api.h"

#include <dlfcn.h>

#include <atomic>
#include <string>

namespace lamina::vulkan {

#define LAMINA_VK_DEFINE(name) PFN_##name name = nullptr;
LAMINA_VK_GLOBAL(LAMINA_VK_DEFINE)
LAMINA_VK_INSTANCE(LAMINA_VK_DEFINE)
LAMINA_VK_DEVICE(LAMINA_VK_DEFINE)
#undef LAMINA_VK_DEFINE

namespace {

PFN_vkGetInstanceProcAddr get_instance_proc = nullptr;
std::atomic<bool> device_lost{false};

template <typename F>
F find(VkInstance instance, const char* name) {
  return reinterpret_cast<F>(get_instance_proc(instance, name));
}

}  // namespace

Result<void> load_vulkan() {
  if (get_instance_proc) return {};
  void* library = dlopen("libvulkan.so.1", RTLD_NOW | RTLD_LOCAL);
  if (!library) return make_error(Code::kUnsupported, "no Vulkan here: libvulkan.so.1 is not installed (Debian: libvulkan1)");
  get_instance_proc =
      reinterpret_cast<PFN_vkGetInstanceProcAddr>(dlsym(library, "vkGetInstanceProcAddr"));
  if (!get_instance_proc) return make_error(Code::kUnsupported, "libvulkan.so.1 is not a Vulkan loader");
#define LAMINA_VK_LOAD(name) name = find<PFN_##name>(nullptr, #name);
  LAMINA_VK_GLOBAL(LAMINA_VK_LOAD)
#undef LAMINA_VK_LOAD
  return {};
}

void load_instance_functions(VkInstance instance) {
#define LAMINA_VK_LOAD(name) name = find<PFN_##name>(instance, #name);
  LAMINA_VK_INSTANCE(LAMINA_VK_LOAD)
#undef LAMINA_VK_LOAD
}

void load_device_functions(VkInstance instance) {
#define LAMINA_VK_LOAD(name) name = find<PFN_##name>(instance, #name);
  LAMINA_VK_DEVICE(LAMINA_VK_LOAD)
#undef LAMINA_VK_LOAD
}

const char* result_name(VkResult result) {
  switch (result) {
    case VK_ERROR_OUT_OF_HOST_MEMORY: return "out of host memory";
    case VK_ERROR_OUT_OF_DEVICE_MEMORY: return "out of device memory";
    case VK_ERROR_DEVICE_LOST: return "device lost";
    case VK_ERROR_INITIALIZATION_FAILED: return "initialization failed";
    case VK_ERROR_MEMORY_MAP_FAILED: return "memory could not be mapped";
    case VK_ERROR_LAYER_NOT_PRESENT: return "layer not present";
    case VK_ERROR_EXTENSION_NOT_PRESENT: return "extension not present";
    case VK_ERROR_FEATURE_NOT_PRESENT: return "feature not present";
    case VK_ERROR_INCOMPATIBLE_DRIVER: return "incompatible driver";
    case VK_TIMEOUT: return "timeout";
    default: return "error";
  }
}

bool take_device_lost() { return device_lost.exchange(false); }

Error vulkan_error(VkResult result, const char* what) {
  const bool memory =
      result == VK_ERROR_OUT_OF_DEVICE_MEMORY || result == VK_ERROR_OUT_OF_HOST_MEMORY;
  if (result == VK_ERROR_DEVICE_LOST) device_lost = true;
  std::string call(what);
  call = call.substr(0, call.find('('));
  return make_error(memory ? Code::kOutOfMemory : Code::kDevice, "Vulkan: %s (%d) from %s",
                    result_name(result), static_cast<int>(result), call.c_str());
}

}  // namespace lamina::vulkan
