// SPDX-License-Identifier: Apache-2.0
// The product that an op's file finishes: for a few rows of x, or in tiles for many.
//!if TILE
//!include "matmul_tile.wgsl"
//!else
//!include "matvec.wgsl"
//!end
