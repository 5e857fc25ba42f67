// SPDX-License-Identifier: Apache-2.0
#include "backends/vulkan/commands.h"

#include <new>

namespace lamina::vulkan {

namespace {

constexpr int kLooks = 20000;          // at a fence before sleeping: some milliseconds
constexpr uint32_t kQueries = 4096;    // time stamps of a step

void barrier(VkCommandBuffer commands, VkPipelineStageFlags from, VkAccessFlags written,
             VkPipelineStageFlags to, VkAccessFlags access) {
  VkMemoryBarrier all{VK_STRUCTURE_TYPE_MEMORY_BARRIER};
  all.srcAccessMask = written;
  all.dstAccessMask = access;
  vkCmdPipelineBarrier(commands, from, to, 0, 1, &all, 0, nullptr, 0, nullptr);
}

void barrier_after_kernel(VkCommandBuffer commands, VkPipelineStageFlags to, VkAccessFlags access) {
  barrier(commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, VK_ACCESS_SHADER_WRITE_BIT, to, access);
}

size_t profile_index(const Dispatch& d) { return d.all_layers ? kOpKinds : static_cast<size_t>(d.kind); }

}  // namespace

Result<std::unique_ptr<Commands>> Commands::create(const Parts& parts) {
  std::unique_ptr<Commands> c(new (std::nothrow) Commands(parts));
  if (!c) return make_error(Code::kOutOfMemory, "Vulkan commands");
  const VkDevice device = parts.device->handle();
  VkCommandPoolCreateInfo pool{VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO};
  pool.queueFamilyIndex = parts.device->queue_family();
  LAMINA_VK_TRY(vkCreateCommandPool(device, &pool, nullptr, &c->pool_));
  const VkFenceCreateInfo fence{VK_STRUCTURE_TYPE_FENCE_CREATE_INFO, nullptr, 0};
  LAMINA_VK_TRY(vkCreateFence(device, &fence, nullptr, &c->fence_));
  return c;
}

Commands::~Commands() {
  const VkDevice device = parts_.device->handle();
  vkDeviceWaitIdle(device);
  if (queries_) vkDestroyQueryPool(device, queries_, nullptr);
  if (fence_) vkDestroyFence(device, fence_, nullptr);
  if (pool_) vkDestroyCommandPool(device, pool_, nullptr);
}

void Commands::set_profile(bool on) {
  profiling_ = on;
  profile_.assign(kOpKinds + 1, {});
}

Result<void> Commands::submit(const StepKind& kind, int32_t times) {
  LAMINA_TRY(wait());
  LAMINA_ASSIGN(const Recording* r, recording(kind));
  if (!profiling_ && !parts_.window) {
    return submit_now(std::vector<VkCommandBuffer>(static_cast<size_t>(times), r->segments[0].commands));
  }
  for (int32_t i = 0; i < times; ++i) {
    LAMINA_TRY(wait());
    LAMINA_TRY(parts_.window ? submit_swapping(*r) : submit_now({r->segments[0].commands}));
    if (!profiling_) continue;
    LAMINA_TRY(wait());
    LAMINA_TRY(add_times(*r));
  }
  return {};
}

// The device runs a segment as soon as its layer is there, while the host copies what comes next.
Result<void> Commands::submit_swapping(const Recording& r) {
  for (const Segment& segment : r.segments) {
    Window::Turn turn;
    if (segment.swapped >= 0) {
      LAMINA_ASSIGN(turn, parts_.window->take(static_cast<size_t>(segment.swapped)));
    }
    const bool last = &segment == &r.segments.back();
    LAMINA_TRY(submit_between(parts_.device->queue(), turn.arrived, segment.commands, turn.used,
                              last ? fence_ : VK_NULL_HANDLE));
  }
  pending_ = true;
  return parts_.window->prefetch();
}

Result<void> Commands::submit_now(const std::vector<VkCommandBuffer>& list) {
  VkSubmitInfo info{VK_STRUCTURE_TYPE_SUBMIT_INFO};
  info.commandBufferCount = static_cast<uint32_t>(list.size());
  info.pCommandBuffers = list.data();
  LAMINA_VK_TRY(vkQueueSubmit(parts_.device->queue(), 1, &info, fence_));
  pending_ = true;
  return {};
}

// Short steps are waited for by looking: to sleep and be woken costs as much as such a step.
Result<void> Commands::wait() {
  if (!pending_) return {};
  pending_ = false;
  const VkDevice device = parts_.device->handle();
  VkResult status = VK_NOT_READY;
  for (int i = 0; i < kLooks && status == VK_NOT_READY; ++i) status = vkGetFenceStatus(device, fence_);
  if (status == VK_NOT_READY) status = vkWaitForFences(device, 1, &fence_, VK_TRUE, UINT64_MAX);
  LAMINA_VK_TRY(status);
  LAMINA_VK_TRY(vkResetFences(device, 1, &fence_));
  return {};
}

Result<const Commands::Recording*> Commands::recording(const StepKind& kind) {
  const auto key = std::pair(kind, profiling_);
  if (const auto found = recordings_.find(key); found != recordings_.end()) return &found->second;
  Recording r;
  r.dispatches = parts_.program->dispatches(kind);
  LAMINA_TRY(parts_.pipelines->create());
  LAMINA_TRY(add_segments(r));
  LAMINA_TRY(record(r, kind));
  return &(recordings_[key] = std::move(r));
}

int32_t Commands::swapped(const Dispatch& d) const {
  return d.layer >= parts_.first_swapped ? d.layer - parts_.first_swapped : -1;
}

Result<void> Commands::add_segments(Recording& r) {
  VkCommandBufferAllocateInfo info{VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO};
  info.commandPool = pool_;
  info.commandBufferCount = 1;
  for (size_t i = 0; i < r.dispatches.size(); ++i) {
    const int32_t layer = swapped(r.dispatches[i]);
    if (r.segments.empty() || r.segments.back().swapped != layer) {
      r.segments.push_back({VK_NULL_HANDLE, layer, 0});
      LAMINA_VK_TRY(vkAllocateCommandBuffers(parts_.device->handle(), &info, &r.segments.back().commands));
    }
    r.segments.back().end = i + 1;
  }
  return {};
}

Result<void> Commands::record(const Recording& r, const StepKind& kind) {
  const bool timed = profiling_ && r.dispatches.size() < kQueries;
  if (timed && !queries_) {
    VkQueryPoolCreateInfo info{VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO};
    info.queryType = VK_QUERY_TYPE_TIMESTAMP;
    info.queryCount = kQueries;
    LAMINA_VK_TRY(vkCreateQueryPool(parts_.device->handle(), &info, nullptr, &queries_));
  }
  for (size_t i = 0; i < r.segments.size(); ++i) LAMINA_TRY(record_segment(r, i, kind));
  return {};
}

void Commands::record_dispatch(VkCommandBuffer commands, const Dispatch& d) const {
  const Pipelines& pipelines = *parts_.pipelines;
  vkCmdBindPipeline(commands, VK_PIPELINE_BIND_POINT_COMPUTE, pipelines.at(d.pipeline));
  vkCmdPushConstants(commands, pipelines.layout(), VK_SHADER_STAGE_COMPUTE_BIT, 0, d.push_bytes, &d.matmul);
  if (d.indirect)
    vkCmdDispatchIndirect(commands, parts_.step->handle(), 0);
  else
    vkCmdDispatch(commands, d.x, d.y, 1);
  barrier_after_kernel(commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
                       VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT);
}

Result<void> Commands::record_segment(const Recording& r, size_t number, const StepKind& kind) {
  const Segment& segment = r.segments[number];
  const bool timed = profiling_ && r.dispatches.size() < kQueries;
  const size_t first = number == 0 ? 0 : r.segments[number - 1].end;
  VkCommandBufferBeginInfo begin{VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
  if (kind.choose != Choose::kNothing) begin.flags = VK_COMMAND_BUFFER_USAGE_SIMULTANEOUS_USE_BIT;
  LAMINA_VK_TRY(vkBeginCommandBuffer(segment.commands, &begin));
  const auto time = [&](size_t query) {
    if (!timed) return;
    vkCmdWriteTimestamp(segment.commands, VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT, queries_,
                        static_cast<uint32_t>(query));
  };
  if (timed && number == 0) vkCmdResetQueryPool(segment.commands, queries_, 0, kQueries);
  if (number == 0) time(0);
  for (size_t i = first; i < segment.end; ++i) {
    record_dispatch(segment.commands, r.dispatches[i]);
    time(i + 1);
  }
  if (number + 1 == r.segments.size()) {
    if (kind.choose != Choose::kNothing) {
      barrier_after_kernel(segment.commands,
                           VK_PIPELINE_STAGE_DRAW_INDIRECT_BIT | VK_PIPELINE_STAGE_HOST_BIT,
                           VK_ACCESS_INDIRECT_COMMAND_READ_BIT | VK_ACCESS_HOST_READ_BIT);
    } else if (kind.selected > 0) {
      copy_logits(segment.commands, kind.selected);
    }
  }
  LAMINA_VK_TRY(vkEndCommandBuffer(segment.commands));
  return {};
}

void Commands::copy_logits(VkCommandBuffer commands, int32_t rows) const {
  barrier_after_kernel(commands, VK_PIPELINE_STAGE_TRANSFER_BIT, VK_ACCESS_TRANSFER_READ_BIT);
  const VkBufferCopy copy{0, 0, parts_.logit_row_bytes * static_cast<uint64_t>(rows)};
  vkCmdCopyBuffer(commands, parts_.logits->handle(), parts_.readback->handle(), 1, &copy);
  barrier(commands, VK_PIPELINE_STAGE_TRANSFER_BIT, VK_ACCESS_TRANSFER_WRITE_BIT,
          VK_PIPELINE_STAGE_HOST_BIT, VK_ACCESS_HOST_READ_BIT);
}

Result<void> Commands::add_times(const Recording& r) {
  if (r.dispatches.size() >= kQueries) return {};
  std::vector<uint64_t> times(r.dispatches.size() + 1);
  LAMINA_VK_TRY(vkGetQueryPoolResults(parts_.device->handle(), queries_, 0,
                                      static_cast<uint32_t>(times.size()), times.size() * 8, times.data(), 8,
                                      VK_QUERY_RESULT_64_BIT | VK_QUERY_RESULT_WAIT_BIT));
  for (size_t i = 0; i < r.dispatches.size(); ++i) {
    VulkanBackend::ProfileEntry& e = profile_[profile_index(r.dispatches[i])];
    e.seconds += static_cast<double>(times[i + 1] - times[i]) * parts_.device->facts().timestamp_ns * 1e-9;
    e.weight_bytes += r.dispatches[i].weight_bytes;
    ++e.calls;
  }
  return {};
}

}  // namespace lamina::vulkan
