// SPDX-License-Identifier: Apache-2.0
// The token that a step's one row led to becomes the next step's row: the next position, the next row
// of rope. One thread. Includers bind head and tokens.
const LOWEST = -3.4028234663852886e38;  // WGSL knows no infinity; smaller logits are no candidates

fn next_step(token: u32) {
  let step = head[4];
  tokens[step] = token;
  head[4] = step + 1u;
  head[ROWS_AT] = token;
  head[ROWS_AT + 1u] += 1u;
  head[ROWS_AT + 3u] += 1u;
}
