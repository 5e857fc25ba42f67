// SPDX-License-Identifier: Apache-2.0
// Vulkan's functions, found at run time: a machine without Vulkan still runs Lamina.
#pragma once

#define VK_NO_PROTOTYPES
#include <vulkan/vulkan.h>

#include "core/base/result.h"

namespace lamina::vulkan {

#define LAMINA_VK_GLOBAL(F) F(vkCreateInstance) F(vkEnumerateInstanceVersion) \
  F(vkEnumerateInstanceLayerProperties) F(vkEnumerateInstanceExtensionProperties)

#define LAMINA_VK_INSTANCE(F)                                                               \
  F(vkDestroyInstance) F(vkEnumeratePhysicalDevices) F(vkGetPhysicalDeviceProperties2)      \
  F(vkGetPhysicalDeviceFeatures2) F(vkGetPhysicalDeviceMemoryProperties2)                   \
  F(vkGetPhysicalDeviceQueueFamilyProperties) F(vkEnumerateDeviceExtensionProperties)       \
  F(vkCreateDevice) F(vkGetDeviceProcAddr) F(vkGetPhysicalDeviceCooperativeMatrixPropertiesNV)

#define LAMINA_VK_DEVICE(F)                                                                 \
  F(vkDestroyDevice) F(vkGetDeviceQueue) F(vkDeviceWaitIdle) F(vkCreateBuffer)              \
  F(vkDestroyBuffer) F(vkGetBufferMemoryRequirements) F(vkAllocateMemory) F(vkFreeMemory)   \
  F(vkBindBufferMemory) F(vkMapMemory) F(vkGetBufferDeviceAddress) F(vkCreateShaderModule)  \
  F(vkDestroyShaderModule) F(vkCreatePipelineLayout) F(vkDestroyPipelineLayout)             \
  F(vkCreatePipelineCache) F(vkDestroyPipelineCache) F(vkGetPipelineCacheData)              \
  F(vkMergePipelineCaches) F(vkCreateComputePipelines) F(vkDestroyPipeline)                 \
  F(vkCreateCommandPool) F(vkDestroyCommandPool) F(vkAllocateCommandBuffers)                \
  F(vkFreeCommandBuffers) F(vkBeginCommandBuffer) F(vkEndCommandBuffer)                     \
  F(vkResetCommandBuffer) F(vkQueueSubmit) F(vkCreateFence) F(vkDestroyFence)               \
  F(vkWaitForFences) F(vkGetFenceStatus) F(vkResetFences) F(vkCmdBindPipeline)              \
  F(vkCmdPushConstants) F(vkCmdDispatch) F(vkCmdDispatchIndirect) F(vkCmdPipelineBarrier)   \
  F(vkCmdCopyBuffer) F(vkCmdFillBuffer) F(vkCreateQueryPool) F(vkDestroyQueryPool)          \
  F(vkCmdResetQueryPool) F(vkCmdWriteTimestamp) F(vkGetQueryPoolResults)                    \
  F(vkCreateSemaphore) F(vkDestroySemaphore) F(vkWaitSemaphores)

#define LAMINA_VK_DECLARE(name) extern PFN_##name name;
LAMINA_VK_GLOBAL(LAMINA_VK_DECLARE)
LAMINA_VK_INSTANCE(LAMINA_VK_DECLARE)
LAMINA_VK_DEVICE(LAMINA_VK_DECLARE)
#undef LAMINA_VK_DECLARE

// Once per process; kUnsupported where there is no Vulkan.
Result<void> load_vulkan();
void load_instance_functions(VkInstance instance);
// All devices of the process go through the loader's dispatch, so one table serves them all.
void load_device_functions(VkInstance instance);

const char* result_name(VkResult result);

// kDevice for a lost device, kOutOfMemory, else kDevice with the code's name.
Error vulkan_error(VkResult result, const char* what);

// Whether vulkan_error() has met a lost device since this was asked last.
bool take_device_lost();

}  // namespace lamina::vulkan

#define LAMINA_VK_TRY(call)                                                        \
  do {                                                                             \
    if (const VkResult lamina_vk_ = (call); lamina_vk_ != VK_SUCCESS)              \
      return ::lamina::vulkan::vulkan_error(lamina_vk_, #call);                    \
  } while (0)
