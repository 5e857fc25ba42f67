// SPDX-License-Identifier: Apache-2.0
#include "native/daemon/session_hub.h"

#include <algorithm>
#include <cstdio>
#include <random>

#include "native/daemon/session.h"
#include "native/platform/memory_facts.h"

namespace lamina::daemon {
namespace {

using Clock = std::chrono::steady_clock;

constexpr uint16_t kTakenOverClose = 4001;  // of the range that is left to applications

std::string draw_id() {
  std::random_device device;
  std::string id;
  for (int i = 0; i < 4; ++i) {
    char word[9];
    std::snprintf(word, sizeof word, "%08x", device());
    id += word;
  }
  return id;
}

}  // namespace

// What speaks on one WebSocket: before hello or resume it has no session.
class Connection final : public WebSocketHandler, public std::enable_shared_from_this<Connection> {
 public:
  Connection(SessionHub& hub, std::string who)
      : hub_(hub), hub_alive_(hub.alive_), who_(std::move(who)) {}

  void opened(std::shared_ptr<WebSocketPeer> peer) override {
    peer_ = std::move(peer);
    ++hub_.connections_;
    hub_.parts_.log.debug("websocket opened", {{"peer", who_}});
  }
  void message(std::string text) override;
  void drained() override {
    if (owns_session()) session_->pump();
  }
  void closed() override;

 private:
  // False once another connection has taken the session over.
  bool owns_session() const { return session_ != nullptr && !replaced_; }
  void hear(ClientMessage message, ProtocolError& error);
  void begin(const HelloMessage& message, ProtocolError& error);
  void begin(const ResumeMessage& message, ProtocolError& error);
  void subscribe(const StatusMessage& message);
  void tell_status(uint64_t subscription);
  void replace();

  SessionHub& hub_;
  std::weak_ptr<bool> hub_alive_;
  std::string who_;
  std::shared_ptr<WebSocketPeer> peer_;
  std::shared_ptr<Session> session_;
  bool replaced_ = false;
  uint64_t subscription_ = 0;  // counts them; an old one's timer finds that it is over
  double interval_ = 0.0;      // 0: not subscribed

  friend class SessionHub;
};

void Connection::message(std::string text) {
  if (peer_ == nullptr || replaced_ || hub_alive_.expired()) return;
  ParsedMessage parsed = parse_client_message(text);
  ProtocolError error;
  if (auto* refused = std::get_if<ProtocolError>(&parsed)) {
    error = std::move(*refused);
  } else {
    hear(std::get<ClientMessage>(std::move(parsed)), error);
  }
  if (error.code.empty() || peer_ == nullptr) return;
  hub_.parts_.metrics.refused_message(error.code);
  peer_->send(error_frame(error));
}

void Connection::hear(ClientMessage message, ProtocolError& error) {
  if (const auto* hello = std::get_if<HelloMessage>(&message)) return begin(*hello, error);
  if (const auto* resume = std::get_if<ResumeMessage>(&message)) return begin(*resume, error);
  if (session_ == nullptr) {
    error = {error_code::kOrder, "hello or resume comes first", "type", ""};
  } else if (auto* m = std::get_if<GenerateMessage>(&message)) {
    session_->generate(std::move(*m), error);
  } else if (const auto* cancel = std::get_if<CancelMessage>(&message)) {
    session_->cancel(*cancel, error);
  } else if (const auto* load = std::get_if<LoadMessage>(&message)) {
    session_->load(*load, error);
  } else if (const auto* unload = std::get_if<UnloadMessage>(&message)) {
    session_->unload(*unload, error);
  } else if (const auto* change = std::get_if<SwitchBackendMessage>(&message)) {
    session_->switch_backend(*change, error);
  } else if (const auto* status = std::get_if<StatusMessage>(&message)) {
    subscribe(*status);
  }
}

void Connection::begin(const HelloMessage& message, ProtocolError& error) {
  if (session_ != nullptr) {
    error = {error_code::kOrder, "this connection has a session already", "type", ""};
    return;
  }
  session_ = hub_.create_session();
  session_->owner = this;
  session_->attach(peer_);
  hub_.parts_.log.info("session begun", {{"peer", who_}, {"client", message.client}});
  peer_->send(
      hello_frame({hub_.options_.version, session_->id(), hub_.options_.grace_seconds,
                   hub_.options_.message_bytes, hub_.options_.buffer_bytes, hub_.model_entries()}));
}

void Connection::begin(const ResumeMessage& message, ProtocolError& error) {
  if (session_ != nullptr) {
    error = {error_code::kOrder, "this connection has a session already", "type", ""};
    return;
  }
  session_ = hub_.find_session(message.session);
  if (session_ == nullptr) {
    error = {error_code::kUnknownSession,
             "no such session, or its time without a connection is over: say hello", "session", ""};
    return;
  }
  if (session_->owner != nullptr) session_->owner->replace();
  session_->owner = this;
  session_->attach(peer_);
  hub_.parts_.log.info("session resumed", {{"peer", who_}});
  session_->resume(message.last_seq);
}

void Connection::subscribe(const StatusMessage& message) {
  interval_ = message.subscribe ? message.interval : 0.0;
  tell_status(++subscription_);
}

void Connection::tell_status(uint64_t subscription) {
  if (subscription != subscription_ || interval_ <= 0.0 || peer_ == nullptr || replaced_) return;
  // A reader that lags gets the next one.
  if (peer_->unsent() < hub_.options_.unsent_bytes) peer_->send(status_frame(hub_.status_facts()));
  hub_.parts_.loop.after(interval_, [weak = weak_from_this(), alive = hub_alive_, subscription] {
    const auto self = weak.lock();
    if (self && !alive.expired()) self->tell_status(subscription);
  });
}

void Connection::replace() {
  replaced_ = true;
  interval_ = 0.0;
  if (peer_ == nullptr) return;
  peer_->send(
      error_frame({error_code::kTakenOver, "another connection has the session now", "", ""}));
  peer_->close(kTakenOverClose, "taken over");
}

void Connection::closed() {
  if (hub_alive_.expired()) return;
  if (peer_ != nullptr) --hub_.connections_;
  peer_ = nullptr;
  ++subscription_;
  hub_.parts_.log.debug("websocket closed", {{"peer", who_}});
  if (owns_session()) {
    session_->owner = nullptr;
    hub_.detached(session_);
  }
  session_ = nullptr;
}

// --- the hub ---

SessionHub::SessionHub(const HubParts& parts, HubOptions options)
    : parts_(parts), options_(std::move(options)) {}

SessionHub::~SessionHub() {
  alive_ = nullptr;
  for (const auto& [id, session] : sessions_) session->detach();
}

std::shared_ptr<WebSocketHandler> SessionHub::connect(const std::string& who) {
  return std::make_shared<Connection>(*this, who);
}

std::shared_ptr<Session> SessionHub::create_session() {
  make_room();
  auto session = std::make_shared<Session>(*this, draw_id());
  sessions_.emplace(session->id(), session);
  return session;
}

std::shared_ptr<Session> SessionHub::find_session(const std::string& id) const {
  const auto found = sessions_.find(id);
  return found == sessions_.end() ? nullptr : found->second;
}

void SessionHub::detached(const std::shared_ptr<Session>& session) {
  session->detach();
  const auto when = session->detached_at();
  parts_.loop.after(options_.grace_seconds,
                    [this, alive = std::weak_ptr<bool>(alive_), id = session->id(), when] {
                      if (alive.expired()) return;
                      const auto found = find_session(id);
                      const bool away = found && !found->attached() && found->detached_at() == when;
                      if (away) end(id);
                    });
}

void SessionHub::end(const std::string& id) {
  sessions_.erase(id);
}

void SessionHub::make_room() {
  while (sessions_.size() >= options_.sessions) {
    const Session* oldest = nullptr;
    for (const auto& [id, session] : sessions_) {
      const bool older = oldest == nullptr || session->detached_at() < oldest->detached_at();
      if (!session->attached() && older) oldest = session.get();
    }
    if (oldest == nullptr) return;  // connections are bounded by the server
    end(std::string(oldest->id()));
  }
}

std::string SessionHub::default_model() const {
  const std::vector<ModelStatus> loaded = parts_.service.status();
  return loaded.empty() ? "" : loaded.front().name;
}

std::vector<ModelEntry> SessionHub::model_entries() const {
  std::vector<ModelEntry> entries;
  for (ModelStatus& status : parts_.service.status()) {
    const std::string name = status.name;
    entries.push_back({name, entries.empty(), std::move(status)});
  }
  for (const Catalogue::Model& model : parts_.catalogue.list()) {
    const bool loaded = std::ranges::find(entries, model.name, &ModelEntry::name) != entries.end();
    if (!loaded) entries.push_back({model.name, false, std::nullopt});
  }
  return entries;
}

StatusFacts SessionHub::status_facts() const {
  const MemoryFacts memory = memory_facts();
  StatusFacts facts;
  facts.models = parts_.service.status();
  facts.connections = connections_;
  facts.sessions = sessions_.size();
  facts.resident_bytes = memory.resident;
  facts.available_bytes = memory.available;
  facts.uptime = std::chrono::duration<double>(Clock::now() - started_).count();
  facts.draining = draining_;
  return facts;
}

}  // namespace lamina::daemon
