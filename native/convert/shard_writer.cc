// SPDX-License-Identifier: Apache-2.0
#include "native/convert/shard_writer.h"

#include <fcntl.h>

#include <algorithm>
#include <atomic>
#include <cerrno>

#include "native/platform/parallel.h"
#include "native/platform/sha256.h"

namespace lamina {

namespace {

constexpr uint64_t kWriteBehind = uint64_t{8} << 20;
constexpr size_t kBlockElements = size_t{1} << 18;  // 1 MiB of f32

// A file written from start to end, hashed on the way.
class ShardFile {
 public:
  static Result<ShardFile> create(const std::string& path) {
    ShardFile f;
    f.path_ = path;
    f.fd_ = FileDescriptor(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    if (!f.fd_.is_open()) return os_error("create", path, errno);
    return f;
  }

  Result<void> write(std::span<const std::byte> bytes) {
    LAMINA_TRY(write_exactly(fd_.get(), path_, bytes));
    sha_.update(bytes);
    position_ += bytes.size();
    if (position_ - started_ >= kWriteBehind) {
      // Let the disk begin now, so that the sync at the end has little left to wait for.
      ::sync_file_range(fd_.get(), static_cast<off_t>(started_),
                        static_cast<off_t>(position_ - started_), SYNC_FILE_RANGE_WRITE);
      started_ = position_;
    }
    return {};
  }

  Result<void> pad_to(uint64_t position) {
    static constexpr std::byte kZeros[kTensorAlignment] = {};
    LAMINA_CHECK(position >= position_ && position - position_ < kTensorAlignment);
    return write(std::span(kZeros).first(static_cast<size_t>(position - position_)));
  }

  Result<std::string> finish() {
    LAMINA_TRY(sync_file(fd_.get(), path_));
    return sha_.hex();
  }

 private:
  std::string path_;
  FileDescriptor fd_;
  Sha256 sha_;
  uint64_t position_ = 0;
  uint64_t started_ = 0;  // up to here, writing to disk has begun
};

class Writer {
 public:
  Writer(ShardFile* file, const WriteContext& context) : file_(file), context_(context) {
    const int threads = context.threads > 0 ? context.threads : usable_processors();
    blocks_.resize(static_cast<size_t>(threads) * 2);
  }

  Result<ErrorSums> write(const ShardPart& part) {
    const WeightShape& shape = part.source->target.shape;
    const auto step = static_cast<int32_t>(
        std::clamp<size_t>(kBlockElements / static_cast<size_t>(shape.cols), 1, 4096));
    ErrorSums sums;
    std::vector<float> scales;
    LAMINA_TRY(file_->pad_to(part.place.offset));
    const int32_t end = part.place.row_begin + part.place.rows;
    for (int32_t row = part.place.row_begin; row < end;) {
      LAMINA_ASSIGN(row, write_blocks(part, row, step, &sums, &scales));
    }
    if (scales.empty()) return sums;
    LAMINA_TRY(file_->pad_to(part.place.scale_offset));
    LAMINA_TRY(file_->write(std::as_bytes(std::span(scales))));
    if (context_.written) context_.written(scales.size() * sizeof(float), part.source->target.name);
    return sums;
  }

 private:
  // Encodes up to one block a slot from `row` on and writes them; returns the next row.
  Result<int32_t> write_blocks(const ShardPart& part, int32_t row, int32_t step, ErrorSums* sums,
                               std::vector<float>* scales) {
    if (context_.cancel != nullptr && context_.cancel->load()) {
      return make_error(Code::kCancelled, "conversion stopped; run it again to go on");
    }
    const int32_t left = part.place.row_begin + part.place.rows - row;
    const size_t n =
        std::min(blocks_.size(), div_up(static_cast<size_t>(left), static_cast<size_t>(step)));
    LAMINA_TRY(parallel_for(context_.threads, n, [&](size_t i) {
      const int32_t offset = static_cast<int32_t>(i) * step;
      return encode_rows(*part.source, row + offset, std::min(step, left - offset), &blocks_[i]);
    }));
    for (size_t i = 0; i < n; ++i) {
      LAMINA_TRY(file_->write(blocks_[i].values));
      scales->insert(scales->end(), blocks_[i].scales.begin(), blocks_[i].scales.end());
      sums->add(blocks_[i].sums);
      if (context_.written) {
        context_.written(blocks_[i].values.size(), part.source->target.name);
      }
    }
    return row + std::min(left, static_cast<int32_t>(n) * step);
  }

  ShardFile* file_;
  const WriteContext& context_;
  std::vector<EncodedRows> blocks_;
};

}  // namespace

Result<FinishedShard> write_shard(const std::string& path, size_t shard, uint64_t bytes,
                                  const std::vector<ShardPart>& parts,
                                  const WriteContext& context) {
  FinishedShard out;
  out.shard = shard;
  LAMINA_ASSIGN(ShardFile file, ShardFile::create(path));
  Writer writer(&file, context);
  for (const ShardPart& part : parts) {
    LAMINA_ASSIGN(const ErrorSums sums, writer.write(part));
    out.sums.push_back(sums);
  }
  LAMINA_TRY(file.pad_to(bytes));
  LAMINA_ASSIGN(out.sha256, file.finish());
  return out;
}

}  // namespace lamina
