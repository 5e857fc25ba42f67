// SPDX-License-Identifier: Apache-2.0
// A barrier between all workgroups of a dispatch. It needs them all to run at once, which Vulkan does
// not promise: the host starts at most as many as the device holds, and a workgroup that waits for
// seconds gives up and says so, instead of hanging the device. p.sync: [0] arrivals, [1] departures,
// both zero between dispatches; p.head.stuck: what the host looks at.
//
// What others wrote is read through coherent buffers alone. ACQUIRE: the formal fence after the wait; where
// coherent loads go to the device's common cache in order (NVIDIA), it only costs 0.3 us a barrier.

#extension GL_KHR_memory_scope_semantics : require

// barrier() that orders what the workgroup reads and writes in buffers too.
void buffer_barrier() {
  controlBarrier(gl_ScopeWorkgroup, gl_ScopeWorkgroup, gl_StorageSemanticsShared | gl_StorageSemanticsBuffer,
                 gl_SemanticsAcquireRelease);
}

const uint MOST_LOOKS = 1u << 22;  // at the counter, about 0.7 us each

uint grid_target = 0;

// What this workgroup has written can be seen by all before they go on. Loads of what nobody
// writes may be started between arrive and wait.
void grid_arrive() {
  buffer_barrier();
  if (thread_index() == 0) {
    memoryBarrierBuffer();
    atomicAdd(p.sync.v[0], 1);
  }
  grid_target += gl_NumWorkGroups.x;
}

void grid_wait() {
  if (thread_index() == 0) {
    uint looks = 0, seen;
    do {
      seen = p.sync.v[0];
    } while (seen < grid_target && ++looks < MOST_LOOKS);
    if (seen < grid_target) p.head.v.stuck = 1;
    if (ACQUIRE) memoryBarrierBuffer();
  }
  buffer_barrier();
}

// After the last wait: leaves the counters as they were found.
void grid_leave() {
  if (thread_index() != 0) return;
  if (atomicAdd(p.sync.v[1], 1) == gl_NumWorkGroups.x - 1) {
    p.sync.v[0] = 0;
    p.sync.v[1] = 0;
  }
}
