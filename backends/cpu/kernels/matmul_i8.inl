// SPDX-License-Identifier: Apache-2.0
// The int8 matrix product of tensor/quantize.h, for a strip of weight rows.
//
// Few activation rows (gemv): every weight row is read once, straight through, as in a pure read
// loop. Its block sums go to a small table [kLanes rows][blocks], which is then transposed so that
// the fma chain over blocks runs with one weight row per lane.
//
// Many (gemm): a panel of weight rows is repacked as [cols / 4][rows][4 bytes], so that one vector
// holds four columns of kLanes rows; activations are broadcast four columns at a time. The f32 sums
// live in `out` between blocks.

namespace {

struct I8Blocks {
  int chunks;  // kChunk-byte vectors per padded row
  int n;       // blocks
};

constexpr int kChunk = 4 * kLanes;
constexpr bool kGemvAcross = kLanes == 4 && kPrefetchBytes == 0;  // see gemv_across

LAMINA_INLINE I8Blocks i8_blocks(const MatmulI8& a) {
  return {static_cast<int>(a.row_bytes) / kChunk, (a.cols + a.block - 1) / a.block};
}

// Sums of kLanes / M blocks from `w` on, of one weight row with M rows of x.
// Lane m * (kLanes / M) + j: row m, block j.
template <int M, int kChunksPerBlock>
LAMINA_INLINE I32 gemv_sums(const int8_t* w, const int8_t* x, size_t x_stride) {
  constexpr int kBlocks = kLanes / M;
  Acc acc[kLanes];
  each<kBlocks>([&](auto j) LAMINA_LAMBDA {
    each<M>([&](auto m) LAMINA_LAMBDA { acc[m * kBlocks + j] = acc_set(0); });
    each<kChunksPerBlock>([&](auto c) LAMINA_LAMBDA {
      constexpr int kAt = (j * kChunksPerBlock + c) * kChunk;
      if constexpr (kAt % 64 == 0) prefetch(w + kAt + kPrefetchBytes);
      const I32 bytes = weight_bytes(w + kAt);
      each<M>([&](auto m) LAMINA_LAMBDA {
        acc[m * kBlocks + j] = dot_at(acc[m * kBlocks + j], bytes, x + m * x_stride + kAt);
      });
    });
  });
  return sum_each(acc);
}

// The same where fewer than kLanes / M blocks are left, the last of them perhaps short.
template <int M, int kChunksPerBlock>
LAMINA_INLINE I32 gemv_sums_tail(const int8_t* w, const int8_t* x, size_t x_stride, int chunks) {
  constexpr int kBlocks = kLanes / M;
  Acc acc[kLanes];
  each<kLanes>([&](auto i) LAMINA_LAMBDA { acc[i] = acc_set(0); });
  each<kBlocks>([&](auto j) LAMINA_LAMBDA {
    each<kChunksPerBlock>([&](auto part) LAMINA_LAMBDA {
      constexpr int c = j * kChunksPerBlock + part;
      if (c < chunks) {
        prefetch(w + c * kChunk + kPrefetchBytes);
        const I32 bytes = weight_bytes(w + c * kChunk);
        each<M>([&](auto m) LAMINA_LAMBDA {
          acc[m * kBlocks + j] =
              dot_at(acc[m * kBlocks + j], bytes, x + m * x_stride + c * kChunk);
        });
      }
    });
  });
  return sum_each(acc);
}

// Blocks of half a vector: each dot gives two sums.
template <int M>
LAMINA_INLINE I32 gemv_sums_half(const int8_t* w, const int8_t* x, size_t x_stride, int chunks) {
  constexpr int kBlocks = kLanes / M;
  Acc acc[kLanes];
  each<kLanes>([&](auto i) LAMINA_LAMBDA { acc[i] = acc_set(0); });
  each<kBlocks / 2>([&](auto c) LAMINA_LAMBDA {
    if (c < chunks) {
      prefetch(w + c * kChunk + kPrefetchBytes);
      const I32 bytes = weight_bytes(w + c * kChunk);
      each<M>([&](auto m) LAMINA_LAMBDA {
        const Acc both = dot_at(acc_set(0), bytes, x + m * x_stride + c * kChunk);
        acc[m * kBlocks + 2 * c] = acc_low_half(both);
        acc[m * kBlocks + 2 * c + 1] = acc_high_half(both);
      });
    }
  });
  return sum_each(acc);
}

// All block sums of one weight row: table[group of kLanes / M blocks][kLanes].
template <int M, int kChunksPerBlock>
LAMINA_NOINLINE void gemv_row(const int8_t* w, const int8_t* x, size_t x_stride, const I8Blocks& b,
                            int32_t* table) {
  constexpr int kBlocks = kLanes / M;
  constexpr int kStep = kChunksPerBlock == 0 ? kBlocks / 2 : kBlocks * kChunksPerBlock;
  int c = 0;
  if constexpr (kChunksPerBlock == 0) {  // AVX-512 alone
    for (; c < b.chunks; c += kStep, table += kLanes) {
      i32_store(table, gemv_sums_half<M>(w + c * kChunk, x + c * kChunk, x_stride, b.chunks - c));
    }
  } else {
    for (; c + kStep <= b.chunks; c += kStep, table += kLanes) {
      i32_store(table, gemv_sums<M, kChunksPerBlock>(w + c * kChunk, x + c * kChunk, x_stride));
    }
    if (c < b.chunks) {
      i32_store(table, gemv_sums_tail<M, kChunksPerBlock>(w + c * kChunk, x + c * kChunk, x_stride,
                                                          b.chunks - c));
    }
  }
}

// Coefficients sx * sw of kLanes / M blocks: out[m][j][row].
template <int M>
LAMINA_NOINLINE void gemv_coefficients(const MatmulI8& a, int row0, int rows, int x0, int block,
                                     int n_blocks, float* out) {
  constexpr int kBlocks = kLanes / M;
  for (int j = 0; j < kBlocks && block + j < n_blocks; ++j) {
    float sw[kLanes];
    for (int r = 0; r < kLanes; ++r) {
      const int row = row0 + (r < rows ? r : 0);
      sw[r] = a.scales[static_cast<size_t>(row) * static_cast<size_t>(n_blocks) +
                       static_cast<size_t>(block + j)];
    }
    each<M>([&](auto m) LAMINA_LAMBDA {
      const float sx = a.x.scales[(static_cast<size_t>(x0) + m) * a.x.block_stride + block + j];
      f32_store(out + (m * kBlocks + j) * kLanes, f32_mul(f32_set(sx), f32_load(sw)));
    });
  }
}

// The fma chain over blocks for rows row0.. of the strip, from their sums table[kLanes][stride].
template <int M, bool kGrouped>
LAMINA_NOINLINE void gemv_combine(const MatmulI8& a, int row0, int x0, const I8Blocks& b,
                                const int32_t* table, int stride) {
  constexpr int kBlocks = kLanes / M;
  const int rows = a.n_rows - row0 < kLanes ? a.n_rows - row0 : kLanes;
  F32 y[M];
  each<M>([&](auto m) LAMINA_LAMBDA { y[m] = f32_zero(); });
  for (int block = 0; block < b.n; block += kBlocks) {
    I32 sums[kLanes];
    each<kLanes>([&](auto r) LAMINA_LAMBDA {
      sums[r] = i32_load(table + r * stride + block * M);
    });
    transpose(sums);
    alignas(64) float coefficients[kGrouped ? kLanes * kLanes : 1];  // [m][j][row]
    if constexpr (kGrouped) {
      gemv_coefficients<M>(a, row0, rows, x0, block, b.n, coefficients);
    }
    each<M>([&](auto m) LAMINA_LAMBDA {
      const size_t at = (static_cast<size_t>(x0) + m) * a.x.block_stride + block;
      each<kBlocks>([&](auto j) LAMINA_LAMBDA {
        if (block + j >= b.n) return;
        I32 sum = sums[m * kBlocks + j];
        if (kOffsetWeights) sum = i32_add(sum, i32_set(a.x.offsets[at + j]));
        F32 scale;
        if constexpr (kGrouped) {
          scale = f32_load(coefficients + (m * kBlocks + j) * kLanes);
        } else {
          scale = f32_set(a.x.scales[at + j]);
        }
        y[m] = f32_fma_exact(scale, f32_from_i32(sum), y[m]);
      });
    });
  }
  each<M>([&](auto m) LAMINA_LAMBDA {
    if constexpr (!kGrouped) y[m] = f32_mul(y[m], f32_load_n(a.scales + row0, rows));
    f32_store(a.out + (static_cast<size_t>(x0) + m) * a.out_stride + row0, y[m]);
  });
}

template <int M, int kChunksPerBlock>
LAMINA_INLINE void gemv_blocks(const MatmulI8& a, int x0, const I8Blocks& b) {
  constexpr int kBlocks = kLanes / M;
  int32_t* table = static_cast<int32_t*>(a.scratch);
  const int stride = (b.n + kBlocks - 1) / kBlocks * kLanes + (kChunksPerBlock == 0 ? kLanes : 0);
  const int8_t* x = a.x.q + static_cast<size_t>(x0) * a.x.q_stride;
  for (int row0 = 0; row0 < a.n_rows; row0 += kLanes) {
    for (int r = 0; r < kLanes && row0 + r < a.n_rows; ++r) {
      gemv_row<M, kChunksPerBlock>(a.weights + static_cast<size_t>(row0 + r) * a.row_bytes, x,
                                   a.x.q_stride, b, table + r * stride);
    }
    if (a.grouped) {
      gemv_combine<M, true>(a, row0, x0, b, table, stride);
    } else {
      gemv_combine<M, false>(a, row0, x0, b, table, stride);
    }
  }
}

// One row of x, kLanes weight rows side by side: what depends on x alone is computed once for them, and
// their sums end up one row per lane. For vectors of 16 bytes without prefetching, where memory's speed
// hangs on the processor's own foresight: lane r takes rows first + r * step, so memory is read in kLanes
// streams, each as long as the strip allows. Rows that are missing repeat the last.
// kUnroll chunks at a time, of which a block has a multiple.
template <bool kGrouped, int kUnroll>
LAMINA_NOINLINE void gemv_across(const MatmulI8& a, int first, int step, int x0, const I8Blocks& b) {
  const auto row = [&](int r) LAMINA_LAMBDA {
    return first + r * step < a.n_rows ? first + r * step : a.n_rows - 1;
  };
  const int8_t* w[kLanes];
  const float* sw[kLanes];
  each<kLanes>([&](auto r) LAMINA_LAMBDA {
    w[r] = a.weights + static_cast<size_t>(row(r)) * a.row_bytes;
    sw[r] = a.scales + row(r) * (kGrouped ? b.n : 1);
  });
  const auto scales = [&](int block) LAMINA_LAMBDA {
    float each_row[kLanes];
    each<kLanes>([&](auto r) LAMINA_LAMBDA { each_row[r] = sw[r][block]; });
    return f32_load(each_row);
  };
  const int8_t* x = a.x.q + static_cast<size_t>(x0) * a.x.q_stride;
  const float* sx = a.x.scales + static_cast<size_t>(x0) * a.x.block_stride;
  [[maybe_unused]] const int32_t* offsets = a.x.offsets + static_cast<size_t>(x0) * a.x.block_stride;
  F32 y = f32_zero();
  int at = 0;
  for (int block = 0; block < b.n; ++block) {
    Acc acc[kLanes];
    each<kLanes>([&](auto r) LAMINA_LAMBDA { acc[r] = acc_set(0); });
    const int full = at + a.block, end = full < b.chunks * kChunk ? full : b.chunks * kChunk;
    for (; at < end; at += kUnroll * kChunk) {  // rows are padded to four chunks
      I32 bytes[kUnroll];
      const int8_t* x_at = settled(x + at);
      each<kUnroll>([&](auto u) LAMINA_LAMBDA { bytes[u] = i32_load(x_at + u * kChunk); });
      each<kLanes>([&](auto r) LAMINA_LAMBDA {
        const int8_t* w_at = settled(w[r] + at);
        each<kUnroll>([&](auto u) LAMINA_LAMBDA {
          acc[r] = dot(acc[r], weight_bytes(w_at + u * kChunk), bytes[u]);
        });
      });
    }
    I32 sums = sum_each(acc);
    if (kOffsetWeights) sums = i32_add(sums, i32_set(offsets[block]));
    F32 scale = f32_set(sx[block]);
    if constexpr (kGrouped) scale = f32_mul(scale, scales(block));
    y = f32_fma_exact(scale, f32_from_i32(sums), y);
  }
  if constexpr (!kGrouped) y = f32_mul(y, scales(0));
  float all[kLanes];
  f32_store(all, y);
  float* out = a.out + static_cast<size_t>(x0) * a.out_stride;
  each<kLanes>([&](auto r) LAMINA_LAMBDA { out[row(r)] = all[r]; });
}

template <bool kGrouped, int kUnroll>
LAMINA_INLINE void gemv_streams(const MatmulI8& a, int x0, const I8Blocks& b) {
  const int step = (a.n_rows + kLanes - 1) / kLanes;
  for (int first = 0; first < step; ++first) gemv_across<kGrouped, kUnroll>(a, first, step, x0, b);
}

template <int M>
void gemv(const MatmulI8& a, int x0) {
  const I8Blocks b = i8_blocks(a);
  if constexpr (kGemvAcross && M == 1) {
    if (!a.grouped) return gemv_streams<false, 4>(a, x0, b);
    return a.block == 32 ? gemv_streams<true, 2>(a, x0, b) : gemv_streams<true, 4>(a, x0, b);
  }
  switch (a.block) {
    case 128: return gemv_blocks<M, 128 / kChunk>(a, x0, b);
    case 64: return gemv_blocks<M, 64 / kChunk>(a, x0, b);
    default: return gemv_blocks<M, 32 / kChunk>(a, x0, b);
  }
}

// --- Many rows of x.

// A panel as [row_bytes / 4][kPanelParts][kVecs * kLanes rows][4], ready for panel_dot(). Missing rows
// repeat the last. A line of each row at a time, in few instructions: this is where a prompt waits for
// memory.
template <int kVecs>
LAMINA_NOINLINE void pack_panel(const MatmulI8& a, int8_t* packed) {
  constexpr int kFour = kVecs * kLanes * 4, kLine = 64;  // bytes of a packed vector, of a row's line
  for (int row0 = 0; row0 < kVecs * kLanes; row0 += kLanes, packed += kLanes * 4) {
    const int8_t* from[kLanes];
    each<kLanes>([&](auto r) LAMINA_LAMBDA {
      const int row = row0 + r < a.n_rows ? row0 + r : a.n_rows - 1;
      from[r] = a.weights + static_cast<size_t>(row) * a.row_bytes;
    });
    int8_t* to = packed;
    for (size_t c = 0; c < a.row_bytes; c += kLine, to += kLine / 4 * kPanelParts * kFour) {
      const int8_t* at[kLanes];
      to = settled(to);
      each<kLanes>([&](auto r) LAMINA_LAMBDA { at[r] = settled(from[r] + c); });
      each<kLine / kChunk>([&](auto u) LAMINA_LAMBDA {
        I32 v[kLanes];
        each<kLanes>([&](auto r) LAMINA_LAMBDA { v[r] = weight_bytes(at[r] + u * kChunk); });
        transpose(v);
        each<kLanes>([&](auto i) LAMINA_LAMBDA {
          each<kPanelParts>([&](auto part) LAMINA_LAMBDA {
            i32_store(to + ((u * kLanes + i) * kPanelParts + part) * kFour, panel_part<part>(v[i]));
          });
        });
      });
    }
  }
}

// out = (kFirst ? 0 : out) + scale * acc for a tile; scales: of the block's weight rows, or null.
template <int kVecs, int T, bool kFirst>
LAMINA_INLINE void gemm_add(const Acc (&acc)[T * kVecs], const float* sx, size_t sx_stride,
                            const float* scales, float* out, size_t out_stride) {
  each<T>([&](auto t) LAMINA_LAMBDA {
    const F32 sx_each = f32_set(sx[t * sx_stride]);
    each<kVecs>([&](auto v) LAMINA_LAMBDA {
      F32 before = f32_zero(), scale = sx_each;
      float* to = out + t * out_stride + v * kLanes;
      if constexpr (!kFirst) before = f32_load(to);
      if (scales) scale = f32_mul(sx_each, f32_load(scales + v * kLanes));
      f32_store(to, f32_fma_exact(scale, f32_from_i32(acc_value(acc[t * kVecs + v])), before));
    });
  });
}

// Blocks [begin, end) of kVecs * kLanes weight rows times T <= kGemmRows rows of x from x0 on.
template <int kVecs, int T, bool kGrouped>
LAMINA_NOINLINE void gemm_tile(const MatmulI8& a, const int8_t* packed, int x0, int begin, int end,
                               const float* scales) {
  constexpr int kStep = kVecs * kLanes * 4;  // packed bytes per four columns, or a part of them
  constexpr int kXStep = kGemmRows * 4;
  const auto x_row = static_cast<size_t>(x0);
  const int8_t* x = a.x.packed + x_row * a.row_bytes * kPanelParts;
  const size_t block_stride = a.x.block_stride, out_stride = a.out_stride;
  const int32_t* offsets = a.x.offsets + x_row * block_stride;
  const float* sx = a.x.scales + x_row * block_stride;
  float* out = a.out + x_row * out_stride;
  const int block_columns = a.block, row_bytes = static_cast<int>(a.row_bytes);
  for (int block = begin; block < end; ++block) {
    Acc acc[T * kVecs];
    each<T>([&](auto t) LAMINA_LAMBDA {
      const int32_t start = panel_start(offsets[t * block_stride + block]);
      each<kVecs>([&](auto v) LAMINA_LAMBDA { acc[t * kVecs + v] = acc_set(start); });
    });
    const int first = block * block_columns;
    const int last = first + block_columns < row_bytes ? first + block_columns : row_bytes;
    const int8_t* w = packed + static_cast<size_t>(first / 4 * kPanelParts) * kStep;
    const int8_t* four = x + static_cast<size_t>(first / 4 * kPanelParts) * kXStep;
    for (int k = (last - first) / 4 * kPanelParts; k > 0; k -= kGemmUnroll) {
      w = settled(w);
      four = settled(four);
      each<kGemmUnroll>([&](auto u) LAMINA_LAMBDA {
        I32 bytes[kVecs];
        each<kVecs>([&](auto v) LAMINA_LAMBDA {
          bytes[v] = i32_load(w + u * kStep + v * kLanes * 4);
        });
        each<T>([&](auto t) LAMINA_LAMBDA {
          const I32 each_lane = i32_broadcast(four + u * kXStep + t * 4);
          each<kVecs>([&](auto v) LAMINA_LAMBDA {
            Acc& sum = acc[t * kVecs + v];
            sum = panel_dot(sum, bytes[v], each_lane);
          });
        });
      });
      w += kGemmUnroll * kStep;
      four += kGemmUnroll * kXStep;
    }
    const float* sw = kGrouped ? scales + block * kVecs * kLanes : nullptr;
    if (block == 0) {
      gemm_add<kVecs, T, true>(acc, sx + block, block_stride, sw, out, out_stride);
    } else {
      gemm_add<kVecs, T, false>(acc, sx + block, block_stride, sw, out, out_stride);
    }
  }
}

template <int kVecs, int T>
LAMINA_INLINE void gemm_rows(const MatmulI8& a, const int8_t* packed, int x0, int begin, int end,
                             const float* scales) {
  if (scales) {
    gemm_tile<kVecs, T, true>(a, packed, x0, begin, end, scales);
  } else {
    gemm_tile<kVecs, T, false>(a, packed, x0, begin, end, scales);
  }
}

// The rows left over after whole tiles.
template <int kVecs, int T>
LAMINA_INLINE void gemm_rest(const MatmulI8& a, const int8_t* packed, int x0, int begin, int end,
                             const float* scales) {
  if (a.x.rows - x0 == T) return gemm_rows<kVecs, T>(a, packed, x0, begin, end, scales);
  if constexpr (T > 1) gemm_rest<kVecs, T - 1>(a, packed, x0, begin, end, scales);
}

template <int kVecs>
void gemm(const MatmulI8& a) {
  int8_t* packed = static_cast<int8_t*>(a.scratch);  // [panel], then scales
  const int n_blocks = i8_blocks(a).n;
  constexpr int kRows = kVecs * kLanes;
  pack_panel<kVecs>(a, packed);
  float* scales = nullptr;  // [blocks][rows] when grouped
  if (a.grouped) {
    scales = static_cast<float*>(static_cast<void*>(packed + a.row_bytes * kPanelParts * kRows));
    for (int r = 0; r < kRows; ++r) {
      const int row = r < a.n_rows ? r : a.n_rows - 1;
      for (int b = 0; b < n_blocks; ++b) scales[b * kRows + r] = a.scales[row * n_blocks + b];
    }
  }
  const int step = kGemmColumns / a.block;
  const int tiles = a.x.rows / kGemmRows * ((n_blocks + step - 1) / step);
  const size_t panel_bytes = static_cast<size_t>(a.n_rows) * a.row_bytes;
  const int8_t* next = a.weights + panel_bytes;  // most likely what comes next
  const size_t lines = tiles > 0 ? panel_bytes / 64 / static_cast<size_t>(tiles) + 1 : 0;
  for (int begin = 0; begin < n_blocks; begin += step) {
    const int end = begin + step < n_blocks ? begin + step : n_blocks;
    int x0 = 0;
    for (; x0 + kGemmRows <= a.x.rows; x0 += kGemmRows) {
      for (size_t i = 0; i < lines; ++i, next += 64) prefetch_l2(next);
      gemm_rows<kVecs, kGemmRows>(a, packed, x0, begin, end, scales);
    }
    gemm_rest<kVecs, kGemmRows - 1>(a, packed, x0, begin, end, scales);
  }
  if (a.grouped) return;
  for (int t = 0; t < a.x.rows; ++t) {
    float* out = a.out + static_cast<size_t>(t) * a.out_stride;
    for (int r = 0; r < a.n_rows; r += kLanes) {
      const F32 sw = f32_load_n(a.scales + r, a.n_rows - r);
      f32_store(out + r, f32_mul(f32_load(out + r), sw));
    }
  }
}

size_t matmul_i8_scratch(size_t row_bytes) {
  constexpr size_t kPanelRows = kPanelVecs * kLanes;
  const size_t blocks = row_bytes / 32 + 1;
  const size_t panel = kPanelRows * (kPanelParts * row_bytes + blocks * sizeof(float));
  const size_t table = kLanes * (blocks * 4 + 2 * kLanes) * sizeof(int32_t);
  return panel > table ? panel : table;
}

// The strip in panels of kPanelVecs vectors of weight rows.
LAMINA_INLINE void gemm_panels(const MatmulI8& a) {
  constexpr int kPanelRows = kPanelVecs * kLanes;
  const size_t scales_per_row = a.grouped ? static_cast<size_t>(i8_blocks(a).n) : 1;
  for (int row = 0; row < a.n_rows; row += kPanelRows) {
    MatmulI8 panel = a;
    panel.weights = a.weights + static_cast<size_t>(row) * a.row_bytes;
    panel.scales = a.scales + static_cast<size_t>(row) * scales_per_row;
    panel.out = a.out + row;
    panel.n_rows = a.n_rows - row < kPanelRows ? a.n_rows - row : kPanelRows;
    if (panel.n_rows <= kLanes) {
      gemm<1>(panel);
    } else {
      gemm<kPanelVecs>(panel);
    }
  }
}

void matmul_i8(const MatmulI8& a) {
  if (a.x.rows >= kGemmFrom) return gemm_panels(a);
  int x0 = 0;
  if constexpr (kLanes >= 4) {
    for (; x0 + 4 <= a.x.rows; x0 += 4) gemv<4>(a, x0);
    for (; x0 + 2 <= a.x.rows; x0 += 2) gemv<2>(a, x0);
  }
  for (; x0 < a.x.rows; ++x0) gemv<1>(a, x0);
}

}  // namespace
