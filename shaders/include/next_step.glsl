// SPDX-License-Identifier: Apache-2.0
// The token that a step's one row led to becomes the next step's row: the next position, the next row
// of rope. One thread. Includers push head, rows and tokens.
void next_step(uint token) {
  const uint step = p.head.v.step;
  p.tokens.v[step] = token;
  p.head.v.step = step + 1;
  p.rows.v[0].token = int(token);
  p.rows.v[0].kv_index += 1;
  p.rows.v[0].rope_at += 1;
}
