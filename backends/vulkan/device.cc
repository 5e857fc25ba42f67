// SPDX-License-Identifier: Apache-2.0
#include "backends/vulkan/device.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace lamina::vulkan {

namespace {

// NVIDIA's comes with its own package.
constexpr const char* kInstallDriver =
    "install the GPU's: NVIDIA's nvidia-driver, else Mesa's mesa-vulkan-drivers or vulkan-radeon/vulkan-intel; "
    "in a container, pass the GPU and its driver's files through";

// The process' instance: made once, kept to its end (drivers dislike coming and going).
Result<VkInstance> instance() {
  static VkInstance made = VK_NULL_HANDLE;
  if (made) return made;
  LAMINA_TRY(load_vulkan());
  uint32_t version = VK_API_VERSION_1_0;
  if (vkEnumerateInstanceVersion) vkEnumerateInstanceVersion(&version);
  if (version < VK_API_VERSION_1_2) {
    return make_error(Code::kUnsupported, "Vulkan %u.%u here; 1.2 is needed",
                      VK_API_VERSION_MAJOR(version), VK_API_VERSION_MINOR(version));
  }
  VkApplicationInfo app{VK_STRUCTURE_TYPE_APPLICATION_INFO};
  app.pApplicationName = "lamina";
  app.apiVersion = std::min<uint32_t>(version, VK_API_VERSION_1_3);
  VkInstanceCreateInfo info{VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO};
  info.pApplicationInfo = &app;
  const VkResult created = vkCreateInstance(&info, nullptr, &made);
  if (created == VK_ERROR_INCOMPATIBLE_DRIVER) {
    return make_error(Code::kUnsupported, "Vulkan is here, but no driver for a GPU (%s)", kInstallDriver);
  }
  if (created != VK_SUCCESS) return vulkan_error(created, "vkCreateInstance");
  load_instance_functions(made);
  load_device_functions(made);
  return made;
}

struct Candidate {
  VkPhysicalDevice physical;
  DeviceFacts facts;
};

std::vector<std::string> extensions_of(VkPhysicalDevice physical) {
  uint32_t n = 0;
  vkEnumerateDeviceExtensionProperties(physical, nullptr, &n, nullptr);
  std::vector<VkExtensionProperties> all(n);
  vkEnumerateDeviceExtensionProperties(physical, nullptr, &n, all.data());
  std::vector<std::string> names;
  for (const auto& e : all) names.emplace_back(e.extensionName);
  return names;
}

bool has(const std::vector<std::string>& names, const char* name) {
  return std::ranges::find(names, name) != names.end();
}

// Everything that a device may have and that we ask for, chained.
struct Features {
  VkPhysicalDeviceFeatures2 core{VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2};
  VkPhysicalDeviceVulkan11Features v11{VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES};
  VkPhysicalDeviceVulkan12Features v12{VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES};
  VkPhysicalDeviceShaderIntegerDotProductFeatures dot{
      VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_FEATURES};
  VkPhysicalDeviceSubgroupSizeControlFeatures size_control{
      VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES};
  VkPhysicalDeviceCooperativeMatrixFeaturesNV cooperative{
      VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_NV};

  Features(const std::vector<std::string>& extensions, uint32_t api) {
    core.pNext = &v11;
    v11.pNext = &v12;
    void** end = &v12.pNext;
    const auto chain = [&](auto& s) {
      *end = &s;
      end = &s.pNext;
    };
    const bool v13 = api >= VK_API_VERSION_1_3;
    if (v13 || has(extensions, VK_KHR_SHADER_INTEGER_DOT_PRODUCT_EXTENSION_NAME)) chain(dot);
    if (v13 || has(extensions, VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME)) chain(size_control);
    if (has(extensions, VK_NV_COOPERATIVE_MATRIX_EXTENSION_NAME)) chain(cooperative);
  }
  Features(const Features&) = delete;
};

// Why the device can't be used, or null.
const char* missing_feature(const Features& f) {
  if (!f.v12.bufferDeviceAddress) return "buffer device addresses";
  if (!f.v12.timelineSemaphore) return "timeline semaphores";
  if (!f.v12.scalarBlockLayout) return "scalar block layout";
  if (!f.v11.storageBuffer16BitAccess) return "16-bit storage";
  if (!f.core.features.shaderInt64) return "64-bit integers";
  return nullptr;
}

// Matrices of a subgroup that the cooperative kernels are made of: int8 of 16 x 16 x 32 with int32 sums, and
// f16 of 16 x 8 x 16 with f32 sums.
bool has_matrices(VkPhysicalDevice physical) {
  uint32_t n = 0;
  if (!vkGetPhysicalDeviceCooperativeMatrixPropertiesNV) return false;
  vkGetPhysicalDeviceCooperativeMatrixPropertiesNV(physical, &n, nullptr);
  std::vector<VkCooperativeMatrixPropertiesNV> all(
      n, VkCooperativeMatrixPropertiesNV{VK_STRUCTURE_TYPE_COOPERATIVE_MATRIX_PROPERTIES_NV});
  vkGetPhysicalDeviceCooperativeMatrixPropertiesNV(physical, &n, all.data());
  const auto has_shape = [&](uint32_t columns, uint32_t k, VkComponentTypeNV in, VkComponentTypeNV sum) {
    return std::ranges::any_of(all, [&](const VkCooperativeMatrixPropertiesNV& m) {
      return m.MSize == 16 && m.NSize == columns && m.KSize == k && m.AType == in && m.BType == in &&
             m.CType == sum && m.DType == sum && m.scope == VK_SCOPE_SUBGROUP_NV;
    });
  };
  return has_shape(16, 32, VK_COMPONENT_TYPE_SINT8_NV, VK_COMPONENT_TYPE_SINT32_NV) &&
         has_shape(8, 16, VK_COMPONENT_TYPE_FLOAT16_NV, VK_COMPONENT_TYPE_FLOAT32_NV);
}

std::vector<HeapFacts> read_heaps(VkPhysicalDevice physical, bool has_budget) {
  VkPhysicalDeviceMemoryBudgetPropertiesEXT budget{
      VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT};
  VkPhysicalDeviceMemoryProperties2 memory{VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2};
  if (has_budget) memory.pNext = &budget;
  vkGetPhysicalDeviceMemoryProperties2(physical, &memory);
  std::vector<HeapFacts> heaps;
  for (uint32_t i = 0; i < memory.memoryProperties.memoryHeapCount; ++i) {
    const VkMemoryHeap& heap = memory.memoryProperties.memoryHeaps[i];
    const uint64_t most = has_budget ? std::min(budget.heapBudget[i], heap.size) : heap.size;
    heaps.push_back({heap.size, most - std::min(most, has_budget ? budget.heapUsage[i] : 0),
                     (heap.flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT) != 0});
  }
  return heaps;
}

// The largest that is local, or that is not; null without one.
const HeapFacts* largest(const std::vector<HeapFacts>& heaps, bool local) {
  const HeapFacts* best = nullptr;
  for (const HeapFacts& heap : heaps) {
    if (heap.local == local && (!best || heap.bytes > best->bytes)) best = &heap;
  }
  return best;
}

DeviceFacts read_facts(VkPhysicalDevice physical) {
  const auto extensions = extensions_of(physical);
  VkPhysicalDeviceProperties2 properties{VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2};
  VkPhysicalDeviceVulkan11Properties v11{VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_PROPERTIES};
  VkPhysicalDeviceDriverProperties driver{VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES};
  VkPhysicalDeviceSubgroupSizeControlProperties sizes{
      VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_PROPERTIES};
  properties.pNext = &v11;
  v11.pNext = &driver;
  VkPhysicalDeviceProperties2 version{VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2};
  vkGetPhysicalDeviceProperties2(physical, &version);
  if (version.properties.apiVersion >= VK_API_VERSION_1_3 ||
      has(extensions, VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME)) {
    driver.pNext = &sizes;
  }
  VkPhysicalDeviceShaderSMBuiltinsPropertiesNV cores{
      VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_SM_BUILTINS_PROPERTIES_NV};
  if (has(extensions, VK_NV_SHADER_SM_BUILTINS_EXTENSION_NAME)) {
    cores.pNext = properties.pNext;
    properties.pNext = &cores;
  }
  vkGetPhysicalDeviceProperties2(physical, &properties);
  const VkPhysicalDeviceProperties& p = properties.properties;
  DeviceFacts facts;
  facts.cores = cores.shaderSMCount;
  facts.name = p.deviceName;
  facts.driver = std::string(driver.driverName) + " " + driver.driverInfo;
  facts.discrete = p.deviceType == VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU;
  facts.software = p.deviceType == VK_PHYSICAL_DEVICE_TYPE_CPU;
  facts.api = p.apiVersion;
  facts.subgroup = v11.subgroupSize;
  facts.max_allocation = v11.maxMemoryAllocationSize;
  facts.shared_bytes = p.limits.maxComputeSharedMemorySize;
  facts.max_invocations = p.limits.maxComputeWorkGroupInvocations;
  facts.timestamp_ns = p.limits.timestampPeriod;
  facts.memory_budget = has(extensions, VK_EXT_MEMORY_BUDGET_EXTENSION_NAME);
  Features features(extensions, p.apiVersion);
  vkGetPhysicalDeviceFeatures2(physical, &features.core);
  facts.subgroup_control = features.size_control.subgroupSizeControl &&
                           features.size_control.computeFullSubgroups &&
                           (sizes.requiredSubgroupSizeStages & VK_SHADER_STAGE_COMPUTE_BIT) != 0;
  if (facts.subgroup_control) {
    facts.max_invocations = std::min(facts.max_invocations, facts.subgroup * sizes.maxComputeWorkgroupSubgroups);
  }
  facts.float64 = features.core.features.shaderFloat64;
  facts.int_dot = features.dot.shaderIntegerDotProduct;
  facts.cooperative = features.cooperative.cooperativeMatrix && features.v12.shaderInt8 &&
                      features.v12.shaderFloat16 && facts.subgroup == 32 &&
                      facts.shared_bytes >= 47104 && has_matrices(physical);
  facts.heaps = read_heaps(physical, facts.memory_budget);
  return facts;
}

Result<std::vector<Candidate>> candidates() {
  LAMINA_ASSIGN(const VkInstance vk, instance());
  uint32_t n = 0;
  LAMINA_VK_TRY(vkEnumeratePhysicalDevices(vk, &n, nullptr));
  std::vector<VkPhysicalDevice> all(n);
  LAMINA_VK_TRY(vkEnumeratePhysicalDevices(vk, &n, all.data()));
  std::vector<Candidate> found;
  for (VkPhysicalDevice physical : all) {
    VkPhysicalDeviceProperties2 p{VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2};
    vkGetPhysicalDeviceProperties2(physical, &p);
    if (p.properties.apiVersion < VK_API_VERSION_1_2) continue;
    found.push_back({physical, read_facts(physical)});
  }
  const auto rank = [](const Candidate& c) {
    return c.facts.discrete ? 0 : c.facts.software ? 2 : 1;
  };
  std::ranges::stable_sort(found, {}, rank);
  return found;
}

}  // namespace

const HeapFacts& DeviceFacts::local_heap() const {
  static constexpr HeapFacts kNone;
  const HeapFacts* heap = largest(heaps, true);
  return heap ? *heap : kNone;
}

const HeapFacts& DeviceFacts::host_heap() const {
  const HeapFacts* heap = largest(heaps, false);
  return heap ? *heap : local_heap();
}

Device::~Device() {
  if (!device_) return;
  vkDeviceWaitIdle(device_);
  if (cache_) vkDestroyPipelineCache(device_, cache_, nullptr);
  vkDestroyDevice(device_, nullptr);
}

Result<std::vector<DeviceFacts>> Device::list() {
  LAMINA_ASSIGN(const auto found, candidates());
  std::vector<DeviceFacts> facts;
  for (const Candidate& c : found) facts.push_back(c.facts);
  return facts;
}

Result<std::shared_ptr<Device>> Device::open(int index, const std::string& variant) {
  struct Kept {
    int index;
    std::string variant;
    std::shared_ptr<Device> device;
  };
  // Never destroyed: at the process' end the driver may be gone before it.
  static Kept& kept = *new Kept{-1, {}, nullptr};
  if (take_device_lost()) kept.device = nullptr;
  if (kept.device && kept.index == index && kept.variant == variant) return kept.device;

  LAMINA_ASSIGN(const auto found, candidates());
  if (found.empty()) {
    return make_error(Code::kUnsupported, "Vulkan finds no device with version 1.2 (%s)", kInstallDriver);
  }
  if (index < 0 || static_cast<size_t>(index) >= found.size()) {
    return make_error(Code::kInvalidArgument, "device %d: Vulkan has devices 0 to %zu", index,
                      found.size() - 1);
  }
  std::shared_ptr<Device> device(new Device);
  const Candidate& c = found[static_cast<size_t>(index)];
  device->facts_ = c.facts;
  LAMINA_TRY(device->create(c.physical, variant));
  kept = {index, variant, device};
  return device;
}

Result<void> Device::create(VkPhysicalDevice physical, const std::string& variant) {
  physical_ = physical;
  const auto available = extensions_of(physical);
  Features features(available, facts_.api);
  vkGetPhysicalDeviceFeatures2(physical, &features.core);
  if (const char* missing = missing_feature(features)) {
    return make_error(Code::kUnsupported, "Vulkan device %s lacks %s", quote(facts_.name).c_str(),
                      missing);
  }
  features.core.features.robustBufferAccess = VK_FALSE;
  if (variant.find("no-int-dot") != std::string::npos) facts_.int_dot = false;
  if (variant.find("no-cooperative") != std::string::npos) facts_.cooperative = false;

  if (const auto at = variant.find("memory="); at != std::string::npos) {
    most_ = std::strtoull(variant.c_str() + at + 7, nullptr, 10) << 10;
  }
  LAMINA_TRY(choose_queues());
  std::vector<const char*> extensions;
  for (const char* name :
       {VK_KHR_SHADER_INTEGER_DOT_PRODUCT_EXTENSION_NAME, VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME,
        VK_NV_COOPERATIVE_MATRIX_EXTENSION_NAME, VK_EXT_MEMORY_BUDGET_EXTENSION_NAME}) {
    if (has(available, name)) extensions.push_back(name);
  }
  const float priorities[] = {1.0f, 1.0f};
  VkDeviceQueueCreateInfo queues[2];
  const bool two_families = copy_family_ != queue_family_;
  for (int i = 0; i < 2; ++i) {
    queues[i] = {VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO};
    queues[i].queueFamilyIndex = i == 0 ? queue_family_ : copy_family_;
    queues[i].queueCount = !two_families && facts_.copy_queue ? 2 : 1;
    queues[i].pQueuePriorities = priorities;
  }
  VkDeviceCreateInfo info{VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO};
  info.pNext = &features.core;
  info.queueCreateInfoCount = two_families ? 2 : 1;
  info.pQueueCreateInfos = queues;
  info.enabledExtensionCount = static_cast<uint32_t>(extensions.size());
  info.ppEnabledExtensionNames = extensions.data();
  LAMINA_VK_TRY(vkCreateDevice(physical, &info, nullptr, &device_));
  vkGetDeviceQueue(device_, queue_family_, 0, &queue_);
  vkGetDeviceQueue(device_, copy_family_, !two_families && facts_.copy_queue ? 1 : 0, &copy_queue_);
  VkPhysicalDeviceMemoryProperties2 memory{VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2};
  vkGetPhysicalDeviceMemoryProperties2(physical, &memory);
  memory_ = memory.memoryProperties;
  return {};
}

// Kernels run on the first family that can; copies on one that can nothing else, or else on a second
// queue beside the kernels'.
Result<void> Device::choose_queues() {
  uint32_t n = 0;
  vkGetPhysicalDeviceQueueFamilyProperties(physical_, &n, nullptr);
  std::vector<VkQueueFamilyProperties> families(n);
  vkGetPhysicalDeviceQueueFamilyProperties(physical_, &n, families.data());
  const auto kernels = std::ranges::find_if(
      families, [](const auto& f) { return (f.queueFlags & VK_QUEUE_COMPUTE_BIT) != 0; });
  if (kernels == families.end()) {
    return make_error(Code::kUnsupported, "Vulkan device %s has no compute queue",
                      quote(facts_.name).c_str());
  }
  queue_family_ = static_cast<uint32_t>(kernels - families.begin());
  facts_.timestamp_bits = kernels->timestampValidBits;
  constexpr VkQueueFlags kWorking = VK_QUEUE_COMPUTE_BIT | VK_QUEUE_GRAPHICS_BIT;
  const auto copies = std::ranges::find_if(families, [](const auto& f) {
    return (f.queueFlags & VK_QUEUE_TRANSFER_BIT) != 0 && (f.queueFlags & kWorking) == 0;
  });
  const bool own = copies != families.end();
  copy_family_ = own ? static_cast<uint32_t>(copies - families.begin()) : queue_family_;
  facts_.copy_queue = own || kernels->queueCount > 1;
  return {};
}

Result<VkPipelineCache> Device::pipeline_cache(std::span<const std::byte> data) {
  if (cache_) return cache_;
  VkPipelineCacheCreateInfo info{VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO};
  info.initialDataSize = data.size();
  info.pInitialData = data.data();
  LAMINA_VK_TRY(vkCreatePipelineCache(device_, &info, nullptr, &cache_));
  return cache_;
}

Result<std::vector<std::byte>> Device::pipeline_cache_data() const {
  size_t n = 0;
  std::vector<std::byte> data;
  if (!cache_) return data;
  LAMINA_VK_TRY(vkGetPipelineCacheData(device_, cache_, &n, nullptr));
  data.resize(n);
  LAMINA_VK_TRY(vkGetPipelineCacheData(device_, cache_, &n, data.data()));
  data.resize(n);
  return data;
}

bool Device::take(uint64_t bytes) const {
  if (taken_.fetch_add(bytes) + bytes <= most_) return true;
  taken_ -= bytes;
  return false;
}

HeapFacts Device::local_heap_now() const {
  DeviceFacts now;
  now.heaps = read_heaps(physical_, facts_.memory_budget);
  return now.local_heap();
}

int Device::memory_type(uint32_t allowed, VkMemoryPropertyFlags wanted,
                        VkMemoryPropertyFlags nice) const {
  int best = -1, best_score = -1;
  for (uint32_t i = 0; i < memory_.memoryTypeCount; ++i) {
    const VkMemoryPropertyFlags flags = memory_.memoryTypes[i].propertyFlags;
    if (!(allowed >> i & 1) || (flags & wanted) != wanted) continue;
    const int score = __builtin_popcount(flags & nice);
    if (score > best_score) {
      best = static_cast<int>(i);
      best_score = score;
    }
  }
  return best;
}

VkMemoryPropertyFlags Device::memory_flags(int type) const {
  return memory_.memoryTypes[type].propertyFlags;
}

}  // namespace lamina::vulkan
