// SPDX-License-Identifier: Apache-2.0
// Runs a fuzz target without libFuzzer: over each seed, its beginnings, and each byte changed.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

void run(const std::string& text) {
  // An allocation of exactly the right size lets a sanitizer see a read beyond the end.
  const std::vector<uint8_t> exact(text.begin(), text.end());
  LLVMFuzzerTestOneInput(exact.data(), exact.size());
}

size_t replay(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string seed{std::istreambuf_iterator<char>(file), {}};
  run(seed);
  const size_t step = seed.size() / 256 + 1;
  for (size_t at = 0; at < seed.size(); at += step) {
    run(seed.substr(0, at));
    for (const char flip : {'\x01', '\x20', '\x80'}) {
      std::string changed = seed;
      changed[at] = static_cast<char>(changed[at] ^ flip);
      run(changed);
    }
  }
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  size_t seeds = 0;
  for (int i = 1; i < argc; ++i) {
    for (const auto& entry : std::filesystem::directory_iterator(argv[i])) seeds += replay(entry);
  }
  std::printf("%zu seeds replayed\n", seeds);
  return seeds == 0;  // a corpus that is not there must not pass
}
