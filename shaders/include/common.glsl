// SPDX-License-Identifier: Apache-2.0
// What every shader shares: types, shapes, and how a workgroup counts its threads.
//
// Memory is reached through addresses (GL_EXT_buffer_reference), handed over as push constants that
// are recorded once; what changes from step to step lies in the step's own buffers (Row, pages, rope).
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_buffer_reference2 : require
#extension GL_EXT_scalar_block_layout : require
#extension GL_EXT_shader_16bit_storage : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_EXT_shader_explicit_arithmetic_types_int64 : require
#extension GL_EXT_spirv_intrinsics : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_arithmetic : require
#extension GL_KHR_shader_subgroup_shuffle : require

layout(buffer_reference, scalar, buffer_reference_align = 4) buffer Floats { float v[]; };
layout(buffer_reference, scalar, buffer_reference_align = 4) coherent buffer SharedFloats { float v[]; };
layout(buffer_reference, scalar, buffer_reference_align = 4) coherent buffer SharedUints { uint v[]; };
layout(buffer_reference, scalar, buffer_reference_align = 16) buffer Vec4s { vec4 v[]; };
layout(buffer_reference, scalar, buffer_reference_align = 4) buffer Uints { uint v[]; };
layout(buffer_reference, scalar, buffer_reference_align = 8) buffer Uvec2s { uvec2 v[]; };
layout(buffer_reference, scalar, buffer_reference_align = 16) readonly buffer Uvec4s { uvec4 v[]; };
layout(buffer_reference, scalar, buffer_reference_align = 16) buffer Uvec4sOut { uvec4 v[]; };
layout(buffer_reference, scalar, buffer_reference_align = 2) buffer Halves { float16_t v[]; };

// A row of the step. rope_at: which of the step's rows of cosines and sines.
struct Row { int token; int kv_index; int pages_at; int rope_at; };
layout(buffer_reference, scalar, buffer_reference_align = 16) buffer Rows { Row v[]; };

// First in the step's buffer; the first three are what an indirect dispatch of attention reads.
struct StepHead {
  uint kv_heads; uint attention_rows; uint splits;
  uint n_rows; uint n_selected;
  uint split_positions;  // positions of one split, a multiple of 128
  uint step;   // of a submission of several
  uint stuck;  // not 0: workgroups did not all run at once (grid.glsl)
};
layout(buffer_reference, scalar, buffer_reference_align = 16) buffer Heads { StepHead v; };

layout(local_size_x_id = 0, local_size_y = 1, local_size_z = 1) in;
layout(constant_id = 1) const uint SUBGROUP = 32;

const uint PAGE = 64;  // positions of a KV page

// Threads counted so that a subgroup's are neighbours.
uint thread_index() { return gl_SubgroupID * SUBGROUP + gl_SubgroupInvocationID; }
