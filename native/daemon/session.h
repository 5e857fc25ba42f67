// SPDX-License-Identifier: Apache-2.0
// One session of lamina.v1: its requests, and the frames that tell of them. Made and kept by a
// SessionHub.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <string>

#include "native/daemon/session_frames.h"
#include "native/daemon/session_hub.h"

namespace lamina::daemon {

class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(SessionHub& hub, std::string id);
  ~Session();  // ends what runs

  Connection* owner = nullptr;  // the connection that it is on, kept by the connections themselves

  const std::string& id() const { return id_; }
  bool attached() const { return peer_ != nullptr; }
  std::chrono::steady_clock::time_point detached_at() const { return detached_at_; }

  // Frames go to `peer` from now on.
  void attach(std::shared_ptr<WebSocketPeer> peer);
  void detach();
  // After attach: tells again what the client lacks. `resumed` and the errors of requests whose
  // frames are gone come first.
  void resume(const std::map<std::string, int64_t>& last_seq);

  // Each complains through `error` or begins a request.
  void generate(GenerateMessage message, ProtocolError& error);
  void cancel(const CancelMessage& message, ProtocolError& error);
  void load(const LoadMessage& message, ProtocolError& error);
  void unload(const UnloadMessage& message, ProtocolError& error);
  void switch_backend(const SwitchBackendMessage& message, ProtocolError& error);

  void pump();        // sends what waits and fits
  bool busy() const;  // anything runs

 private:
  struct Request {
    int64_t seq = 0;  // of its last frame
    Ticket ticket = 0;
    uint64_t seed = 0;
    std::string model;
    bool finished = false;
  };

  Request* begin(const std::string& id, ProtocolError& error);
  FrameOf next_frame(const std::string& id, Request& request);
  void say(const std::string& id, int64_t seq, std::string text,
           std::chrono::steady_clock::time_point computed = {});
  void fail(const std::string& id, const Error& error);
  void on_events(const std::string& id, std::span<const GenerationEvent> events);
  void say_tokens(const std::string& id, Request& request,
                  std::span<const GenerationEvent* const> tokens);
  void say_event(const std::string& id, Request& request, const GenerationEvent& event);
  // Runs `work` away from the loop, then says `answer`'s frame or the error.
  void errand(const std::string& id, std::function<Result<void>()> work,
              std::function<std::string(FrameOf)> answer);
  void progress(const std::string& id, const LoadProgress& progress);
  void dropped(const std::string& id, int64_t seq);
  void hold_back();  // pauses what runs when frames wait, and lets it go on
  void finish(Request& request);

  SessionHub& hub_;
  std::string id_;
  std::shared_ptr<WebSocketPeer> peer_;
  std::chrono::steady_clock::time_point detached_at_{};
  std::map<std::string, Request> requests_;
  SessionFrames frames_;
  bool paused_ = false, retry_set_ = false;
  size_t running_ = 0;
};

}  // namespace lamina::daemon
