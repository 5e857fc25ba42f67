// SPDX-License-Identifier: Apache-2.0
// Reductions over LANES neighbouring threads, a power of two: a subgroup, or words of shared memory. All
// threads of the workgroup call them together; every one gets the result.
//!if SUBGROUPS
fn lane_sum(v: f32, tid: u32) -> f32 { return subgroupAdd(v); }
fn lane_max(v: f32, tid: u32) -> f32 { return subgroupMax(v); }
fn lane_max_u32(v: u32, tid: u32) -> u32 { return subgroupMax(v); }
fn lane_min_u32(v: u32, tid: u32) -> u32 { return subgroupMin(v); }
//!else
var<workgroup> lane_slots: array<u32, THREADS>;
fn lane_exchange(v: u32, tid: u32, step: u32) -> u32 {
  lane_slots[tid] = v;
  workgroupBarrier();
  let other = lane_slots[tid ^ step];
  workgroupBarrier();
  return other;
}
fn lane_sum(v: f32, tid: u32) -> f32 {
  var sum = v;
  for (var step = 1u; step < LANES; step *= 2u) { sum += bitcast<f32>(lane_exchange(bitcast<u32>(sum), tid, step)); }
  return sum;
}
fn lane_max(v: f32, tid: u32) -> f32 {
  var most = v;
  for (var step = 1u; step < LANES; step *= 2u) {
    most = max(most, bitcast<f32>(lane_exchange(bitcast<u32>(most), tid, step)));
  }
  return most;
}
fn lane_max_u32(v: u32, tid: u32) -> u32 {
  var most = v;
  for (var step = 1u; step < LANES; step *= 2u) { most = max(most, lane_exchange(most, tid, step)); }
  return most;
}
fn lane_min_u32(v: u32, tid: u32) -> u32 {
  var least = v;
  for (var step = 1u; step < LANES; step *= 2u) { least = min(least, lane_exchange(least, tid, step)); }
  return least;
}
//!end

const LANE_GROUPS = THREADS / LANES;
var<workgroup> reduce_slots: array<f32, LANE_GROUPS>;

// The sum over the workgroup, in every thread. Once in a dispatch.
fn workgroup_sum(v: f32, tid: u32) -> f32 {
  let own = lane_sum(v, tid);
  if (tid % LANES == 0u) { reduce_slots[tid / LANES] = own; }
  workgroupBarrier();
  var sum = 0.0;
  for (var i = 0u; i < LANE_GROUPS; i++) { sum += reduce_slots[i]; }
  return sum;
}
