// SPDX-License-Identifier: Apache-2.0
// What every WGSL shader shares. Constants in capitals that no file declares come from the host, one
// module a shape (web/webgpu/program.ts); lines that begin with //! are for its preprocessor
// (web/webgpu/shader_source.ts).
//
// A binding's number is the place of that name among the push constants of the .comp of the same stem
// (ARCHITECTURE.md, D-009). The step's own values (head, rows, selected, pages, rope) lie in one buffer,
// bound as `head`: words of
//   [0] n_rows [1] n_selected [2] splits [3] split_positions [4] step within a submission
//   [ROWS_AT]      rows: token, kv_index, pages_at, rope_at
//   [SELECTED_AT]  which rows want logits
//   [PAGES_AT]     block tables, one after another
//   [ROPE_AT]      rows of HEAD_DIM: cosines, then sines
//!if SUBGROUPS
enable subgroups;
// Subgroups lie side by side in a workgroup: the device's self-test has seen it (probe.wgsl).
diagnostic(off, subgroup_uniformity);
//!end
//!if SHADER_F16
enable f16;
//!end

const PAGE = 64u;  // positions of a KV page

fn n_rows() -> u32 { return head[0]; }
fn n_selected() -> u32 { return head[1]; }
fn row_token(m: u32) -> u32 { return head[ROWS_AT + 4u * m]; }
fn row_kv_index(m: u32) -> u32 { return head[ROWS_AT + 4u * m + 1u]; }
fn row_pages_at(m: u32) -> u32 { return PAGES_AT + head[ROWS_AT + 4u * m + 2u]; }
fn row_rope_at(m: u32) -> u32 { return ROPE_AT + HEAD_DIM * head[ROWS_AT + 4u * m + 3u]; }
