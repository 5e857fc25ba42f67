// SPDX-License-Identifier: Apache-2.0
// bench_tokenizer TOKENIZER_JSON [TEXT_FILE]: time to load, and MB/s to encode and decode on one
// core, best of several rounds. Without a text it makes three: English-like, a mix of scripts, and
// random code points, in which hardly a word repeats.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "core/base/numeric.h"
#include "core/base/utf8.h"
#include "core/model/tokenizer.h"

namespace lamina {
namespace {

constexpr int kRounds = 7;
constexpr size_t kTextBytes = size_t{8} << 20;

double seconds() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double>(now).count();
}

template <typename Work>
double best_seconds(const Work& work) {
  double best = 1e9;
  for (int i = 0; i < kRounds; ++i) {
    const double begin = seconds();
    work();
    best = std::min(best, seconds() - begin);
  }
  return best;
}

// Words of syllables; the k-th word is drawn about as often as 1/k, as in a natural language.
std::string make_words(const std::vector<std::string>& syllables) {
  Random random(1);
  std::vector<std::string> words(20000);
  for (std::string& word : words) {
    const uint32_t n = 1 + random.next_u32() % 4;
    for (uint32_t i = 0; i < n; ++i) word += syllables[random.next_u32() % syllables.size()];
  }
  std::string text;
  while (text.size() < kTextBytes) {
    const double u = static_cast<double>(random.next_unit());
    const auto k = static_cast<size_t>(std::pow(static_cast<double>(words.size()), u)) - 1;
    text += words[std::min(k, words.size() - 1)];
    const uint32_t mark = random.next_u32() % 100;
    text += mark < 85 ? " " : mark < 92 ? ", " : mark < 96 ? ". " : mark < 98 ? "\n\n" : " 1984 ";
  }
  return text;
}

std::string make_random() {
  Random random(2);
  std::string text;
  while (text.size() < kTextBytes) {
    const uint32_t c = random.next_u32() % 0x3000;
    append_utf8(text, c);
  }
  return text;
}

std::string read_file(const char* path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

void measure(const Tokenizer& tokenizer, const char* name, const std::string& text) {
  std::vector<int32_t> ids;
  const double encode = best_seconds([&] { ids = tokenizer.encode(text).value(); });
  std::string back;
  const double decode = best_seconds([&] { back = tokenizer.decode(ids); });
  const double megabytes = static_cast<double>(text.size()) / 1e6;
  std::printf("%-10s %6.1f MB  %9zu tokens  encode %7.1f MB/s  decode %7.1f MB/s\n", name,
              megabytes, ids.size(), megabytes / encode, megabytes / decode);
}

int main_of(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: bench_tokenizer TOKENIZER_JSON [TEXT_FILE]\n");
    return 2;
  }
  const std::string json = read_file(argv[1]);
  const auto tokenizer = Tokenizer::from_json(json, argv[1]);
  if (!tokenizer) {
    std::fprintf(stderr, "%s\n", tokenizer.error().message.c_str());
    return 1;
  }
  const double load = best_seconds([&] { (void)Tokenizer::from_json(json, argv[1]); });
  std::printf("load %.1f ms, %d ids\n", load * 1e3, tokenizer->vocab_size());
  if (argc > 2) {
    measure(*tokenizer, "file", read_file(argv[2]));
    return 0;
  }
  measure(*tokenizer, "words",
          make_words({"the", "re", "in", "lan", "tern", "er", "ing", "fox", "qua", "st", "o", "a",
                      "ve", "ment", "ly", "un", "con"}));
  measure(*tokenizer, "mixed",
          make_words({"the", "Прив", "ет", "你好", "世", "ü", "né", "ーテ", "er", "مر", "한",
                      "🙂", "ing", "x9", "α"}));
  measure(*tokenizer, "random", make_random());
  measure(*tokenizer, "one letter", std::string(kTextBytes / 4, 'a'));
  return 0;
}

}  // namespace
}  // namespace lamina

int main(int argc, char** argv) {
  return lamina::main_of(argc, argv);
}
