// SPDX-License-Identifier: Apache-2.0
// The product that an op's file finishes: for a few rows of x, or in tiles for many.
#if defined(COOPERATIVE)
#include "matmul_cooperative.glsl"
#elif defined(TILE)
#include "matmul_tile.glsl"
#else
#include "matvec.glsl"
#endif
