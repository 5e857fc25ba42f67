// SPDX-License-Identifier: Apache-2.0
#include "native/daemon/http_wire.h"

#include <utility>

namespace lamina::daemon {

namespace {

constexpr size_t kLeastProgress = 4096;            // bytes per write_seconds
constexpr auto kLinger = std::chrono::seconds(2);  // for the peer to see the end
constexpr size_t kMostJoined = 16 << 10;           // bytes of small writes that go out together
constexpr size_t kMostLingered = size_t{1} << 20;

}  // namespace

Wire::Wire(std::unique_ptr<ByteStream> stream, std::string peer, std::string peer_address,
           std::string local_address, double write_seconds)
    : stream_(std::move(stream)),
      peer_(std::move(peer)),
      peer_address_(std::move(peer_address)),
      local_address_(std::move(local_address)),
      write_seconds_(write_seconds) {}

void Wire::start(std::shared_ptr<WireUser> user) {
  user_ = std::move(user);
  stream_->handshake([self = shared_from_this()](bool ok, size_t) {
    if (self->closed_) return;
    if (!ok) return self->abort();
    if (auto keep = self->user_) keep->ready();
    self->read_more();
  });
}

void Wire::pause(bool paused) {
  paused_ = paused;
  read_more();
}

void Wire::read_more() {
  if (reading_ || closed_ || input_ended_ || (paused_ && !lingering_)) return;
  reading_ = true;
  stream_->read(input_.data(), input_.size(),
                [self = shared_from_this()](bool ok, size_t bytes) { self->on_read(ok, bytes); });
}

void Wire::on_read(bool ok, size_t bytes) {
  reading_ = false;
  if (closed_) return;
  if (!ok) return abort();
  if (bytes == 0) {
    input_ended_ = true;
    if (lingering_) return abort();
    if (auto keep = user_; keep && !finishing_) keep->input_ended();
    return;
  }
  if (finishing_) {
    lingered_ += bytes;
    if (lingered_ > kMostLingered) return abort();
  } else if (auto keep = user_) {
    keep->received({input_.data(), bytes});
  }
  read_more();
}

void Wire::renew_write_deadline() {
  write_deadline_ = Clock::now() + std::chrono::duration_cast<Clock::duration>(write_seconds_);
  progress_ = 0;
}

void Wire::write(std::string bytes) {
  if (closed_ || finishing_ || bytes.empty()) return;
  if (unsent_ == 0) renew_write_deadline();
  unsent_ += bytes.size();
  if (!queue_.empty() && queue_.back().size() + bytes.size() <= kMostJoined) {
    queue_.back() += bytes;
  } else {
    queue_.push_back(std::move(bytes));
  }
  flush();
}

void Wire::flush() {
  if (writing_ || closed_) return;
  if (front_at_ == front_.size()) {
    std::string next;
    if (!queue_.empty()) {
      next.swap(queue_.front());
      queue_.pop_front();
    }
    front_.swap(next);  // frees what was written, which an assignment would keep
    front_at_ = 0;
  }
  if (front_.empty()) {
    if (finishing_) begin_shutdown();
    return;
  }
  writing_ = true;
  stream_->write(
      front_.data() + front_at_, front_.size() - front_at_,
      [self = shared_from_this()](bool ok, size_t bytes) { self->on_written(ok, bytes); });
}

void Wire::on_written(bool ok, size_t bytes) {
  writing_ = false;
  if (closed_) return;
  if (!ok) return abort();
  front_at_ += bytes;
  unsent_ -= bytes;
  progress_ += bytes;
  if (progress_ >= kLeastProgress || unsent_ == 0) renew_write_deadline();
  flush();  // before the user adds to it, so that what waits goes out together
  if (auto keep = user_; keep && !finishing_) keep->written();
}

void Wire::finish() {
  if (finishing_ || closed_) return;
  finishing_ = true;
  flush();
}

void Wire::begin_shutdown() {
  if (lingering_) return;
  lingering_ = true;
  linger_deadline_ = Clock::now() + kLinger;
  stream_->shutdown();
  if (input_ended_) return abort();
  read_more();
}

void Wire::abort() {
  if (closed_) return;
  closed_ = true;
  stream_->close();
  queue_.clear();
  unsent_ = 0;
  auto keep = shared_from_this();
  if (auto user = std::exchange(user_, nullptr)) user->lost();
  if (auto told = std::exchange(on_closed, nullptr)) told(*this);
}

void Wire::tick(Clock::time_point now) {
  if (closed_) return;
  if (unsent_ > 0 && now > write_deadline_) {
    slow_reader_ = true;
    return abort();
  }
  if (lingering_ && now > linger_deadline_) return abort();
  if (auto keep = user_; keep && !finishing_) keep->tick(now);
}

}  // namespace lamina::daemon
