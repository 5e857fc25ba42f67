// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmath>
#include <set>

#include "native/convert/convert.h"
#include "native/platform/model_loader.h"
#include "native/platform/sha256.h"
#include "native/platform/synthetic.h"
#include "native/platform/verified_cache.h"
#include "tests/support/checkpoint_writer.h"
#include "tests/support/temp_dir.h"

namespace lamina {
namespace {

using testing::HasSubstr;
using namespace test;
namespace fs = std::filesystem;

class Loader : public testing::Test {
 protected:
  void SetUp() override {
    write_checkpoint(dir / "source", {});
    ConvertOptions o;
    o.source = dir / "source";
    o.destination = folder = dir / "model";
    o.group = 32;
    o.shard_bytes = 4096;  // most matrices are divided by rows
    ASSERT_TRUE(convert(o));
  }

  Result<std::unique_ptr<LoadedModel>> load(LoadMode mode = LoadMode::kMap, int threads = 2) {
    LoadOptions o;
    o.mode = mode;
    o.threads = threads;
    o.cache_directory = dir / "cache";
    return load_model(folder, o);
  }

  // The same error in every mode.
  Error refused() {
    const auto mapped = load(LoadMode::kMap);
    const auto read = load(LoadMode::kHuge);
    EXPECT_FALSE(mapped);
    EXPECT_FALSE(read);
    if (mapped || read) return {};
    EXPECT_EQ(mapped.error().message, read.error().message);
    return read.error();
  }

  TempDir dir;
  std::string folder;
};

std::string values_of(const WeightView& w) {
  std::string out(static_cast<const char*>(w.values), w.value_bytes());
  if (w.scales != nullptr) out.append(reinterpret_cast<const char*>(w.scales), w.scale_bytes());
  return out;
}

TEST_F(Loader, EveryModeAndThreadCountGivesTheSame) {
  const auto mapped = load(LoadMode::kMap, 1);
  ASSERT_TRUE(mapped) << mapped.error().message;
  size_t divided = 0;
  for (const TensorEntry& t : (*mapped)->manifest.tensors) divided += t.parts.size() > 1;
  EXPECT_GT(divided, 5u);
  EXPECT_EQ((*mapped)->stats.mode, LoadMode::kMap);
  EXPECT_GT((*mapped)->stats.mapped_bytes, 0u);
  for (int threads : {1, 4}) {
    const auto read = load(LoadMode::kHuge, threads);
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ((*read)->stats.mode, LoadMode::kHuge);
    EXPECT_EQ((*read)->stats.mapped_bytes, 0u);
    ASSERT_EQ((*read)->weights.size(), (*mapped)->weights.size());
    for (const auto& [name, view] : (*read)->weights) {
      const WeightView& other = (*mapped)->weights.find(name)->second;
      EXPECT_EQ(static_cast<const WeightShape&>(view), other);
      EXPECT_EQ(values_of(view), values_of(other)) << name;
      EXPECT_EQ(reinterpret_cast<uintptr_t>(view.values) % kRowAlignment, 0u);
      EXPECT_EQ(reinterpret_cast<uintptr_t>(other.values) % kRowAlignment, 0u);
      EXPECT_EQ(reinterpret_cast<uintptr_t>(other.scales) % kRowAlignment, 0u);
    }
  }
}

TEST_F(Loader, GivesTextsAndFacts) {
  const auto model = load(LoadMode::kAuto);
  ASSERT_TRUE(model);
  EXPECT_EQ((*model)->stats.mode, LoadMode::kMap) << "too small for huge pages";
  EXPECT_EQ((*model)->tokenizer_json, slurp(folder + "/tokenizer.json"));
  EXPECT_EQ((*model)->manifest_sha256, sha256_hex(slurp(folder + "/manifest.json")));
  EXPECT_EQ((*model)->signature.kind, SignatureKind::kUnsigned);
  EXPECT_EQ((*model)->stats.files_hashed, (*model)->manifest.shards.size());
}

TEST_F(Loader, AnyFlippedByteOfAShardIsFound) {
  const std::string path = folder + "/shards/00001.bin";
  const std::string good = slurp(path);
  for (size_t at = 0; at < good.size(); at += 97) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ (1 << (at % 8)));
    spill(path, bad);
    const Error e = refused();
    EXPECT_EQ(e.code, Code::kIntegrity);
    EXPECT_THAT(e.message, HasSubstr("shards/00001.bin"));
    EXPECT_THAT(e.message, HasSubstr(sha256_hex(good)));
    EXPECT_THAT(e.message, HasSubstr(sha256_hex(bad)));
  }
  spill(path, good);
  EXPECT_TRUE(load());
}

TEST_F(Loader, WrongSizesAreFoundBeforeAnyByteIsRead) {
  const std::string path = folder + "/shards/00002.bin";
  const std::string good = slurp(path);
  for (const std::string& bad : {good.substr(0, good.size() - 1), good + "x", std::string()}) {
    spill(path, bad);
    const Error e = refused();
    EXPECT_EQ(e.code, Code::kIntegrity);
    EXPECT_THAT(e.message, HasSubstr("shards/00002.bin"));
    EXPECT_THAT(e.message, HasSubstr(std::to_string(bad.size()) + " bytes"));
    EXPECT_THAT(e.message, HasSubstr(std::to_string(good.size())));
  }
  fs::remove(path);
  EXPECT_EQ(refused().code, Code::kNotFound);
  EXPECT_THAT(refused().message, HasSubstr("shards/00002.bin"));
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  EXPECT_THAT(refused().message, HasSubstr("not a regular file"));
}

TEST_F(Loader, SwappedShardsAreFound) {
  size_t other = 0;
  const std::string first = slurp(folder + "/shards/00000.bin");
  for (size_t i = 1; other == 0; ++i) {
    const std::string path = folder + "/" + shard_file_name(i);
    ASSERT_TRUE(fs::exists(path)) << "two shards of one size are needed";
    if (fs::file_size(path) == first.size()) other = i;
  }
  const std::string path = folder + "/" + shard_file_name(other);
  const std::string second = slurp(path);
  spill(folder + "/shards/00000.bin", second);
  spill(path, first);
  EXPECT_THAT(refused().message, HasSubstr("shards/00000.bin"));
}

TEST_F(Loader, ChangedTokenizerIsFound) {
  std::string text = slurp(folder + "/tokenizer.json");
  text[3] ^= 1;
  spill(folder + "/tokenizer.json", text);
  EXPECT_EQ(refused().code, Code::kIntegrity);
  spill(folder + "/tokenizer.json", text + " ");
  EXPECT_THAT(refused().message, HasSubstr("tokenizer.json"));
  fs::remove(folder + "/tokenizer.json");
  EXPECT_EQ(refused().code, Code::kNotFound);
}

TEST_F(Loader, AnyChangeOfASignedManifestIsFound) {
  const auto key = generate_keys(dir / "key.pem", dir / "key.pub");
  ASSERT_TRUE(key);
  ASSERT_TRUE(sign_model(folder, dir / "key.pem"));
  ASSERT_TRUE(load());
  const std::string path = folder + "/manifest.json";
  const std::string good = slurp(path);
  for (size_t at = 0; at < good.size(); at += 31) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ (1 << (at % 8)));
    spill(path, bad);
    const auto model = load();
    ASSERT_FALSE(model);
    EXPECT_EQ(model.error().code, Code::kIntegrity) << model.error().message;
  }
}

TEST_F(Loader, DamagedUnsignedManifestNeverCrashes) {
  const std::string path = folder + "/manifest.json";
  const std::string good = slurp(path);
  for (size_t at = 0; at < good.size(); at += 17) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ (1 << (at % 7)));
    spill(path, bad);
    const auto model = load();
    if (model) {
      EXPECT_EQ((*model)->weights.size(), (*model)->manifest.tensors.size());
    }
  }
}

TEST_F(Loader, PolicyDecidesAboutSignatures) {
  const auto key = generate_keys(dir / "a.pem", dir / "a.pub");
  const auto other = generate_keys(dir / "b.pem", dir / "b.pub");
  ASSERT_TRUE(key && other);
  LoadOptions o;
  o.cache_directory = dir / "cache";
  o.trust.require_signature = true;
  EXPECT_THAT(load_model(folder, o).error().message, HasSubstr("signature is required"));
  ASSERT_TRUE(sign_model(folder, dir / "a.pem"));
  EXPECT_THAT(load_model(folder, o).error().message, HasSubstr(key->fingerprint()));
  o.trust.known = {*other, *key};
  auto model = load_model(folder, o);
  ASSERT_TRUE(model) << model.error().message;
  EXPECT_EQ((*model)->signature.kind, SignatureKind::kTrusted);
  EXPECT_EQ((*model)->signature.signer, *key);
  o.trust = {};
  std::string remarks;
  o.log = [&](LogLevel, std::string_view text) { remarks += text; };
  model = load_model(folder, o);
  ASSERT_TRUE(model);
  EXPECT_EQ((*model)->signature.kind, SignatureKind::kUnknownSigner);
  EXPECT_THAT(remarks, HasSubstr(key->fingerprint()));
  o.trust.pinned = {*other};
  o.trust.known = {*key};
  EXPECT_THAT(load_model(folder, o).error().message, HasSubstr("not the key given"));
}

TEST_F(Loader, StopsWhenAsked) {
  std::atomic<bool> cancel{true};
  LoadOptions o;
  o.cache_directory = dir / "cache";
  o.cancel = &cancel;
  for (LoadMode mode : {LoadMode::kMap, LoadMode::kHuge}) {
    o.mode = mode;
    EXPECT_EQ(load_model(folder, o).error().code, Code::kCancelled);
  }
}

TEST_F(Loader, VerifyReadsEveryFile) {
  const auto opened = open_manifest(folder, {});
  ASSERT_TRUE(opened);
  std::set<std::string> files;
  const auto note = [&](const std::string& file, uint64_t) { files.insert(file); };
  ASSERT_TRUE(verify_model(folder, opened->manifest, 3, note));
  EXPECT_EQ(files.size(), opened->manifest.shards.size() + 1);
  std::string bad = slurp(folder + "/shards/00003.bin");
  bad.back() ^= 4;
  spill(folder + "/shards/00003.bin", bad);
  EXPECT_THAT(verify_model(folder, opened->manifest, 3, {}).error().message,
              HasSubstr("shards/00003.bin"));
}

// Files must be two seconds old before a hash is remembered, hence the wait.
TEST_F(Loader, HashesAStateOfAFileOnce) {
  ::usleep(2'100'000);
  ASSERT_GT((*load())->stats.files_hashed, 0u);
  EXPECT_EQ((*load(LoadMode::kMap))->stats.files_hashed, 0u);
  EXPECT_EQ((*load(LoadMode::kHuge))->stats.files_hashed, 0u);
  LoadOptions o;
  o.cache_directory = dir / "cache";
  o.verify = VerifyMode::kAlways;
  EXPECT_GT((*load_model(folder, o))->stats.files_hashed, 0u);
  // The same bytes written again are another state; a flipped bit with the old times is, too.
  const std::string path = folder + "/shards/00000.bin";
  const auto times = fs::last_write_time(path);
  std::string bytes = slurp(path);
  spill(path, bytes);
  fs::last_write_time(path, times);
  EXPECT_EQ((*load())->stats.files_hashed, 1u);
  bytes[7] ^= 1;
  spill(path, bytes);
  fs::last_write_time(path, times);
  EXPECT_THAT(refused().message, HasSubstr("shards/00000.bin"));
}

TEST(VerifiedCache, CountsOnlyExactMatches) {
  TempDir dir;
  const FileState old{1, 2, 3, 1'000'000'000, 2'000'000'000};
  const std::string sha(64, 'a');
  VerifiedCache cache(dir / "c");
  EXPECT_FALSE(cache.contains("/a b", old, sha));
  cache.add("/a b", old, sha);
  cache.add("/other", old, sha);
  cache.add("/new\nline", old, sha);
  ASSERT_TRUE(cache.save());
  const VerifiedCache again(dir / "c");
  EXPECT_TRUE(again.contains("/a b", old, sha));
  EXPECT_FALSE(again.contains("/new\nline", old, sha));
  EXPECT_FALSE(again.contains("/a b", old, std::string(64, 'b')));
  EXPECT_FALSE(again.contains("/a c", old, sha));
  for (int field = 0; field < 5; ++field) {
    FileState s = old;
    s.device += field == 0;
    s.inode += field == 1;
    s.size += field == 2;
    s.mtime_ns += field == 3;
    s.ctime_ns += field == 4;
    EXPECT_FALSE(again.contains("/a b", s, sha)) << field;
  }
}

TEST(VerifiedCache, SurvivesDamage) {
  TempDir dir;
  const FileState old{1, 2, 3, 4, 5};
  const std::string sha(64, 'a');
  VerifiedCache cache(dir / "c");
  cache.add("/file", old, sha);
  ASSERT_TRUE(cache.save());
  const std::string good = slurp(dir / "c/verified");
  for (size_t at = 0; at < good.size(); ++at) {
    std::string bad = good;
    bad[at] ^= 2;
    spill(dir / "c/verified", bad);
    EXPECT_FALSE(VerifiedCache(dir / "c").contains("/file", old, sha)) << at;
    spill(dir / "c/verified", good.substr(0, at));
    EXPECT_FALSE(VerifiedCache(dir / "c").contains("/file", old, sha)) << at;
  }
}

TEST(Synthetic, SameBitsForAnyThreads) {
  ModelConfig c;
  c.hidden_size = 512;
  c.intermediate_size = 1376;
  c.n_layers = 2;
  c.n_heads = 8;
  c.n_kv_heads = 4;
  c.head_dim = 64;
  c.vocab_size = 3000;
  c.max_positions = 64;
  for (const auto& [dtype, group] : {std::pair{DType::kI8, 0},
                                     {DType::kI8, 64},
                                     {DType::kF16, 0},
                                     {DType::kBF16, 0},
                                     {DType::kF32, 0}}) {
    const auto one = make_synthetic(c, "t", dtype, group, 1);
    const auto four = make_synthetic(c, "t", dtype, group, 4);
    ASSERT_TRUE(one && four);
    for (const auto& [name, view] : (*one)->weights) {
      ASSERT_EQ(values_of(view), values_of((*four)->weights.find(name)->second)) << name;
    }
    const WeightView& norm = (*one)->weights.find("layers.1.mlp_norm")->second;
    EXPECT_EQ(static_cast<const float*>(norm.values)[511], 1.0f);
  }
}

// Deviation of the values is about 1/sqrt(cols) in every dtype; padding stays zero.
TEST(Synthetic, ValuesHaveTheWantedSize) {
  ModelConfig c;
  c.hidden_size = 200;
  c.intermediate_size = 400;
  c.n_layers = 1;
  c.n_heads = c.n_kv_heads = 2;
  c.head_dim = 100;
  c.vocab_size = 500;
  for (DType dtype : {DType::kI8, DType::kF16, DType::kBF16, DType::kF32}) {
    const auto model = make_synthetic(c, "t", dtype, 0);
    ASSERT_TRUE(model);
    const WeightView& w = (*model)->weights.find("lm_head")->second;
    double sum = 0;
    for (size_t r = 0; r < 500; ++r) {
      const char* row = static_cast<const char*>(w.values) + r * w.row_bytes();
      for (size_t i = 0; i < 200; ++i) {
        float f = 0;
        uint16_t h = 0;
        if (dtype == DType::kF32)
          std::memcpy(&f, row + 4 * i, 4);
        else
          std::memcpy(&h, row + 2 * i, 2);
        if (dtype == DType::kF16) f = f16_to_f32(h);
        if (dtype == DType::kBF16) f = bf16_to_f32(h);
        if (dtype == DType::kI8) {
          EXPECT_NE(row[i], -128);
          f = static_cast<float>(static_cast<int8_t>(row[i])) * w.scales[r];
        }
        ASSERT_TRUE(std::isfinite(f));
        sum += static_cast<double>(f) * f;
      }
      for (size_t i = 200 * dtype_bytes(dtype); i < w.row_bytes(); ++i) EXPECT_EQ(row[i], 0);
    }
    std::set<std::string> rows;
    for (size_t r = 0; r < 500; ++r) {
      rows.insert(std::string(static_cast<const char*>(w.values) + r * w.row_bytes(), 200));
    }
    EXPECT_EQ(rows.size(), 500u);
    const double deviation = std::sqrt(sum / (500 * 200)) * std::sqrt(200.0);
    EXPECT_GT(deviation, 0.65) << dtype_name(dtype);
    EXPECT_LT(deviation, 1.5) << dtype_name(dtype);
  }
  EXPECT_THAT(make_synthetic("gpt-5", DType::kI8, 0).error().message, HasSubstr("tinyllama-1.1b"));
}

}  // namespace
}  // namespace lamina
