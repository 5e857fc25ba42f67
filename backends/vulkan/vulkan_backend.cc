// SPDX-License-Identifier: Apache-2.0
#include "backends/vulkan/vulkan_backend.h"

#include <algorithm>

#include "backends/vulkan/commands.h"
#include "backends/vulkan/kv_copy.h"
#include "backends/vulkan/memory.h"
#include "backends/vulkan/program.h"
#include "backends/vulkan/weights.h"
#include "core/tensor/quantize.h"

namespace lamina {

namespace vulkan {

namespace {

constexpr uint32_t kSplitPositions = 128;       // of a split of attention, while there are few rows
constexpr int32_t kSplitRows = 16;              // more rows than that keep the device busy unsplit
constexpr uint32_t kMostSplits = 64;
constexpr int32_t kMostSteps = 32;  // of one submission

std::string features_text(const DeviceFacts& f) {
  std::string text = "subgroup " + std::to_string(f.subgroup);
  if (f.int_dot) text += ", int8 dot";
  if (f.cooperative) text += ", cooperative matrix";
  return text;
}

class Backend final : public VulkanBackend {
 public:
  Backend(std::shared_ptr<Device> device, const VulkanOptions& options)
      : device_(std::move(device)), options_(options), pipelines_(*device_) {}

  BackendInfo info() const override {
    return {"vulkan", device_->facts().name + ", " + features_text(device_->facts()), true};
  }

  Result<void> prepare(const Graph& graph, const WeightMap& weights, const KvShape& kv,
                       const RopeFrequencies& rope, int32_t max_rows,
                       int32_t max_logit_rows) override {
    LAMINA_CHECK(!program_);
    if (max_rows < 1 || max_logit_rows < 1) {
      return make_error(Code::kInvalidArgument, "max_rows %d and max_logit_rows %d must be positive",
                        max_rows, max_logit_rows);
    }
    graph_ = graph;
    rope_ = rope;
    max_rows_ = max_rows;
    max_logit_rows_ = max_logit_rows;
    n_pages_ = kv.n_pages;
    LAMINA_ASSIGN(plan_, make_plan(graph_, weights));
    LAMINA_ASSIGN(transfer_, Transfer::create(*device_));
    LAMINA_ASSIGN(kv_, KvMemory::create(*device_, graph_.config, kv));
    LAMINA_TRY(transfer_->fill_zero(kv_.buffer()));
    LAMINA_TRY(pipelines_.open(options_.pipeline_cache));
    LAMINA_TRY(weights_.upload(*device_, *transfer_, plan_, options_.on_upload));
    LAMINA_TRY(allocate());
    LAMINA_TRY(pipelines_.create());
    const DeviceBuffer& logits = activations_[static_cast<size_t>(Buffer::kLogits)];
    LAMINA_ASSIGN(commands_, Commands::create({device_.get(), program_.get(), &pipelines_, &step_, &logits,
                                               &readback_, logit_stride() * sizeof(float)}));
    return {};
  }

  Result<void> submit(const Batch& batch) override {
    LAMINA_CHECK(program_ != nullptr);
    LAMINA_TRY(validate_batch(batch, graph_.config, n_pages_, max_rows_, max_logit_rows_));
    LAMINA_TRY(commands_->wait());  // the step's memory may still be in use
    LAMINA_TRY(load(batch));
    return commands_->submit(step_kind(false), 1);
  }

  int32_t most_steps() const override { return kMostSteps; }

  Result<std::span<const int32_t>> decode(const Batch& batch, int32_t steps) override {
    LAMINA_CHECK(program_ != nullptr && batch.rows.size() == 1 && batch.rows[0].wants_logits);
    LAMINA_CHECK(steps >= 1 && steps <= kMostSteps);
    const Row& row = batch.rows[0];
    LAMINA_CHECK(static_cast<size_t>(row.kv_index + steps - 1) / kPageSize < batch.sequences[0].pages.size());
    LAMINA_TRY(validate_batch(batch, graph_.config, n_pages_, max_rows_, max_logit_rows_));
    LAMINA_TRY(commands_->wait());
    LAMINA_TRY(load(batch, steps));
    const auto d = static_cast<size_t>(graph_.config.head_dim);
    for (int32_t i = 1; i < steps; ++i) {
      rope_.fill(row.position + i, rope_row_.data(), rope_row_.data() + d / 2);
      std::copy_n(rope_row_.data(), d, step_.as<float>(rope_at_) + static_cast<size_t>(i) * d);
    }
    LAMINA_TRY(commands_->submit(step_kind(true), steps));
    LAMINA_TRY(commands_->wait());
    return std::span<const int32_t>(step_.as<const int32_t>(tokens_at_), static_cast<size_t>(steps));
  }

  Result<StepOutput> read() override {
    LAMINA_TRY(commands_->wait());
    const auto width = static_cast<size_t>(graph_.buffer_width[static_cast<size_t>(Buffer::kLogits)]);
    const size_t n = static_cast<size_t>(n_selected_), stride = logit_stride();
    const auto* from = readback_.as<const float>();
    if (stride == width) return StepOutput{{from, n * width}};
    for (size_t i = 0; i < n; ++i) std::copy_n(from + i * stride, width, logits_.data() + i * width);
    return StepOutput{{logits_.data(), n * width}};
  }

  Result<void> export_kv(std::span<const int32_t> pages, int32_t n_positions,
                         std::span<uint16_t> out) override {
    LAMINA_TRY(check_pages(pages, n_positions));
    LAMINA_CHECK(out.size() == kv_export_size(graph_.config, n_positions));
    LAMINA_TRY(commands_->wait());
    return kv_.export_positions(*transfer_, pages, n_positions, out);
  }

  Result<void> import_kv(std::span<const int32_t> pages, int32_t n_positions,
                         std::span<const uint16_t> in) override {
    LAMINA_TRY(check_pages(pages, n_positions));
    LAMINA_CHECK(in.size() == kv_export_size(graph_.config, n_positions));
    LAMINA_TRY(commands_->wait());
    return kv_.import_positions(*transfer_, pages, n_positions, in);
  }

  MemoryUse memory() const override {
    return {weights_.bytes(), kv_.bytes(), activation_bytes_};
  }

  void set_profile(bool on) override { commands_->set_profile(on); }
  const std::vector<ProfileEntry>& profile() const override { return commands_->profile(); }

  Result<std::vector<std::byte>> pipeline_cache() const override { return pipelines_.cache_data(); }

 private:
  Result<void> allocate_one(DeviceBuffer& b, uint64_t bytes, const char* what) {
    LAMINA_ASSIGN(b, DeviceBuffer::create(*device_, std::max<uint64_t>(bytes, 256), Place::kDevice, what));
    activation_bytes_ += b.size();
    return transfer_->fill_zero(b);
  }

  Result<void> allocate() {
    const ModelConfig& c = graph_.config;
    const auto rows = static_cast<uint64_t>((max_rows_ + 127) / 128 * 128);  // whole tiles are read
    Addresses at{};
    for (int i = 0; i < kBuffers; ++i) {
      const bool logits = i == static_cast<int>(Buffer::kLogits);
      const uint64_t n = logits ? static_cast<uint64_t>(max_logit_rows_) : rows;
      LAMINA_TRY(allocate_one(activations_[i],
                              n * row_stride(graph_.buffer_width[static_cast<size_t>(i)]) * 4, "activations"));
      at.buffers.push_back(activations_[i].address());
    }
    uint64_t widest = 0, blocks = 0;
    for (const PlannedOp& op : plan_) {
      if (!is_matmul(op.kind)) continue;
      const WeightView& w = op.weight;
      const bool i8 = w.dtype == DType::kI8;
      widest = std::max<uint64_t>(widest, i8 ? w.row_bytes() : w.row_bytes() / dtype_bytes(w.dtype) * 4);
      if (i8) blocks = std::max<uint64_t>(blocks, static_cast<uint64_t>(w.cols / activation_block(w) + 1));
    }
    const uint64_t few = static_cast<uint64_t>(std::min(max_rows_, kSplitRows));
    const auto most = static_cast<uint32_t>((n_pages_ * kPageSize + static_cast<int32_t>(kSplitPositions) - 1) /
                                            static_cast<int32_t>(kSplitPositions));
    max_splits_ = std::clamp<uint32_t>(most, 1, kMostSplits);
    LAMINA_TRY(allocate_one(xq_, rows * widest, "activations"));
    LAMINA_TRY(allocate_one(xs_, rows * blocks * 4, "activations"));
    LAMINA_TRY(allocate_one(partial_, few * static_cast<uint64_t>(c.n_heads) * max_splits_ *
                                          static_cast<uint64_t>(c.head_dim + 2) * 4, "attention"));
    LAMINA_TRY(allocate_one(arrived_, rows * static_cast<uint64_t>(c.n_heads) * 4, "attention"));
    LAMINA_TRY(lay_out_step(at));
    at.xq = xq_.address();
    at.xs = xs_.address();
    at.partial = partial_.address();
    at.arrived = arrived_.address();
    for (int32_t layer = 0; layer < c.n_layers; ++layer) at.keys.push_back(kv_.keys(layer));

    const auto logit_floats = static_cast<uint64_t>(max_logit_rows_) *
                              row_stride(graph_.buffer_width[static_cast<size_t>(Buffer::kLogits)]);
    LAMINA_ASSIGN(readback_, DeviceBuffer::create(*device_, logit_floats * 4, Place::kReadback, "logits"));
    logits_.resize(logit_floats);
    program_ = std::make_unique<Program>(*device_, graph_.config, options_.variant, pipelines_);
    program_->prepare(plan_, weights_.matrices(), weights_.norms(), weights_.biases(), graph_.buffer_width, at,
                      {max_rows_, max_logit_rows_, max_splits_, kv_.values_at(), kv_.f32()});
    return {};
  }

  Result<void> lay_out_step(Addresses& at) {
    const auto rows = static_cast<uint64_t>(max_rows_);
    const auto d = static_cast<uint64_t>(graph_.config.head_dim);
    uint64_t size = sizeof(StepHead);
    const auto take = [&](uint64_t bytes) {
      const uint64_t offset = size;
      size += (bytes + 63) / 64 * 64;
      return offset;
    };
    rows_at_ = take(rows * sizeof(StepRow));
    selected_at_ = take(static_cast<uint64_t>(max_logit_rows_) * 4);
    rope_at_ = take(std::max<uint64_t>(rows, kMostSteps) * d * 4);
    most_pages_ = static_cast<uint64_t>(n_pages_) + rows;
    pages_at_ = take(most_pages_ * 4);
    tokens_at_ = take(kMostSteps * 4);
    LAMINA_ASSIGN(step_, DeviceBuffer::create(*device_, size, Place::kStep, "the step"));
    at.head = step_.address();
    at.rows = step_.address() + rows_at_;
    at.selected = step_.address() + selected_at_;
    at.rope = step_.address() + rope_at_;
    at.pages = step_.address() + pages_at_;
    at.tokens = step_.address() + tokens_at_;
    return {};
  }

  // `steps`: how many will run on what is loaded; lengths are those of the last.
  Result<void> load(const Batch& batch, int32_t steps = 1) {
    const auto d = static_cast<size_t>(graph_.config.head_dim);
    auto* rows = step_.as<StepRow>(rows_at_);
    auto* selected = step_.as<uint32_t>(selected_at_);
    auto* pages = step_.as<int32_t>(pages_at_);
    auto* rope = step_.as<float>(rope_at_);
    rope_row_.resize(d);
    page_starts_.clear();
    uint64_t n_pages = 0;
    std::vector<int32_t>& lengths = lengths_;
    lengths.assign(batch.sequences.size(), 0);
    for (const Row& row : batch.rows) {
      int32_t& length = lengths[static_cast<size_t>(row.sequence)];
      length = std::max(length, row.kv_index + steps);
    }
    int32_t longest = 0;
    for (size_t i = 0; i < batch.sequences.size(); ++i) {
      page_starts_.push_back(static_cast<int32_t>(n_pages));
      const auto n = static_cast<uint64_t>((lengths[i] + kPageSize - 1) / kPageSize);
      if (n_pages + n > most_pages_) {
        return make_error(Code::kResourceExhausted, "a step's sequences hold more than %llu pages",
                          static_cast<unsigned long long>(most_pages_));
      }
      std::copy_n(batch.sequences[i].pages.begin(), n, pages + n_pages);
      n_pages += n;
      longest = std::max(longest, lengths[i]);
    }
    n_rows_ = static_cast<int32_t>(batch.rows.size());
    n_selected_ = 0;
    for (int32_t r = 0; r < n_rows_; ++r) {
      const Row& row = batch.rows[static_cast<size_t>(r)];
      rows[r] = {row.token, row.kv_index, page_starts_[static_cast<size_t>(row.sequence)], r};
      rope_.fill(row.position, rope_row_.data(), rope_row_.data() + d / 2);
      std::copy_n(rope_row_.data(), d, rope + static_cast<size_t>(r) * d);
      if (row.wants_logits) selected[n_selected_++] = static_cast<uint32_t>(r);
    }
    StepHead head{};
    tiled_attention_ = batch.sequences.size() == 1 && n_rows_ > kSplitRows;
    const uint32_t tile = tiled_attention_ ? program_->attention_rows() : 1;
    head.kv_heads = program_->attention_groups(tiled_attention_);
    head.attention_rows = (static_cast<uint32_t>(n_rows_) + tile - 1) / tile;
    head.n_rows = static_cast<uint32_t>(n_rows_);
    head.n_selected = static_cast<uint32_t>(n_selected_);
    head.split_positions = 1u << 30;
    head.splits = 1;
    if (n_rows_ <= kSplitRows) {
      const auto length = static_cast<uint32_t>(longest);
      const uint32_t each = (length + max_splits_ - 1) / max_splits_;
      head.split_positions = std::max(kSplitPositions, (each + 127) / 128 * 128);
      head.splits = (length + head.split_positions - 1) / head.split_positions;
    }
    std::memcpy(step_.mapped(), &head, sizeof head);
    return {};
  }

  StepKind step_kind(bool argmax) const {
    return {std::min(bucket_of(n_rows_).rows, (max_rows_ + 127) / 128 * 128),
            n_selected_ ? std::min(bucket_of(n_selected_).rows, max_logit_rows_) : 0, tiled_attention_,
            argmax};
  }

  size_t logit_stride() const {
    return row_stride(graph_.buffer_width[static_cast<size_t>(Buffer::kLogits)]);
  }

  Result<void> check_pages(std::span<const int32_t> pages, int32_t n_positions) const {
    const auto capacity = static_cast<int64_t>(pages.size()) * kPageSize;
    if (n_positions < 0 || n_positions > capacity) {
      return make_error(Code::kInvalidArgument, "KV: %d positions do not fit %zu pages", n_positions,
                        pages.size());
    }
    for (int32_t page : pages) {
      if (page < 0 || page >= n_pages_) {
        return make_error(Code::kInvalidArgument, "KV: page %d, must be below %d", page, n_pages_);
      }
    }
    return {};
  }

  std::shared_ptr<Device> device_;
  VulkanOptions options_;
  Pipelines pipelines_;
  std::unique_ptr<Transfer> transfer_;
  Graph graph_;
  RopeFrequencies rope_;
  int32_t max_rows_ = 0, max_logit_rows_ = 0, n_pages_ = 0;
  uint32_t max_splits_ = 1;
  std::vector<PlannedOp> plan_;
  Weights weights_;
  uint64_t activation_bytes_ = 0;
  KvMemory kv_;
  DeviceBuffer activations_[kBuffers], xq_, xs_, partial_, arrived_, step_, readback_;
  uint64_t rows_at_ = 0, selected_at_ = 0, rope_at_ = 0, pages_at_ = 0, tokens_at_ = 0, most_pages_ = 0;
  std::unique_ptr<Program> program_;

  std::unique_ptr<Commands> commands_;  // goes first: it waits for the device

  bool tiled_attention_ = false;
  int32_t n_rows_ = 0, n_selected_ = 0;
  std::vector<int32_t> lengths_, page_starts_;
  std::vector<float> rope_row_, logits_;
};

}  // namespace

}  // namespace vulkan

Result<std::unique_ptr<VulkanBackend>> make_vulkan_backend(const VulkanOptions& options) {
  LAMINA_ASSIGN(auto device, vulkan::Device::open(options.device, options.variant));
  return std::unique_ptr<VulkanBackend>(new vulkan::Backend(std::move(device), options));
}

Result<std::vector<VulkanDeviceInfo>> vulkan_devices() {
  LAMINA_ASSIGN(const auto all, vulkan::Device::list());
  std::vector<VulkanDeviceInfo> infos;
  for (const auto& f : all) {
    infos.push_back({f.name, f.driver, vulkan::features_text(f), f.software, f.local_bytes, f.budget_bytes});
  }
  return infos;
}

}  // namespace lamina
