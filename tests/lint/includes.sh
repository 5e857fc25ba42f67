#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Dependencies point one way. For each room: which rooms its files may include, and which system
# headers the core must not see, because it opens no file, socket, thread or clock.
set -u
bad=0

complain() {
  echo "$1"
  bad=1
}

# allow ROOM ALLOWED-PATTERN: every quoted include of ROOM matches the pattern.
allow() {
  local line
  while IFS= read -r line; do
    [ -n "$line" ] && complain "not allowed in $1: $line"
  done < <(grep -rnE '^#include "' "$1" --include='*.h' --include='*.cc' --include='*.inl' 2>/dev/null |
    grep -vE "#include \"($2)")
}

allow core/base 'core/base/'
allow core/tensor 'core/(base|tensor)/'
allow core/model 'core/(base|tensor|model)/'
allow core/engine 'core/'
allow backends/reference '(core|backends/reference)/'
allow backends/cpu '(core|backends/cpu)/'
allow backends/vulkan '(core|backends/vulkan)/'
allow native '(core|backends|native)/'

while IFS= read -r line; do
  [ -n "$line" ] && complain "the core must not include: $line"
done < <(grep -rnE '^#include <(iostream|fstream|filesystem|thread|mutex|chrono|atomic|regex|unistd|sys/|fcntl|ctime|time\.h|signal|openssl)' core)

while IFS= read -r line; do
  [ -n "$line" ] && complain "only json.cc sees the JSON library: $line"
done < <(grep -rn 'nlohmann/' core backends native bench --include='*.h' --include='*.cc' |
  grep '#include' | grep -v '^core/base/json\.cc:')

while IFS= read -r line; do
  [ -n "$line" ] && complain "nobody includes tests: $line"
done < <(grep -rn '#include "tests/' core backends native bench)

# Kernel files are compiled for one ISA each; a std template in them could be the copy that the
# linker keeps for everyone.
while IFS= read -r line; do
  [ -n "$line" ] && complain "no std templates in ISA files: $line"
done < <(grep -rnE '^#include <(algorithm|vector|string|functional|memory|utility|array|span|cmath|limits)>' \
  backends/cpu/isa backends/cpu/kernels 2>/dev/null)

[ $bad -eq 0 ] && echo "includes point one way"
exit $bad
