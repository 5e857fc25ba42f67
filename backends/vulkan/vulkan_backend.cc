// SPDX-License-Identifier: Apache-2.0
#include "backends/vulkan/vulkan_backend.h"

#include <algorithm>
#include <cstdlib>
#include <numeric>

#include "backends/vulkan/bandwidth.h"
#include "backends/vulkan/commands.h"
#include "backends/vulkan/kv_copy.h"
#include "backends/vulkan/memory.h"
#include "backends/vulkan/memory_plan.h"
#include "backends/vulkan/program.h"
#include "backends/vulkan/weights.h"
#include "core/tensor/quantize.h"

namespace lamina {

namespace vulkan {

namespace {

constexpr int32_t kMostSteps = 32;  // of one submission
constexpr int kMostTries = 4;       // of prepare(), each with less of the device's memory

std::string features_text(const DeviceFacts& f) {
  std::string text = "subgroup " + std::to_string(f.subgroup);
  if (f.int_dot) text += ", int8 dot";
  if (f.cooperative) text += ", cooperative matrix";
  return text;
}

std::string kernels_text(const DeviceFacts& f) {
  std::string text = f.int_dot ? "int8 by dot products of four" : "int8 element by element";
  text += f.cooperative ? "; prompts on cooperative matrices" : "; prompts in tiles";
  text += f.subgroup_control ? "" : "; the driver's own subgroup size";
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
    kv_shape_ = kv;
    LAMINA_ASSIGN(plan_, make_plan(graph_, weights));
    LAMINA_ASSIGN(memory_, plan_within(options_.memory_budget, graph_, kv, max_rows, max_logit_rows));
    LAMINA_TRY(pipelines_.open(options_.pipeline_cache));
    Result<void> built = build();
    // The device may have less than it says, and others take of it meanwhile.
    for (int tries = 1; !built && built.error().code == Code::kOutOfMemory && tries < kMostTries; ++tries) {
      const uint64_t less = memory_.heaps[0].needed() / 4 * 3;
      Result<MemoryPlan> smaller = plan_within(less, graph_, kv, max_rows, max_logit_rows);
      if (!smaller) break;
      memory_ = std::move(*smaller);
      tear_down();
      built = build();
    }
    return built;
  }

  Result<MemoryPlan> plan(const Graph& graph, const KvShape& kv, int32_t max_rows,
                          int32_t max_logit_rows) const override {
    return plan_within(options_.memory_budget, graph, kv, max_rows, max_logit_rows);
  }
  const MemoryPlan& plan() const override { return memory_; }

  Result<void> submit(const Batch& batch) override {
    LAMINA_CHECK(program_ != nullptr);
    LAMINA_TRY(validate_batch(batch, graph_.config, n_pages_, max_rows_, max_logit_rows_));
    LAMINA_TRY(commands_->wait());  // the step's memory may still be in use
    LAMINA_TRY(load(batch));
    return commands_->submit(step_kind(Choose::kNothing), 1);
  }

  // A token that nobody wants would be an upload of all swapped layers.
  int32_t most_steps(const TokenChoice& choice) const override {
    const int32_t vocab = graph_.config.vocab_size;
    const bool able = choice.likeliest() ||
                      (choice.top_k > 1 && choice.top_k <= program_->most_top_k() && choice.top_k < vocab);
    return memory_.swaps() || !able ? 0 : kMostSteps;
  }

  Result<std::span<const int32_t>> decode(const Batch& batch, int32_t steps,
                                          const TokenChoice& choice) override {
    LAMINA_CHECK(program_ != nullptr && batch.rows.size() == 1 && batch.rows[0].wants_logits);
    LAMINA_CHECK(steps >= 1 && steps <= most_steps(choice));
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
    if (!choice.likeliest()) load_choice(choice, steps);
    LAMINA_TRY(commands_->submit(step_kind(choice.likeliest() ? Choose::kLikeliest : Choose::kSampled), steps));
    LAMINA_TRY(finish());
    return std::span<const int32_t>(step_.as<const int32_t>(tokens_at_), static_cast<size_t>(steps));
  }

  Result<StepOutput> read() override {
    LAMINA_TRY(finish());
    const auto width = static_cast<size_t>(graph_.buffer_width[static_cast<size_t>(Buffer::kLogits)]);
    const size_t n = static_cast<size_t>(n_selected_), stride = logit_stride();
    const auto* from = readback_.as<const float>();
    if (stride == width) return StepOutput{{from, n * width}};
    for (size_t i = 0; i < n; ++i) std::copy_n(from + i * stride, width, logits_.data() + i * width);
    return StepOutput{{logits_.data(), n * width}};
  }

  Result<void> export_kv(std::span<const int32_t> pages, int32_t n_positions,
                         std::span<uint16_t> out) override {
    LAMINA_TRY(validate_pages(pages, n_positions, n_pages_));
    LAMINA_CHECK(out.size() == kv_export_size(graph_.config, n_positions));
    LAMINA_TRY(commands_->wait());
    return kv_.export_positions(*transfer_, pages, n_positions, out);
  }

  Result<void> import_kv(std::span<const int32_t> pages, int32_t n_positions,
                         std::span<const uint16_t> in) override {
    LAMINA_TRY(validate_pages(pages, n_positions, n_pages_));
    LAMINA_CHECK(in.size() == kv_export_size(graph_.config, n_positions));
    LAMINA_TRY(commands_->wait());
    return kv_.import_positions(*transfer_, pages, n_positions, in);
  }

  MemoryUse memory() const override {
    return {weights_.bytes(), kv_.bytes(), activation_bytes_};
  }

  void set_profile(bool on) override { commands_->set_profile(on); }
  const std::vector<ProfileEntry>& profile() const override { return commands_->profile(); }

  Result<Bandwidth> measure_bandwidth() override {
    LAMINA_TRY(commands_->wait());
    return vulkan::measure_bandwidth(*device_);
  }

  Result<std::vector<std::byte>> pipeline_cache() const override { return device_->pipeline_cache_data(); }

 private:
  Result<void> finish() {
    LAMINA_TRY(commands_->wait());
    if (step_.as<const StepHead>()->stuck == 0) return {};
    return make_error(Code::kDevice, "%s did not run all workgroups of a step at once",
                      device_->facts().name.c_str());
  }

  // Of the upload ring: no more than the weights are worth.
  uint64_t chunk_bytes(uint64_t weight_bytes) const {
    const auto at = options_.variant.find("chunk=");  // KiB, for tests
    if (at != std::string::npos) {
      return std::max<uint64_t>(std::strtoull(options_.variant.c_str() + at + 6, nullptr, 10), 1) << 10;
    }
    constexpr uint64_t kLeast = uint64_t{1} << 20;
    const uint64_t fair = (weight_bytes / Uploader::kChunks + kLeast - 1) / kLeast * kLeast;
    return std::clamp(fair, kLeast, Uploader::kUsualChunk);
  }

  Result<MemoryPlan> plan_within(uint64_t budget, const Graph& graph, const KvShape& kv, int32_t max_rows,
                                 int32_t max_logit_rows) const {
    LAMINA_ASSIGN(const uint64_t kv_bytes, KvMemory::bytes_of(graph.config, kv));
    const StepShape shape{max_rows, max_logit_rows, kv};
    Needs needs = needs_of(graph, shape, kv_bytes);
    needs.step = lay_out_step(graph, shape).bytes;
    const uint64_t weights = std::accumulate(needs.layers.begin(), needs.layers.end(), needs.fixed);
    return plan_memory(needs, device_->local_heap_now(), device_->facts().host_heap(), budget,
                       chunk_bytes(weights));
  }

  // Everything that prepare() makes on the device, by memory_.
  Result<void> build() {
    LAMINA_ASSIGN(transfer_, Transfer::create(*device_));
    LAMINA_ASSIGN(kv_, KvMemory::create(*device_, graph_.config, kv_shape_));
    LAMINA_TRY(transfer_->fill_zero(kv_.buffer()));
    LAMINA_TRY(allocate());
    LAMINA_ASSIGN(uploader_, Uploader::create(*device_, memory_.ring_bytes / Uploader::kChunks));
    LAMINA_TRY(weights_.upload(*device_, *uploader_, plan_, memory_, options_.on_upload));
    if (memory_.swaps()) {
      LAMINA_ASSIGN(window_, Window::create(*device_, *uploader_, weights_));
    } else {
      uploader_.reset();  // its ring is large
    }
    program_ = std::make_unique<Program>(*device_, graph_.config, options_.variant, pipelines_);
    program_->prepare(plan_, weights_.matrices(), weights_.norms(), weights_.biases(), graph_.buffer_width,
                      addresses_, {max_rows_, max_logit_rows_, max_splits_, kv_.values_at(), kv_.type(),
                                    memory_.swaps()});
    const std::vector<uint64_t> table = program_->layer_table();
    LAMINA_TRY(transfer_->upload(std::as_bytes(std::span(table)), layers_, 0));
    LAMINA_TRY(transfer_->finish());
    LAMINA_TRY(pipelines_.create());
    const DeviceBuffer& logits = activations_[static_cast<size_t>(Buffer::kLogits)];
    LAMINA_ASSIGN(commands_, Commands::create({device_.get(), program_.get(), &pipelines_, &step_, &logits,
                                               &readback_, logit_stride() * sizeof(float), window_.get(),
                                               memory_.resident_layers}));
    return {};
  }

  void tear_down() {
    commands_.reset();
    program_.reset();
    window_.reset();
    uploader_.reset();
    weights_ = {};
    for (DeviceBuffer& b : activations_) b = {};
    for (DeviceBuffer* b : {&xq_, &xs_, &partial_, &arrived_, &fresh_kv_, &layers_, &step_, &readback_}) *b = {};
    kv_ = {};
    activation_bytes_ = 0;
  }

  Result<void> allocate_one(DeviceBuffer& b, uint64_t bytes, const char* what) {
    LAMINA_ASSIGN(b, DeviceBuffer::create(*device_, bytes, Place::kDevice, what));
    activation_bytes_ += b.size();
    return transfer_->fill_zero(b);
  }

  Result<void> allocate() {
    const StepShape shape{max_rows_, max_logit_rows_, kv_shape_};
    const StepSizes sizes = step_sizes(graph_, shape);
    addresses_ = {};
    for (size_t i = 0; i < kBuffers; ++i) {
      LAMINA_TRY(allocate_one(activations_[i], sizes.buffers[i], "activations"));
      addresses_.buffers.push_back(activations_[i].address());
    }
    max_splits_ = sizes.max_splits;
    LAMINA_TRY(allocate_one(xq_, sizes.xq, "activations"));
    LAMINA_TRY(allocate_one(xs_, sizes.xs, "activations"));
    LAMINA_TRY(allocate_one(partial_, sizes.partial, "attention"));
    LAMINA_TRY(allocate_one(arrived_, sizes.arrived, "attention"));
    if (sizes.fresh_kv) LAMINA_TRY(allocate_one(fresh_kv_, sizes.fresh_kv, "activations"));
    LAMINA_TRY(allocate_one(layers_, sizes.layers, "addresses"));
    addresses_.layers = layers_.address();
    addresses_.sync = layers_.address() + sizes.layers - kPieceAlignment;
    addresses_.fresh_kv = fresh_kv_.address();
    addresses_.xq = xq_.address();
    addresses_.xs = xs_.address();
    addresses_.partial = partial_.address();
    addresses_.arrived = arrived_.address();
    for (int32_t layer = 0; layer < graph_.config.n_layers; ++layer) {
      addresses_.keys.push_back(kv_.keys(layer));
    }
    const uint64_t logit_bytes = sizes.logits_row * static_cast<uint64_t>(max_logit_rows_);
    LAMINA_ASSIGN(readback_, DeviceBuffer::create(*device_, logit_bytes, Place::kReadback, "logits"));
    logits_.resize(logit_bytes / sizeof(float));
    return allocate_step(lay_out_step(graph_, shape));
  }

  // Where the parts of the step's memory lie.
  struct StepLayout {
    uint64_t rows, selected, rope, pages, tokens, choice, most_pages, bytes;
  };
  static StepLayout lay_out_step(const Graph& graph, const StepShape& shape) {
    const auto rows = static_cast<uint64_t>(shape.max_rows);
    const auto d = static_cast<uint64_t>(graph.config.head_dim);
    StepLayout at{};
    at.bytes = sizeof(StepHead);
    const auto take = [&](uint64_t bytes) {
      const uint64_t offset = at.bytes;
      at.bytes += (bytes + 63) / 64 * 64;
      return offset;
    };
    at.rows = take(rows * sizeof(StepRow));
    at.selected = take(static_cast<uint64_t>(shape.max_logit_rows) * 4);
    at.rope = take(std::max<uint64_t>(rows, kMostSteps) * d * 4);
    // Sequences may share pages: as many as there are rows, each of all pages.
    at.most_pages = static_cast<uint64_t>(shape.kv.n_pages) * rows;
    at.pages = take(at.most_pages * 4);
    at.tokens = take(kMostSteps * 4);
    at.choice = take(sizeof(StepChoice) + kMostSteps * 4);
    return at;
  }

  Result<void> allocate_step(const StepLayout& at) {
    rows_at_ = at.rows;
    selected_at_ = at.selected;
    rope_at_ = at.rope;
    pages_at_ = at.pages;
    tokens_at_ = at.tokens;
    choice_at_ = at.choice;
    most_pages_ = at.most_pages;
    LAMINA_ASSIGN(step_, DeviceBuffer::create(*device_, at.bytes, Place::kStep, "the step"));
    const uint64_t address = step_.address();
    addresses_.head = address;
    addresses_.rows = address + rows_at_;
    addresses_.selected = address + selected_at_;
    addresses_.rope = address + rope_at_;
    addresses_.pages = address + pages_at_;
    addresses_.tokens = address + tokens_at_;
    addresses_.choice = address + choice_at_;
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

  void load_choice(const TokenChoice& choice, int32_t steps) {
    LAMINA_CHECK(choice.units.size() >= static_cast<size_t>(steps));
    *step_.as<StepChoice>(choice_at_) = {static_cast<uint32_t>(choice.top_k), choice.top_p, choice.min_p,
                                         1.0f / choice.temperature};
    std::copy_n(choice.units.begin(), steps, step_.as<float>(choice_at_ + sizeof(StepChoice)));
  }

  StepKind step_kind(Choose choose) const {
    return {std::min(bucket_of(n_rows_).rows, (max_rows_ + 127) / 128 * 128),
            n_selected_ ? std::min(bucket_of(n_selected_).rows, max_logit_rows_) : 0, tiled_attention_,
            choose};
  }

  size_t logit_stride() const {
    return row_stride(graph_.buffer_width[static_cast<size_t>(Buffer::kLogits)]);
  }

  std::shared_ptr<Device> device_;
  VulkanOptions options_;
  Pipelines pipelines_;
  std::unique_ptr<Transfer> transfer_;
  Graph graph_;
  RopeFrequencies rope_;
  int32_t max_rows_ = 0, max_logit_rows_ = 0, n_pages_ = 0;
  uint32_t max_splits_ = 1;
  KvShape kv_shape_;
  std::vector<PlannedOp> plan_;
  MemoryPlan memory_;
  Weights weights_;
  uint64_t activation_bytes_ = 0;
  KvMemory kv_;
  DeviceBuffer activations_[kBuffers], xq_, xs_, partial_, arrived_, fresh_kv_, layers_, step_, readback_;
  uint64_t rows_at_ = 0, selected_at_ = 0, rope_at_ = 0, pages_at_ = 0, tokens_at_ = 0, choice_at_ = 0, most_pages_ = 0;
  Addresses addresses_{};
  std::unique_ptr<Program> program_;
  std::unique_ptr<Uploader> uploader_;  // null once all layers are there
  std::unique_ptr<Window> window_;      // null unless some are swapped

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
    VulkanDeviceInfo info{f.name, f.driver, vulkan::features_text(f), vulkan::kernels_text(f), f.software, {}};
    for (const vulkan::HeapFacts& h : f.heaps) info.heaps.push_back({h.bytes, h.free, h.local});
    infos.push_back(std::move(info));
  }
  return infos;
}

}  // namespace lamina
