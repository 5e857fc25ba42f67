// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace lamina {

bool is_terminal(int fd);
int terminal_columns(int fd);  // 80 where unknown
// Whether colour is welcome on `fd`: a terminal, not TERM=dumb, and no NO_COLOR (no-color.org: any
// value but the empty one).
bool wants_colour(int fd);

}  // namespace lamina
