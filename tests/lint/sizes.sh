#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A file over 600 lines is two rooms in one. Generated tables are exempt. Prints lines per room.
set -u
bad=0
while IFS= read -r file; do
  lines=$(wc -l <"$file")
  if [ "$lines" -gt 600 ]; then
    echo "$file: $lines lines, at most 600"
    bad=1
  fi
done < <(find core backends native bench tests tools -type f \
  \( -name '*.h' -o -name '*.cc' -o -name '*.inl' -o -name '*.sh' \) ! -name 'unicode_tables.cc')
for room in core/base core/tensor core/model core/engine backends/reference backends/cpu native tests bench; do
  printf '%-20s %6d lines\n' "$room" \
    "$(find "$room" -type f \( -name '*.h' -o -name '*.cc' -o -name '*.inl' \) ! -name 'unicode_tables.cc' -exec cat {} + 2>/dev/null | wc -l)"
done
exit $bad
